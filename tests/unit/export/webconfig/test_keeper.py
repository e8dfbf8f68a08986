"""The web configuration while it is in force: what changes is taken over, what is bad is not."""

from collections.abc import Callable
from pathlib import Path
from threading import Event

import pytest
import structlog
from structlog.typing import EventDict

from exporter.export.webconfig.errors import WebConfigError
from exporter.export.webconfig.keeper import PolicyKeeper
from exporter.vitals import Vitals, WebVitals
from tests.unit.export.webconfig.files import ALICE, Office, web_file

USERS = f"basic_auth_users: {{alice: {ALICE}}}\n"
TLS = "tls_server_config: {cert_file: server.crt, key_file: server.key}\n"


class Kept:
    """A keeper, what it logs, and what it counts."""

    def __init__(self, path: str, *, reloading: Callable[[], None] = lambda: None) -> None:
        self.vitals = Vitals(clock=lambda: 1000.0)
        with structlog.testing.capture_logs() as self.lines:
            self.keeper = PolicyKeeper(path, told=self.vitals, interval=3600, reloading=reloading)

    def look(self) -> list[EventDict]:
        """Look after the files; what is logged."""
        with structlog.testing.capture_logs() as lines:
            self.keeper.look()
        return lines

    @property
    def web(self) -> WebVitals:
        return self.vitals.snapshot().web


def test_nothing_changes_by_itself(tmp_path: Path) -> None:
    """As long as the files stay as they are the policy is the same value, and nothing is said."""
    kept = Kept(web_file(tmp_path, USERS))
    before = kept.keeper.policy()
    assert [] == kept.look() == kept.look()
    assert before is kept.keeper.policy()
    assert (kept.web.config_success, kept.web.config_last_success) == (True, 1000.0)


def test_a_changed_file_is_taken_over(tmp_path: Path) -> None:
    """Users, headers and TLS, and back to none."""
    kept = Kept(web_file(tmp_path, USERS))
    users = kept.keeper.policy().users
    assert users is not None
    assert users.check(b"alice", b"x")
    web_file(tmp_path, "http_server_config: {headers: {X-Frame-Options: deny}}\n")
    (line,) = kept.look()
    policy = kept.keeper.policy()
    assert (policy.users, policy.headers) == (None, (("X-Frame-Options", "deny"),))
    assert line["event"] == "web configuration read again"


def test_a_renewed_certificate_is_taken_over(tmp_path: Path) -> None:
    """A change of any file that is named counts, also where it is replaced and its size stays."""
    office = Office(tmp_path)
    kept = Kept(web_file(tmp_path, TLS))
    before = kept.keeper.policy().tls
    office.renew()
    kept.look()
    assert kept.keeper.policy().tls not in {None, before}


def test_a_bad_change_leaves_the_old_in_force(tmp_path: Path) -> None:
    """It is said once, counted, and tried until it is good: also where a file comes that was not there before."""
    office = Office(tmp_path)
    kept = Kept(web_file(tmp_path, USERS))
    before = kept.keeper.policy()
    key = office.server.key.read_bytes()
    office.server.key.unlink()
    web_file(tmp_path, TLS)
    (line,) = kept.look()
    assert "tls_server_config.key_file" in line["reason"]
    assert line["log_level"] == "error"
    assert [] == kept.look()
    assert before is kept.keeper.policy()
    assert (kept.web.config_success, kept.web.config_last_success) == (False, 1000.0)

    office.server.key.write_bytes(key)
    (line,) = kept.look()
    assert line["event"] == "web configuration read again"
    assert kept.keeper.policy().tls is not None
    assert kept.web.config_success


def test_a_half_renewed_certificate_is_not_taken_over(tmp_path: Path) -> None:
    """Between the new certificate and its key the old ones serve."""
    office = Office(tmp_path)
    kept = Kept(web_file(tmp_path, TLS))
    before, key = kept.keeper.policy(), office.server.key.read_bytes()
    office.renew()
    new_key = office.server.key.read_bytes()
    office.server.key.write_bytes(key)
    (line,) = kept.look()
    assert "the key is not the certificate's" in line["reason"]
    assert before is kept.keeper.policy()
    office.server.key.write_bytes(new_key)
    kept.look()
    assert before is not kept.keeper.policy()


def test_a_file_that_vanishes_leaves_the_old_in_force(tmp_path: Path) -> None:
    """Nobody is let in because the file with the users is gone."""
    path = web_file(tmp_path, USERS)
    kept = Kept(path)
    Path(path).unlink()
    kept.look()
    assert kept.keeper.policy().users is not None
    assert kept.web.config_success is False


def test_a_bad_file_at_the_start_is_an_error(tmp_path: Path) -> None:
    """There is nothing before it that could stay in force."""
    with pytest.raises(WebConfigError):
        Kept(web_file(tmp_path, "basic_auth_users: {alice: x}\n"))


@pytest.mark.parametrize(
    ("told", "certificate", "key"),
    [
        ("cert_file: .*server.crt cannot be read", None, ""),
        ("no PEM file, or the key is encrypted", "rubbish", ""),
        ("no PEM file, or the key is encrypted", "", "rubbish"),
        ("no PEM file, or the key is encrypted", "", "ENCRYPTED"),
    ],
)
def test_bad_certificates_are_refused(tmp_path: Path, told: str, certificate: str | None, key: str) -> None:
    """With the files' names; an encrypted key does not ask the terminal for its password."""
    office = Office(tmp_path)
    if certificate is None:
        office.server.certificate.unlink()
    elif certificate:
        office.server.certificate.write_text(certificate)
    if key:
        written = office.server.key.read_text() if key == "ENCRYPTED" else key
        office.server.key.write_text(written.replace("-----\n", "-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: X,0\n\n", 1))
    with pytest.raises(WebConfigError, match=told):
        Kept(web_file(tmp_path, TLS))


def test_a_ca_without_a_certificate_is_refused(tmp_path: Path) -> None:
    """Nobody could be verified with it."""
    office = Office(tmp_path)
    office.client_ca.write_text("rubbish")
    clients = "client_ca_file: client-ca.crt, client_auth_type: RequireAndVerifyClientCert"
    with pytest.raises(WebConfigError, match=r"client_ca_file: .*client-ca.crt holds no certificate"):
        Kept(web_file(tmp_path, TLS.replace("}", f", {clients}}}")))


def test_passwords_without_tls_are_a_warning(tmp_path: Path) -> None:
    """They go over the network in the clear, which is fine only behind something that speaks TLS."""
    (line,) = Kept(web_file(tmp_path, USERS)).lines
    assert line["event"] == "passwords go over the network in the clear"


def test_a_reading_can_be_asked_for(tmp_path: Path) -> None:
    """As SIGHUP does: everything is read again, changed or not, and the service manager is told before and after."""
    path = web_file(tmp_path, USERS)
    steps: list[str] = []
    done = Event()

    def reloaded() -> None:
        steps.append("reloaded")
        done.set()

    keeper = PolicyKeeper(
        path, told=Vitals(), interval=3600, reloading=lambda: steps.append("reloading"), reloaded=reloaded
    )
    before = keeper.policy()
    keeper.start()
    keeper.reload()
    assert done.wait(10)
    keeper.stop()
    assert ["reloading", "reloaded"] == steps
    assert before is not keeper.policy()
