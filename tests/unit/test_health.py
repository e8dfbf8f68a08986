"""Asking a running server how it is."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from exporter import cli
from exporter.export.exposition import Exposition
from exporter.export.messages import HEALTHY, Request, Response, plain
from exporter.export.site import Site
from exporter.export.web import WebServer
from exporter.export.webconfig.keeper import PolicyKeeper
from exporter.health import Health, ask
from exporter.pulse import PATIENCE, Pulse
from exporter.vitals import Vitals
from tests.unit.export.servers import serving
from tests.unit.export.webconfig.files import ALICE, Office, web_file

TLS = "tls_server_config:\n  cert_file: server.crt\n  key_file: server.key\n"
CLIENTS = f"{TLS}  client_ca_file: client-ca.crt\n  client_auth_type: RequireAndVerifyClientCert\n"
USERS = f"basic_auth_users: {{alice: {ALICE}}}\n"


def answering(status: int) -> Callable[[Request], Response]:
    """A server that says so on its page of health, and 404 elsewhere."""
    return lambda request: plain(status if request.path == HEALTHY else 404, "")


def site(pulse: Pulse) -> Callable[[Request], Response]:
    return Site(Exposition(tuple), silence=pulse.silence).handle


@contextmanager
def configured(path: str) -> Iterator[int]:
    """A server under a web configuration."""
    vitals = Vitals()
    keeper = PolicyKeeper(path, told=vitals, interval=3600)
    with WebServer(["127.0.0.1:0"], answering(200), policy=keeper.policy, counts=vitals) as server:
        yield server.bound[0][1]


def test_one_that_is_alive() -> None:
    """It says so on its page of health."""
    with serving(answering(200)) as port:
        assert Health(is_well=True, detail="it is alive") == ask(f"127.0.0.1:{port}")


@pytest.mark.parametrize("address", [":{}", "0.0.0.0:{}"])
def test_one_that_listens_everywhere_is_asked_on_loopback(address: str) -> None:
    """All interfaces is no address to connect to."""
    with serving(answering(200)) as port:
        assert ask(address.format(port)).is_well


def test_one_whose_loop_hangs_is_not_well() -> None:
    """The page of health answers 503 once the loop has not got on for five minutes, and 200 when it does again."""
    now = 1000.0
    pulse = Pulse(lambda: now)
    with serving(site(pulse)) as port:
        now += PATIENCE
        assert ask(f"127.0.0.1:{port}").is_well
        now += 1
        health = ask(f"127.0.0.1:{port}")
        assert Health(is_well=False, detail="it answers 503: its log tells why") == health
        pulse.beat()
        assert ask(f"127.0.0.1:{port}").is_well


def test_one_that_wants_a_password(tmp_path: Path) -> None:
    """No page is open without, and the refusal is an answer."""
    with configured(web_file(tmp_path, USERS)) as port:
        assert Health(is_well=True, detail="it answers, and wants a password") == ask(f"127.0.0.1:{port}")


def test_one_that_speaks_tls(tmp_path: Path) -> None:
    """Its certificate need not name loopback."""
    Office(tmp_path)
    with configured(web_file(tmp_path, TLS)) as port:
        assert Health(is_well=True, detail="it is alive") == ask(f"127.0.0.1:{port}", tls=True)


@pytest.mark.parametrize("version", ["TLS12", "TLS13"])
def test_one_that_wants_a_certificate(tmp_path: Path, version: str) -> None:
    """To be turned away is an answer, where one knows that it wants a certificate; else it is not."""
    Office(tmp_path)
    with configured(web_file(tmp_path, f"{CLIENTS}  max_version: {version}\n")) as port:
        health = ask(f"127.0.0.1:{port}", tls=True, certificate=True)
        assert Health(is_well=True, detail="it answers, and wants a certificate") == health
        assert not ask(f"127.0.0.1:{port}", tls=True).is_well


def test_nobody_there() -> None:
    """A port that nobody holds is told by its address."""
    with serving() as port:
        pass
    assert Health(is_well=False, detail=f"no answer at 127.0.0.1:{port}: Connection refused") == ask(
        f"127.0.0.1:{port}"
    )


def test_one_that_does_not_speak_tls() -> None:
    """Somebody else's server, say."""
    with serving(answering(200)) as port:
        assert not ask(f"127.0.0.1:{port}", tls=True).is_well


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It learns address and TLS from where the exporter has them, prints one line, and its exit code tells."""
    Office(tmp_path)
    with configured(web_file(tmp_path, TLS)) as port:
        environment = {"LAYERSTORE_WEB_LISTEN_ADDRESS": f"127.0.0.1:{port}"}
        config = f"--web.config.file={tmp_path}/web.yml"
        assert (cli.DONE, "it is alive\n") == (cli.main(["health", config], environment), capsys.readouterr().out)
    assert cli.NO == cli.main(["health", config], environment)


def test_the_command_knows_that_a_certificate_is_wanted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It reads as much of the web configuration."""
    Office(tmp_path)
    with configured(web_file(tmp_path, CLIENTS)) as port:
        flags = [f"--web.config.file={tmp_path}/web.yml", f"--web.listen-address=127.0.0.1:{port}"]
        assert cli.DONE == cli.main(["health", *flags], {})
    assert capsys.readouterr().out.endswith("it answers, and wants a certificate\n")
