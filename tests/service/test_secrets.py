"""A server under a web configuration, from its start to its end: nothing secret comes out of it anywhere."""

import base64
import signal
import subprocess
import sys
import urllib.error
from pathlib import Path

import bcrypt
import pytest

from tests.service.exporters import Exporter, running
from tests.service.test_lifecycle import build
from tests.unit.export.webconfig.files import Office

PASSWORD, NEXT, WRONG = "correct-horse", "battery-staple", "tr0ub4dor"


def hashed(password: str) -> str:
    return bcrypt.hashpw(password.encode(), bcrypt.gensalt(4)).decode()


def configuration(password_hash: str) -> str:
    return (
        "tls_server_config: {cert_file: server.crt, key_file: server.key}\n"
        f"basic_auth_users: {{prometheus: {password_hash}}}\n"
    )


def login(exporter: Exporter, name: str, password: str) -> None:
    encoded = base64.b64encode(f"{name}:{password}".encode()).decode()
    exporter.headers = {"Authorization": f"Basic {encoded}"}


def status(exporter: Exporter, path: str = "/metrics") -> int:
    try:
        exporter.get(path)
    except urllib.error.HTTPError as error:
        with error:
            return error.code
    return 200


@pytest.fixture
def office(tmp_path: Path) -> Office:
    return Office(tmp_path)


def test_no_secret_is_in_any_log_or_page(tmp_path: Path, office: Office) -> None:
    """Through good and bad logins, good and bad changes of the configuration on SIGHUP, each of which is logged, and
    the end: neither passwords, nor hashes, nor the key, nor a name that was given and is none."""
    root, config = tmp_path / "docker", tmp_path / "web.yml"
    build(root)
    first, second = hashed(PASSWORD), hashed(NEXT)
    config.write_text(configuration(first))
    pages = ""

    with running(tmp_path, root, f"--web.config.file={config}", "--log.level=debug") as exporter:
        exporter.scheme, exporter.tls = "https", office.trusting()
        assert status(exporter) == 401
        login(exporter, "prometheus", WRONG)
        assert status(exporter) == 401
        login(exporter, WRONG, PASSWORD)
        assert status(exporter) == 401
        login(exporter, "prometheus", PASSWORD)
        exporter.wait_until(exporter.is_ready)
        pages += exporter.get("/metrics") + exporter.get("/")

        bad = (
            f"basic_auth_users: {{prometheus: {NEXT}}}",
            f"basic_auth_users: {{prometheus: *{NEXT}",
            f"basic_auth_users:\n  prometheus: '{second}\n",
            configuration(second).replace("server.key", "none.key"),
        )
        for number, text in enumerate(bad, start=1):
            config.write_text(text)
            exporter.process.send_signal(signal.SIGHUP)
            exporter.wait_until(lambda number=number: failures(exporter) == number)  # type: ignore[misc]
            assert status(exporter) == 200
        reload = "layerstore_web_config_last_reload_successful"
        exporter.wait_until(lambda: exporter.samples()[reload][frozenset()] == 0)

        config.write_text(configuration(second))
        exporter.process.send_signal(signal.SIGHUP)
        exporter.wait_until(lambda: exporter.logged("web configuration read again"))
        assert status(exporter) == 401
        login(exporter, "prometheus", NEXT)
        assert status(exporter) == 200
        exporter.wait_until(lambda: exporter.samples()[reload][frozenset()] == 1)
        pages += exporter.get("/metrics") + exporter.get("/")
        assert exporter.end() == 0

    key = "".join(office.server.key.read_text().splitlines()[1:-1])
    secrets = {PASSWORD, NEXT, WRONG, first[7:], second[7:], key[:40], key[-40:]}
    secrets |= {base64.b64encode(f"prometheus:{password}".encode()).decode() for password in (PASSWORD, NEXT, WRONG)}
    assert [] == [secret for secret in secrets if secret in exporter.log or secret in pages]
    assert len(exporter.events()) > len(bad)


def failures(exporter: Exporter) -> int:
    """How often a configuration was logged that cannot be used."""
    return len([line for line in exporter.events() if "cannot be used" in str(line["event"])])


def test_no_secret_is_in_the_error_at_the_start(tmp_path: Path) -> None:
    """Exit code 2 and a sentence with file, place or key."""
    root, config = tmp_path / "docker", tmp_path / "web.yml"
    root.mkdir()
    for text in (f"basic_auth_users: {{prometheus: {PASSWORD}}}", f"basic_auth_users: {{prometheus: *{PASSWORD}"):
        config.write_text(text)
        done = subprocess.run(
            [sys.executable, "-m", "exporter", f"--path.docker-root={root}", f"--web.config.file={config}"],
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )
        assert done.returncode == 2
        assert str(config) in done.stderr
        assert PASSWORD not in done.stderr + done.stdout
