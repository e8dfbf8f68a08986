"""Flags, environment and defaults: the command line as one frozen value.

A flag beats the environment, the environment beats the default. The variable of ``--scan.interval`` is
``LAYERSTORE_SCAN_INTERVAL``; where a flag may be repeated, the variable separates by commas.
"""

import argparse
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from exporter.measure.memory import default_state_path
from exporter.store.containerd.roots import CONFIG
from exporter.store.detect import CONTAINERD, DAEMON_CONFIG, Root

T = TypeVar("T")

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)?", re.ASCII)
_LONGEST = 366 * 86400.0
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, None: 1.0}


def duration(text: str) -> float:
    """Seconds of ``250ms``, ``15s``, ``5m``, ``1h``; a bare number is seconds."""
    match = _DURATION.fullmatch(text.strip())
    seconds = float(match[1]) * _SECONDS[match[2]] if match else 0.0
    if not 0 < seconds <= _LONGEST:
        raise argparse.ArgumentTypeError(f"{text!r} is no duration above 0 and up to a year: write 15s, 5m or 1h")
    return seconds


def count(text: str) -> int:
    """A whole number, 0 or more."""
    if not text.strip().isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number")
    return int(text)


def share(text: str) -> float:
    """A share of one core, of ``1%`` or ``0.01``."""
    number, percent = text.strip().removesuffix("%"), text.strip().endswith("%")
    value = float(number) / (100 if percent else 1) if re.fullmatch(r"\d+(\.\d+)?", number) else 0.0
    if not 0 < value <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no share of one core above 0: write 1% or 0.01")
    return value


_BYTES = re.compile(r"(\d+)\s?(?:(k|M|G|T)(i)?)?B?")
_POWERS = "kMGT"


def byte_count(text: str) -> int:
    """Bytes of ``100MiB`` (of 1024), ``100MB`` (of 1000) or ``104857600``."""
    match = _BYTES.fullmatch(text.strip().replace("K", "k"))
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of bytes: write 100MiB or 104857600")
    unit = 1024 if match[3] else 1000
    power = 0 if match[2] is None else 1 + _POWERS.index(match[2])
    return int(int(match[1]) * unit**power)


def absolute_path(text: str) -> str:
    """An absolute path: a service has no directory of its own to go by."""
    if not text.startswith("/"):
        raise argparse.ArgumentTypeError(f"{text!r} is no absolute path")
    return text.rstrip("/") or "/"


def route(text: str) -> str:
    """A path of the web server, but none of those below ``/-/`` that it has itself."""
    if not re.fullmatch(r"/[\w./~-]*[\w~-]", text, re.ASCII):
        raise argparse.ArgumentTypeError(f"{text!r} is no path: it begins with / and names something, as /metrics does")
    if text.startswith("/-/"):
        raise argparse.ArgumentTypeError(f"{text!r} is taken: paths that begin with /-/ tell how the exporter is")
    return text


def one_of(*choices: str) -> Callable[[str], str]:
    """One of the words given, in any case."""

    def parse(text: str) -> str:
        if text.lower() not in choices:
            raise argparse.ArgumentTypeError(f"{text!r} is none of {', '.join(choices)}")
        return text.lower()

    return parse


@dataclass(frozen=True, slots=True, kw_only=True)
class Option(Generic[T]):
    """One setting: its flag, how its text is read, what it is where nobody says, and what it means."""

    flag: str
    parse: Callable[[str], T]
    default: str
    meaning: str
    metavar: str
    repeatable: bool = False

    @property
    def variable(self) -> str:
        """The environment variable that sets it."""
        return "LAYERSTORE_" + re.sub(r"[.-]", "_", self.flag.lstrip("-")).upper()

    @property
    def attribute(self) -> str:
        """Its name in a parsed namespace."""
        return re.sub(r"[.-]", "_", self.flag.lstrip("-"))


DOCKER_ROOT = Option(
    flag="--path.docker-root",
    parse=absolute_path,
    default="",
    meaning="Docker's root directory; repeatable. Default: data-root of Docker's configuration, else /var/lib/docker.",
    metavar="DIR",
    repeatable=True,
)
DAEMON_FILE = Option(
    flag="--path.docker-config",
    parse=absolute_path,
    default=DAEMON_CONFIG,
    meaning="Docker's daemon.json, read for data-root and storage-driver.",
    metavar="FILE",
)
CONTAINERD_ROOT = Option(
    flag="--path.containerd-root",
    parse=absolute_path,
    default="",
    meaning="containerd's root directory; repeatable. Default: root of containerd's configuration, else "
    "/var/lib/containerd, if it is there. That of Docker's own containerd is found below Docker's root.",
    metavar="DIR",
    repeatable=True,
)
CONTAINERD_FILE = Option(
    flag="--path.containerd-config",
    parse=absolute_path,
    default=CONFIG,
    meaning="containerd's config.toml, read for root and for root_path of its snapshotters.",
    metavar="FILE",
)
SCAN_INTERVAL = Option(
    flag="--scan.interval",
    parse=duration,
    default="15s",
    meaning="Time within which a change is told where nothing hints at it before.",
    metavar="TIME",
)
FULL_INTERVAL = Option(
    flag="--scan.full-interval",
    parse=duration,
    default="5m",
    meaning="Time in which all of an upper layer is read once, where the CPU budget allows.",
    metavar="TIME",
)
CPU_BUDGET = Option(
    flag="--scan.cpu-budget",
    parse=share,
    default="1%",
    meaning="Share of one CPU core that all measuring together may take, but for 5 CPU seconds at once at each start.",
    metavar="PERCENT",
)
MAX_DIRECTORIES = Option(
    flag="--uppers.max-directories",
    parse=count,
    default="200000",
    meaning="Directories remembered of one upper layer, and half as many again of all together; what has more is read "
    "whole each time.",
    metavar="N",
)
GROWTH_THRESHOLD = Option(
    flag="--growth.log-threshold",
    parse=byte_count,
    default="100MiB",
    meaning="Growth of an upper layer within a minute above which a line is logged, with who grows; 0 for never.",
    metavar="BYTES",
)
STATE_PATH = Option(
    flag="--state.path",
    parse=absolute_path,
    default="",
    meaning="File that remembers what was measured of layers, which never change. Default: in systemd's "
    "StateDirectory, else none.",
    metavar="FILE",
)
LAYER_LIMIT = Option(
    flag="--layers.limit",
    parse=count,
    default="100",
    meaning="How many layers get series of their own, the largest first; the rest are summed.",
    metavar="N",
)
IMAGE_LIMIT = Option(
    flag="--images.limit",
    parse=count,
    default="100",
    meaning="How many images get series of their own, those with the most unique bytes first.",
    metavar="N",
)
LISTEN = Option(
    flag="--web.listen-address",
    parse=str,
    default=":10412",
    meaning="Address to serve on, such as :10412, 127.0.0.1:10412 or [::1]:10412; repeatable.",
    metavar="ADDRESS",
    repeatable=True,
)
TELEMETRY_PATH = Option(
    flag="--web.telemetry-path", parse=route, default="/metrics", meaning="Path of the metrics.", metavar="PATH"
)
WEB_CONFIG = Option(
    flag="--web.config.file",
    parse=absolute_path,
    default="",
    meaning="File with TLS, users and headers, in the format of Prometheus' exporter-toolkit. It is read again when "
    "it, or a file that it names, changes.",
    metavar="FILE",
)
LOG_LEVEL = Option(
    flag="--log.level",
    parse=one_of("debug", "info", "warning", "error"),
    default="info",
    meaning="Least severe level to log: debug, info, warning or error.",
    metavar="LEVEL",
)
LOG_FORMAT = Option(
    flag="--log.format",
    parse=one_of("auto", "json", "console"),
    default="auto",
    meaning="json, console, or auto: JSON unless standard error is a terminal.",
    metavar="FORMAT",
)

READING = (DOCKER_ROOT, DAEMON_FILE, CONTAINERD_ROOT, CONTAINERD_FILE)
LOGGING = (LOG_LEVEL, LOG_FORMAT)
SERVING = (
    SCAN_INTERVAL,
    FULL_INTERVAL,
    CPU_BUDGET,
    MAX_DIRECTORIES,
    GROWTH_THRESHOLD,
    STATE_PATH,
    LAYER_LIMIT,
    IMAGE_LIMIT,
    LISTEN,
    TELEMETRY_PATH,
    WEB_CONFIG,
)


def add_options(
    parser: argparse.ArgumentParser,
    options: Sequence[Option[str] | Option[int] | Option[float]],
    environ: Mapping[str, str],
) -> None:
    """Give *parser* the flags of *options*, with the environment's word as their default."""
    for option in options:
        fallback = environ.get(option.variable) or option.default
        note = (
            f" [{option.variable}]"
            if option.repeatable or not option.default
            else f" [{option.variable}; {option.default}]"
        )
        # A default that is text goes through the type as a flag would, so a bad variable is refused like a bad flag.
        parser.add_argument(
            option.flag,
            action="append" if option.repeatable else "store",
            default=None if option.repeatable else fallback or None,
            type=_named(option),
            metavar=option.metavar,
            dest=option.attribute,
            help=(option.meaning + note).replace("%", "%%"),
        )


VOLUMES_VARIABLE = "LAYERSTORE_VOLUMES_DISABLE"


def add_volume_flags(parser: argparse.ArgumentParser, environ: Mapping[str, str]) -> None:
    """Give *parser* the flags that switch the measuring of volumes on and off; the later of several holds."""
    on = environ.get(VOLUMES_VARIABLE, "").lower() in {"", "0", "false", "no"}
    parser.add_argument(
        "--volumes.enable",
        dest="measure_volumes",
        action="store_true",
        default=on,
        help="Measure local volumes on the root's filesystem. The default.",
    )
    parser.add_argument(
        "--volumes.disable",
        dest="measure_volumes",
        action="store_false",
        help=f"Measure no volumes, where they are large and nobody asks. [{VOLUMES_VARIABLE}]",
    )


def _named(option: Option[T]) -> Callable[[str], T]:
    """The option's parser, under the name of what it takes: argparse names it where it raises ValueError."""

    def parse(text: str) -> T:
        return option.parse(text)

    parse.__name__ = option.metavar
    return parse


def repeated(namespace: argparse.Namespace, option: Option[str], environ: Mapping[str, str]) -> tuple[str, ...]:
    """The values of a repeatable option: the flags, else the variable's, else the default; empty where none is.

    Raises ArgumentTypeError where the variable holds what the flag would not take.
    """
    given: list[str] | None = getattr(namespace, option.attribute)
    if given:
        return tuple(given)
    text = environ.get(option.variable) or option.default
    try:
        return tuple(option.parse(part.strip()) for part in text.split(",") if part.strip())
    except argparse.ArgumentTypeError as error:
        raise argparse.ArgumentTypeError(f"variable {option.variable}: {error}") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How often, and how hard, the daemon works."""

    interval: float = 15.0
    """Seconds between two readings of the records, and between two passes over an upper layer, where affordable."""
    full_interval: float = 300.0
    """Seconds in which all of an upper layer is read once, where affordable."""
    cpu_budget: float = 0.01
    """Share of one core that all measuring together may take."""
    max_directories: int = 200_000
    """Directories that are remembered of one upper layer at most, and half as many again of all together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeSettings:
    """What the daemon is told."""

    pace: Pace
    growth_threshold: int
    """Bytes within a minute."""
    state_path: str | None
    """None where nothing is remembered across restarts."""
    measure_volumes: bool
    layer_limit: int
    image_limit: int
    listen: tuple[str, ...]
    telemetry_path: str
    web_config: str | None
    """None for plain HTTP and everybody."""


def serve_settings(namespace: argparse.Namespace, environ: Mapping[str, str]) -> ServeSettings:
    """The daemon's settings out of a parsed command line."""
    return ServeSettings(
        pace=Pace(
            interval=namespace.scan_interval,
            full_interval=max(namespace.scan_full_interval, namespace.scan_interval),
            cpu_budget=namespace.scan_cpu_budget,
            max_directories=namespace.uppers_max_directories,
        ),
        growth_threshold=namespace.growth_log_threshold,
        state_path=namespace.state_path or default_state_path(environ),
        measure_volumes=namespace.measure_volumes,
        layer_limit=namespace.layers_limit,
        image_limit=namespace.images_limit,
        listen=repeated(namespace, LISTEN, environ),
        telemetry_path=namespace.web_telemetry_path,
        web_config=namespace.web_config_file or None,
    )


def shown(chosen: ServeSettings, roots: Iterable[Root]) -> dict[str, str]:
    """The settings that matter, as flags, for a person."""
    named: dict[str, list[str]] = {}
    for root in roots:
        named.setdefault((CONTAINERD_ROOT if root.engine == CONTAINERD else DOCKER_ROOT).flag, []).append(root.path)
    return {
        **{flag: " ".join(paths) for flag, paths in named.items()},
        SCAN_INTERVAL.flag: f"{chosen.pace.interval:g}s",
        FULL_INTERVAL.flag: f"{chosen.pace.full_interval:g}s",
        CPU_BUDGET.flag: f"{chosen.pace.cpu_budget:.3g}",
        LAYER_LIMIT.flag: str(chosen.layer_limit),
        IMAGE_LIMIT.flag: str(chosen.image_limit),
    }
