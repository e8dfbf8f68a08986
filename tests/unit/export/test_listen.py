"""The addresses that the web server takes, and what it says of those that it cannot."""

import errno
import os
import socket

import pytest

from exporter.export.listen import ListenError, listen, parse_address


@pytest.mark.parametrize(
    ("expected", "text"),
    [
        (("", 10412), ":10412"),
        (("127.0.0.1", 10412), "127.0.0.1:10412"),
        (("localhost", 0), "localhost:0"),
        (("::1", 65535), "[::1]:65535"),
        (("fe80::1%eth0", 80), "[fe80::1%eth0]:80"),
        (("", 80), "[]:80"),
    ],
)
def test_addresses_are_written_as_prometheus_writes_them(expected: tuple[str, int], text: str) -> None:
    """Host and port; IPv6 in brackets; no host for all interfaces."""
    assert expected == parse_address(text)


@pytest.mark.parametrize(
    "text", ["", "10412", "127.0.0.1", "::1:10412", ":", ":http", ":-1", ":65536", ":١٢", "[::1]", ":000080"]
)
def test_what_is_no_address_is_refused(text: str) -> None:
    """The message shows what was given and how to write it."""
    with pytest.raises(ListenError) as caught:
        parse_address(text)

    expected = f"{text!r} is no address to listen on: write :10412, 127.0.0.1:10412 or [::1]:10412"
    assert expected == str(caught.value)


def test_a_port_that_is_taken_is_explained() -> None:
    """The message names the address, the reason and a way out, and what was opened before is closed again."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with socket.create_server(("127.0.0.1", 0)) as probe:
            free = f"127.0.0.1:{probe.getsockname()[1]}"

        with pytest.raises(ListenError) as caught:
            listen([free, address])

    expected = (
        f"cannot listen on {address}: {os.strerror(errno.EADDRINUSE)}: another process holds it (ss -ltnp shows which):"
        " end that, or choose another port"
    )
    assert expected == str(caught.value)
    for opened in listen([free]):
        opened.close()


def test_an_address_of_another_host_is_explained() -> None:
    """An address that no interface has (here one that is reserved for documentation) is told apart from a taken one."""
    with pytest.raises(ListenError, match=r"^cannot listen on 192\.0\.2\.1:0: .*: no interface of this host has that"):
        listen(["192.0.2.1:0"])


@pytest.mark.parametrize("host", ["[fe80::1%nothing]", "x" * 64], ids=["no such interface", "too long a name"])
def test_a_host_that_is_none_is_explained(host: str) -> None:
    """A host that cannot be looked up is no trace of the resolver, but advice."""
    with pytest.raises(ListenError, match=r"^cannot listen on .*:0: .*: write the host as an IP address, or leave it"):
        listen([f"{host}:0"])


def test_without_a_host_all_interfaces_are_listened_on() -> None:
    """One socket takes IPv4 and, where the kernel has it, IPv6."""
    hosts = ["127.0.0.1", "::1"] if socket.has_dualstack_ipv6() else ["127.0.0.1"]

    [opened] = listen([":0"])
    with opened:
        for host in hosts:
            socket.create_connection((host, opened.getsockname()[1]), timeout=5).close()


def test_several_addresses_are_listened_on() -> None:
    """Each address has its socket, in order."""
    opened = listen(["127.0.0.1:0", "127.0.0.2:0"])

    assert [socket.getsockname()[0] for socket in opened] == ["127.0.0.1", "127.0.0.2"]
    for item in opened:
        item.close()
