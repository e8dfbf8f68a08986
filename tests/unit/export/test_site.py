"""The pages: which there are, for whom, and when."""

import gzip

import pytest

from exporter.account.report import Report
from exporter.export.exposition import Exposition
from exporter.export.messages import Request, Response
from exporter.export.metrics.own import vitals_families
from exporter.export.metrics.report import families
from exporter.export.site import Site
from tests.unit.export.reports import golden_report, golden_vitals


def site_of(report: Report | None = None, *, telemetry_path: str = "/metrics") -> Site:
    exposition = Exposition(lambda: vitals_families(golden_vitals()))
    site = Site(exposition, telemetry_path=telemetry_path)
    if report is not None:
        exposition.publish(families(report, layer_limit=100, image_limit=100))
        site.publish(report)
    return site


def asked(site: Site, path: str, *, method: str = "GET", **headers: str) -> Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return site.handle(Request(method=method, path=path, headers=named))


def text(response: Response) -> str:
    body = b"".join(response.body)
    return (gzip.decompress(body) if dict(response.headers).get("Content-Encoding") == "gzip" else body).decode()


def test_metrics_are_what_the_exposition_says() -> None:
    """Plain text for whoever asks for nothing else, and the header says what it depends on."""
    response = asked(site_of(golden_report()), "/metrics")

    headers = {"Content-Type": "text/plain; version=0.0.4; charset=utf-8", "Vary": "Accept, Accept-Encoding"}
    assert headers == dict(response.headers)
    assert 'layerstore_layers{store="overlay2",usage="shared"} 2.0\n' in text(response)
    assert text(response).endswith("layerstore_web_config_last_reload_success_timestamp_seconds 1.7599964e+09\n")


def test_metrics_are_compressed_and_in_openmetrics_for_who_asks() -> None:
    """As Prometheus asks."""
    response = asked(
        site_of(golden_report()),
        "/metrics",
        accept="application/openmetrics-text;version=1.0.0",
        accept_encoding="gzip",
    )

    headers = dict(response.headers)
    assert (headers["Content-Encoding"], headers["Content-Type"].split(";")[0]) == (
        "gzip",
        "application/openmetrics-text",
    )
    assert text(response).endswith("# EOF\n")


def test_metrics_lie_where_they_were_told_to() -> None:
    """Another path for the metrics moves them, and whoever looks at the old one is told."""
    site = site_of(golden_report(), telemetry_path="/elsewhere")

    assert asked(site, "/elsewhere").status == 200
    lost = asked(site, "/metrics")
    assert (lost.status, text(lost)) == (404, "There is nothing here; the metrics are at /elsewhere.\n")


def test_ready_means_that_there_is_a_report() -> None:
    """Before the first report the exporter is alive and not ready; metrics are only its own."""
    site = site_of()

    assert [asked(site, path).status for path in ("/-/healthy", "/-/ready", "/", "/metrics")] == [200, 503, 200, 200]
    assert "layerstore_layers" not in text(asked(site, "/metrics"))
    assert [asked(site_of(golden_report()), path).status for path in ("/-/healthy", "/-/ready")] == [200, 200]


@pytest.mark.parametrize("path", ["", "*", "/metrics/", "/Metrics", "//", "/-/", "/../etc/passwd", "/%2e%2e"])
def test_other_paths_are_not_there(path: str) -> None:
    """A path is one of the four, to the letter."""
    assert asked(site_of(golden_report()), path).status == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "get"])
@pytest.mark.parametrize("path", ["/", "/metrics", "/-/healthy", "/-/ready"])
def test_nothing_can_be_written(method: str, path: str) -> None:
    """Only reading is allowed, and the answer says so."""
    response = asked(site_of(golden_report()), path, method=method)

    assert (response.status, dict(response.headers)["Allow"]) == (405, "GET, HEAD")


def test_the_landing_page_may_do_nothing() -> None:
    """No script, no frame, no foreign resource, no referrer; its figures are not kept in caches."""
    headers = dict(asked(site_of(golden_report()), "/").headers)

    policy = headers.pop("Content-Security-Policy").split("; ")
    assert {"default-src 'none'", "base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'"} < set(policy)
    assert not any("unsafe" in directive or "http" in directive for directive in policy)
    expected = {
        "Content-Type": "text/html; charset=utf-8",
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-store",
    }
    assert expected == headers
