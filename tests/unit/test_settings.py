"""A flag beats the environment, the environment beats the default; and what makes no sense is refused with a reason."""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter import settings
from exporter.measure.measurer import START
from exporter.settings import Pace, ServeSettings
from exporter.store.detect import Root

PACE = Pace()
DEFAULTS = ServeSettings(
    pace=PACE,
    growth_threshold=100 << 20,
    state_path=None,
    measure_volumes=True,
    layer_limit=100,
    image_limit=100,
    listen=(":10412",),
    telemetry_path="/metrics",
    web_config=None,
)


def parse(arguments: Sequence[str] = (), environ: Mapping[str, str] | None = None) -> ServeSettings:
    parser = argparse.ArgumentParser(exit_on_error=False, allow_abbrev=False)
    variables = {} if environ is None else environ
    settings.add_options(parser, settings.SERVING, variables)
    settings.add_volume_flags(parser, variables)
    return settings.serve_settings(parser.parse_args(list(arguments)), variables)


def test_defaults() -> None:
    """Nobody needs to say anything."""
    assert parse() == DEFAULTS


OPTIONS: dict[str, tuple[str, str, ServeSettings, str]] = {
    "--scan.interval": ("LAYERSTORE_SCAN_INTERVAL", "1m", replace(DEFAULTS, pace=replace(PACE, interval=60.0)), "9s"),
    "--scan.full-interval": (
        "LAYERSTORE_SCAN_FULL_INTERVAL",
        "1h",
        replace(DEFAULTS, pace=replace(PACE, full_interval=3600.0)),
        "9m",
    ),
    "--scan.cpu-budget": (
        "LAYERSTORE_SCAN_CPU_BUDGET",
        "2.5%",
        replace(DEFAULTS, pace=replace(PACE, cpu_budget=0.025)),
        "0.5",
    ),
    "--uppers.max-directories": (
        "LAYERSTORE_UPPERS_MAX_DIRECTORIES",
        "10",
        replace(DEFAULTS, pace=replace(PACE, max_directories=10)),
        "9",
    ),
    "--growth.log-threshold": (
        "LAYERSTORE_GROWTH_LOG_THRESHOLD",
        "1GB",
        replace(DEFAULTS, growth_threshold=10**9),
        "0",
    ),
    "--state.path": ("LAYERSTORE_STATE_PATH", "/s", replace(DEFAULTS, state_path="/s"), "/t"),
    "--layers.limit": ("LAYERSTORE_LAYERS_LIMIT", "7", replace(DEFAULTS, layer_limit=7), "9"),
    "--images.limit": ("LAYERSTORE_IMAGES_LIMIT", "0", replace(DEFAULTS, image_limit=0), "9"),
    "--web.listen-address": ("LAYERSTORE_WEB_LISTEN_ADDRESS", "[::1]:1", replace(DEFAULTS, listen=("[::1]:1",)), ":9"),
    "--web.config.file": (
        "LAYERSTORE_WEB_CONFIG_FILE",
        "/etc/web.yml",
        replace(DEFAULTS, web_config="/etc/web.yml"),
        "/srv/web.yml",
    ),
    "--web.telemetry-path": ("LAYERSTORE_WEB_TELEMETRY_PATH", "/m", replace(DEFAULTS, telemetry_path="/m"), "/n"),
}
every_option = pytest.mark.parametrize("flag", OPTIONS)


@every_option
def test_the_variable_beats_the_default(flag: str) -> None:
    """The variable of a flag is its name in capitals after LAYERSTORE."""
    variable, text, expected, _ = OPTIONS[flag]
    assert parse([], {variable: text}) == expected


@every_option
def test_the_flag_beats_the_variable(flag: str) -> None:
    """What is typed is what is meant."""
    variable, text, expected, other = OPTIONS[flag]
    assert parse([flag, text], {variable: other}) == expected
    assert parse([f"{flag}={text}"], {variable: other}) == expected


@every_option
def test_an_empty_variable_is_none(flag: str) -> None:
    """A unit file or a manifest may set a variable to nothing: that leaves the default."""
    variable, _, _, _ = OPTIONS[flag]
    assert parse([], {variable: ""}) == DEFAULTS


def test_a_repeatable_flag_adds_up() -> None:
    """Each use of the flag is one more value, and the variable's values do not come on top."""
    flags = ["--web.listen-address", ":1", "--web.listen-address", "[::1]:2"]
    assert parse(flags, {"LAYERSTORE_WEB_LISTEN_ADDRESS": ":3"}).listen == (":1", "[::1]:2")


def test_a_repeatable_variable_is_separated_by_commas() -> None:
    """Blanks around the commas do not matter, nor do empty parts."""
    assert parse([], {"LAYERSTORE_WEB_LISTEN_ADDRESS": " :1, :2 ,,"}).listen == (":1", ":2")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("15s", 15.0), ("250ms", 0.25), ("5m", 300.0), ("1.5h", 5400.0), ("20", 20.0), (" 3s ", 3.0), ("0.001s", 0.001)],
)
def test_durations(text: str, seconds: float) -> None:
    """A number with its unit; without one it is seconds."""
    assert settings.duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text",
    ["", "0", "0s", "-5s", "15 s", "15x", "s", "1e3", "nan", "inf", "9" * 400, "9999999h", "\u0661\u0665s", "5s\n5s"],
)
def test_what_is_no_duration(text: str) -> None:
    """Nothing, less than nothing, what cannot be waited for, and what is no number."""
    with pytest.raises(argparse.ArgumentTypeError, match="no duration"):
        settings.duration(text)


@pytest.mark.parametrize("text", ["", "-1", "1.5", "ten", "0x10", "1_000"])
def test_what_is_no_count(text: str) -> None:
    """A limit is a whole number."""
    with pytest.raises(argparse.ArgumentTypeError, match="no whole number"):
        settings.count(text)


@pytest.mark.parametrize(("text", "path"), [("/a/b", "/a/b"), ("/a/", "/a"), ("/", "/"), ("//", "/")])
def test_paths_lose_their_last_slash(text: str, path: str) -> None:
    """One root has one name."""
    assert settings.absolute_path(text) == path


@pytest.mark.parametrize("text", ["", "a", "./a", "~/a", "file:///a"])
def test_a_relative_path_is_refused(text: str) -> None:
    """A service has no directory that a path could begin in."""
    with pytest.raises(argparse.ArgumentTypeError, match="no absolute path"):
        settings.absolute_path(text)


@pytest.mark.parametrize("text", ["", "/", "metrics", "/a b", "/a/", "/a?b", "/a#b", "/m\u00e9trique", "/a\n", "//"])
def test_what_is_no_route(text: str) -> None:
    """A path that a scrape cannot ask for, and the landing page's own."""
    with pytest.raises(argparse.ArgumentTypeError, match="no path"):
        settings.route(text)


@pytest.mark.parametrize("text", ["/-/healthy", "/-/ready", "/-/anything"])
def test_a_route_that_is_taken(text: str) -> None:
    """Metrics in the place of a health check would always be healthy."""
    with pytest.raises(argparse.ArgumentTypeError, match="taken"):
        settings.route(text)


def test_a_word_may_be_written_in_capitals() -> None:
    """INFO is info, and verbose is nothing."""
    level = settings.one_of("debug", "info")
    assert level("INFO") == "info"
    with pytest.raises(argparse.ArgumentTypeError, match="'verbose' is none of debug, info"):
        level("verbose")


def test_a_bad_flag_names_itself() -> None:
    """Whoever reads the message knows what to change."""
    with pytest.raises(argparse.ArgumentError) as refused:
        parse(["--scan.interval", "soon"])
    assert "--scan.interval" in str(refused.value)
    assert "'soon' is no duration" in str(refused.value)


def test_a_bad_variable_is_refused_as_a_flag_is() -> None:
    """It is not skipped: the default would run unnoticed."""
    with pytest.raises(argparse.ArgumentError, match="'many' is no whole number"):
        parse([], {"LAYERSTORE_LAYERS_LIMIT": "many"})


def test_a_bad_variable_of_a_repeatable_flag_names_itself() -> None:
    """The variable is what has to be changed, so it is what the message names."""
    parser = argparse.ArgumentParser()
    variables = {"LAYERSTORE_PATH_DOCKER_ROOT": "/var/lib/docker,relative"}
    settings.add_options(parser, settings.READING, variables)
    with pytest.raises(argparse.ArgumentTypeError) as refused:
        settings.repeated(parser.parse_args([]), settings.DOCKER_ROOT, variables)
    assert str(refused.value) == "variable LAYERSTORE_PATH_DOCKER_ROOT: 'relative' is no absolute path"


@given(st.text())
def test_no_text_breaks_a_parser(text: str) -> None:
    """Any text is taken or refused; whatever duration is taken can be waited for."""
    for option in (*settings.READING, *settings.SERVING, *settings.LOGGING):
        try:
            value = option.parse(text)
        except (argparse.ArgumentTypeError, ValueError):
            continue
        assert value or value == 0 or text == "" or option is settings.LISTEN
    try:
        assert 0 < settings.duration(text) <= 366 * 86400
    except argparse.ArgumentTypeError:
        assert text.strip() != "1"


def test_the_settings_shown_can_be_typed_again() -> None:
    """What the landing page shows is how the same can be had again."""
    roots = [Root(path="/a"), Root(path="/b"), Root(path="/c", engine="containerd")]
    shown = settings.shown(DEFAULTS, roots)
    assert shown == {
        "--path.docker-root": "/a /b",
        "--path.containerd-root": "/c",
        "--scan.interval": "15s",
        "--scan.full-interval": "300s",
        "--scan.cpu-budget": "0.01",
        "--layers.limit": "100",
        "--images.limit": "100",
    }
    assert parse([f"{flag}={value}" for flag, value in shown.items() if not flag.startswith("--path.")]) == DEFAULTS
    assert settings.shown(DEFAULTS, roots[:1]).keys() == shown.keys() - {"--path.containerd-root"}


def test_the_help_tells_what_a_start_may_spend() -> None:
    """More than the budget: who sets a small one for a machine with little to spare must know."""
    assert f"{START:g} CPU seconds at once at each start" in settings.CPU_BUDGET.meaning


def test_the_state_file_lies_where_systemd_says() -> None:
    """A unit with StateDirectory= needs no flag; a flag beats it."""
    environ = {"STATE_DIRECTORY": "/var/lib/layerstore-exporter"}
    path = parse([], environ).state_path
    assert path is not None
    assert path.startswith("/var/lib/layerstore-exporter/")
    assert parse(["--state.path", "/s"], environ).state_path == "/s"


def test_volumes_are_switched_by_flags() -> None:
    """On unless somebody says no; the last word holds; the variable is the default."""
    assert not parse(["--volumes.disable"]).measure_volumes
    assert parse(["--volumes.disable", "--volumes.enable"]).measure_volumes
    assert not parse([], {"LAYERSTORE_VOLUMES_DISABLE": "1"}).measure_volumes
    assert parse(["--volumes.enable"], {"LAYERSTORE_VOLUMES_DISABLE": "1"}).measure_volumes
