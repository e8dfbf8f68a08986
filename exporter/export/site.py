"""The pages of the web server: what each path answers."""

from collections.abc import Callable, Mapping

from exporter.account.report import Report
from exporter.export.exposition import Exposition
from exporter.export.landing import CONTENT_SECURITY_POLICY, Page, landing_page
from exporter.export.messages import HEALTHY, READY, Request, Response, accepts_gzip, plain
from exporter.pulse import PATIENCE
from exporter.vitals import Vitals

METHODS = ("GET", "HEAD")


class Site:
    """Answers requests from the last report, never by scanning. Every method may be called from any thread."""

    def __init__(
        self,
        exposition: Exposition,
        *,
        telemetry_path: str = "/metrics",
        vitals: Vitals | None = None,
        flags: Mapping[str, str] | None = None,
        silence: Callable[[], float] = lambda: 0.0,
    ) -> None:
        """*vitals* and *flags* (by name) are for the landing page, which does without those that are not given;
        *silence* tells for how many seconds the loop has not got on."""
        self._exposition = exposition
        self._telemetry_path = telemetry_path
        self._vitals = vitals
        self._flags = dict(flags or {})
        self._silence = silence
        self._report: Report | None = None
        self._pages: Mapping[str, Callable[[Request], Response]] = {
            "/": self._landing,
            HEALTHY: self._healthy,
            READY: self._ready,
            telemetry_path: self._metrics,
        }

    def publish(self, report: Report) -> None:
        """Be ready, and show *report* on the landing page; its metrics are the exposition's."""
        self._report = report

    def handle(self, request: Request) -> Response:
        """The answer to *request*."""
        page = self._pages.get(request.path)
        if page is None:
            return plain(404, f"There is nothing here; the metrics are at {self._telemetry_path}.")
        if request.method not in METHODS:
            return plain(405, "This is for reading only.", ("Allow", ", ".join(METHODS)))
        return page(request)

    def _metrics(self, request: Request) -> Response:
        exposed = self._exposition.expose(
            request.headers.get("accept", ""), compressed=accepts_gzip(request.headers.get("accept-encoding", ""))
        )
        headers = [("Content-Type", exposed.content_type), ("Vary", "Accept, Accept-Encoding")]
        if exposed.compressed:
            headers.append(("Content-Encoding", "gzip"))
        return Response(status=200, headers=tuple(headers), body=exposed.body)

    def _healthy(self, _: Request) -> Response:
        silence = self._silence()
        if silence > PATIENCE:
            return plain(503, f"The loop that reads and measures has not got on for {silence:.0f} seconds.")
        return plain(200, "The exporter is alive.")

    def _ready(self, _: Request) -> Response:
        if self._report is None:
            return plain(503, "The first scan is not finished yet.", ("Retry-After", "1"))
        return plain(200, "The exporter is ready.")

    def _landing(self, _: Request) -> Response:
        page = Page(
            report=self._report,
            vitals=None if self._vitals is None else self._vitals.snapshot(),
            links={"Metrics": self._telemetry_path, "Health": HEALTHY, "Readiness": READY},
            flags=self._flags,
        )
        headers = (
            ("Content-Type", "text/html; charset=utf-8"),
            ("Content-Security-Policy", CONTENT_SECURITY_POLICY),
            ("Referrer-Policy", "no-referrer"),
            ("Cache-Control", "no-store"),
        )
        return Response(status=200, headers=headers, body=(landing_page(page).encode(),))
