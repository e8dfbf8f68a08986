"""An HTTP/1.1 server that nothing on the network can keep from answering a scrape.

One thread, one event loop; ``h11`` takes the protocol apart. Every wait has a limit, and connections are bounded:
when all are taken, the one that has waited longest without a complete request makes room, so a scrape gets in however
many idle or slow clients there are. Requests are answered by a pure function, from memory.
"""

import asyncio
import errno
import socket
import sys
import threading
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import NoReturn

from exporter.export.client import Client, Handler, Limits
from exporter.export.gate import Counts, Gate
from exporter.export.listen import listen
from exporter.export.webconfig.policy import OPEN, Policy
from exporter.vitals import Refusal

SWITCH_INTERVAL = 0.00005
"""Seconds for which a busy thread may keep the others waiting (``sys.setswitchinterval``).

An answer from memory makes some twenty calls that let go of the interpreter's lock and ask for it again. While a scan
computes in another thread each has to wait this long, and with Python's 5 ms that adds up to tens of milliseconds. It
costs nothing while no thread waits."""

_EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
"""No descriptor or memory is left for another connection: then one that waits gives its own back."""


class WebServer:
    """Serves *handler*'s answers on *addresses*, from a thread of its own, until it is stopped; then it is used up."""

    def __init__(
        self,
        addresses: Sequence[str],
        handler: Handler,
        *,
        policy: Callable[[], Policy] = lambda: OPEN,
        limits: Limits | None = None,
        counts: Counts | None = None,
    ) -> None:
        """*addresses* are written ``:10412``, ``127.0.0.1:10412`` or ``[::1]:10412``; port 0 lets the system choose.

        *handler* is called in the server's thread and must not wait for anything. *policy* is asked for each connection
        and each request; where it has TLS, only TLS is spoken.
        """
        self._addresses = tuple(addresses)
        self._handler = handler
        self._gate = Gate(policy, counts=counts)
        self._limits = limits or Limits()
        self._sockets: tuple[socket.socket, ...] = ()
        self._thread = threading.Thread(target=self._run, name="web", daemon=True)
        self._ready = threading.Event()
        self._loop: asyncio.AbstractEventLoop
        self._stopped: asyncio.Event
        self._switch_interval = sys.getswitchinterval()

    @property
    def bound(self) -> tuple[tuple[str, int], ...]:
        """Host and port of each listening socket, as the system gave them."""
        return tuple(opened.getsockname()[:2] for opened in self._sockets)

    def start(self) -> None:
        """Listen and serve. Raises ListenError where an address cannot be listened on.

        Lowers the interpreter's switch interval to ``SWITCH_INTERVAL`` until the server is stopped.
        """
        self._sockets = listen(self._addresses)
        sys.setswitchinterval(min(SWITCH_INTERVAL, self._switch_interval))
        self._thread.start()
        self._ready.wait()

    def stop(self) -> None:
        """Stop listening, cut all connections and end the thread."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stopped.set)
            self._thread.join()
            sys.setswitchinterval(self._switch_interval)

    def __enter__(self) -> "WebServer":
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def _run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        self._loop, self._stopped = asyncio.get_running_loop(), asyncio.Event()
        self._ready.set()
        crowd = _Crowd(self._limits.connections, self._gate.counts)
        try:
            async with asyncio.TaskGroup() as group:
                listeners = [group.create_task(self._accept(opened, crowd)) for opened in self._sockets]
                await self._stopped.wait()
                for listener in listeners:
                    listener.cancel()
        finally:
            for opened in self._sockets:
                opened.close()
            self._gate.close()
            await crowd.disperse()

    async def _accept(self, listener: socket.socket, crowd: "_Crowd") -> NoReturn:
        while True:
            try:
                accepted, address = await self._loop.sock_accept(listener)
            except OSError as error:
                if error.errno in _EXHAUSTED:
                    crowd.make_room()
                # Otherwise that client is gone again; what else it may be does not pass by trying at once.
                await asyncio.sleep(0.01)
                continue
            crowd.admit(Client(accepted, address[0], self._handler, self._gate, self._limits))
            # An accept that succeeds at once lets nobody else run, and in a flood of connections every one does.
            await asyncio.sleep(0)


class _Crowd:
    """The clients connected now, at most *limit*."""

    def __init__(self, limit: int, counts: Counts) -> None:
        self._limit = limit
        self._counts = counts
        self._clients: dict[Client, asyncio.Task[None]] = {}

    def admit(self, client: Client) -> None:
        """Attend to a new client; where there is no place left, another loses its own."""
        while len(self._clients) >= self._limit:
            self.make_room()
        task = asyncio.get_running_loop().create_task(client.attend())
        self._clients[client] = task
        self._counts.web_connections(len(self._clients))
        task.add_done_callback(lambda _: self._leave(client))

    def make_room(self) -> None:
        """Cut the connection that has waited longest without a complete request; where none waits, the one that has
        been taking its answer longest."""
        if self._clients:
            client = min(self._clients, key=lambda other: (other.busy, other.since))
            self._clients.pop(client).cancel()
            self._counts.web_refused(Refusal.OVERLOAD)

    async def disperse(self) -> None:
        """Cut all connections."""
        tasks = tuple(self._clients.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _leave(self, client: Client) -> None:
        self._clients.pop(client, None)
        self._counts.web_connections(len(self._clients))
        client.cut()
