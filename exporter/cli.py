"""The command line: ``serve`` (the default), ``demo``, ``report``, ``inspect``, ``check``, ``health``.

Exit codes: 0 done; 1 the answer is no (nothing found, records damaged); 2 the command cannot work: a wrong flag, a root
that cannot be read.
"""

import argparse
import os
import platform
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import NoReturn

from exporter import __version__, settings
from exporter.export.listen import ListenError
from exporter.export.webconfig.errors import WebConfigError
from exporter.store.containerd.roots import containerd_roots
from exporter.store.detect import Root, default_root, is_unused, roots

DONE, NO, UNUSABLE = 0, 1, 2


class UnusableRoot(Exception):  # noqa: N818 - it is a state of the host, shown to a person as a sentence
    """A root that cannot be read at all. The message says which, why, and what to do."""


def main(argv: Sequence[str] | None = None, environ: Mapping[str, str] | None = None) -> int:
    """Run the command that *argv* names; the exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    variables = os.environ if environ is None else environ
    name = arguments.pop(0) if arguments and arguments[0] in _COMMANDS else "serve"
    options, run, _ = _COMMANDS[name]
    parser = _parser(name)
    if name == "serve" and arguments and arguments[0].isalpha() and arguments[0] not in _COMMANDS:
        parser.error(f"{arguments[0]!r} is no command: write one of {', '.join(_COMMANDS)}")
    if name == "inspect":
        parser.add_argument("what", metavar="X", help=_WHAT)
    options(parser, variables)
    try:
        return run(parser.parse_args(arguments), variables)
    except argparse.ArgumentTypeError as error:
        parser.error(str(error))
    except (UnusableRoot, ListenError, WebConfigError) as error:
        sys.stderr.write(f"layerstore-exporter: {error}\n")
        return UNUSABLE
    except KeyboardInterrupt:
        return 128 + 2


_WHAT = (
    "an image reference or ID, a container name or ID, a chain ID or diff ID, a cache-id, an overlay2 directory "
    "or a short name in l/"
)


class _Parser(argparse.ArgumentParser):
    """Tells what is wrong in a sentence; all flags before it would hide it."""

    def error(self, message: str) -> NoReturn:
        self.exit(UNUSABLE, f"{self.prog}: {message}\n{self.prog} --help tells all flags and commands.\n")


def _parser(command: str) -> argparse.ArgumentParser:
    lines = "\n".join(f"  {name:<9}{summary}" for name, (_, _, summary) in _COMMANDS.items())
    parser = _Parser(
        prog=f"layerstore-exporter {command}" if command != "serve" else "layerstore-exporter",
        description=_COMMANDS[command][2],
        epilog=f"commands:\n{lines}\n\nlayerstore-exporter COMMAND --help tells the flags of each.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    version = f"layerstore-exporter {__version__} (Python {platform.python_version()})"
    parser.add_argument("--version", action="version", version=version)
    return parser


def _serve_options(parser: argparse.ArgumentParser, environ: Mapping[str, str]) -> None:
    settings.add_options(parser, (*settings.READING, *settings.SERVING, *settings.LOGGING), environ)
    settings.add_volume_flags(parser, environ)
    parser.add_argument(
        "--sample-fallback",
        action="store_true",
        help="Serve the embedded sample store, and say so, where there is no Docker root that can be read.",
    )


def _demo_options(parser: argparse.ArgumentParser, environ: Mapping[str, str]) -> None:
    settings.add_options(parser, (*settings.SERVING, *settings.LOGGING), environ)
    settings.add_volume_flags(parser, environ)


def _add_growth(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--growth",
        type=settings.duration,
        metavar="TIME",
        help="Measure twice, with that much time between, and tell what grew most.",
    )


def _report_options(parser: argparse.ArgumentParser, environ: Mapping[str, str]) -> None:
    settings.add_options(parser, settings.READING, environ)
    settings.add_volume_flags(parser, environ)
    parser.add_argument("--json", action="store_true", help="Print JSON instead of tables.")
    _add_growth(parser)
    parser.add_argument("--top", type=settings.count, default=10, metavar="N", help="Rows of each table [10].")


def _inspect_options(parser: argparse.ArgumentParser, environ: Mapping[str, str]) -> None:
    settings.add_options(parser, settings.READING, environ)
    parser.add_argument("--json", action="store_true", help="Print JSON instead of a tree.")
    _add_growth(parser)


def _check_options(parser: argparse.ArgumentParser, environ: Mapping[str, str]) -> None:
    settings.add_options(parser, settings.READING, environ)
    parser.add_argument("--json", action="store_true", help="Print JSON instead of text.")


def _health_options(parser: argparse.ArgumentParser, environ: Mapping[str, str]) -> None:
    settings.add_options(parser, (settings.LISTEN, settings.WEB_CONFIG), environ)


def _serve(namespace: argparse.Namespace, environ: Mapping[str, str]) -> int:
    from exporter.serve import serve, serve_sample

    chosen = _prepare(namespace, environ)
    try:
        # A service that is started before its engine waits for it; with a sample at hand nobody wants to wait.
        named = all_roots(namespace, environ, wait=not namespace.sample_fallback)
        if namespace.sample_fallback:
            check_used(named)
    except UnusableRoot as error:
        if not namespace.sample_fallback:
            raise
        sys.stderr.write(f"layerstore-exporter: {error}\n")
        return serve_sample(chosen)
    return serve(named, chosen, daemon_config=namespace.path_docker_config)


def _demo(namespace: argparse.Namespace, environ: Mapping[str, str]) -> int:
    from exporter.serve import serve_sample

    return serve_sample(_prepare(namespace, environ))


def _prepare(namespace: argparse.Namespace, environ: Mapping[str, str]) -> settings.ServeSettings:
    from exporter import logs

    logs.configure(namespace.log_level, namespace.log_format)
    return settings.serve_settings(namespace, environ)


def _report(namespace: argparse.Namespace, environ: Mapping[str, str]) -> int:
    from exporter.people import report

    named = all_roots(namespace, environ)
    report(
        named,
        daemon_config=namespace.path_docker_config,
        as_json=namespace.json,
        top=namespace.top,
        growth=namespace.growth,
        volumes=namespace.measure_volumes,
    )
    return DONE


def _inspect(namespace: argparse.Namespace, environ: Mapping[str, str]) -> int:
    from exporter.people import inspect

    named = all_roots(namespace, environ)
    found = inspect(
        named,
        namespace.what,
        daemon_config=namespace.path_docker_config,
        as_json=namespace.json,
        growth=namespace.growth,
    )
    return DONE if found else NO


def _check(namespace: argparse.Namespace, environ: Mapping[str, str]) -> int:
    from exporter.people import check

    named = all_roots(namespace, environ)
    sound = check(named, daemon_config=namespace.path_docker_config, as_json=namespace.json)
    return DONE if sound else NO


def _health(namespace: argparse.Namespace, environ: Mapping[str, str]) -> int:
    from exporter.health import ask

    tls = None
    if namespace.web_config_file:
        from exporter.export.webconfig.config import read_config

        tls = read_config(namespace.web_config_file).tls
    address = settings.repeated(namespace, settings.LISTEN, environ)[0]
    health = ask(address, tls=tls is not None, certificate=tls is not None and tls.wants_certificate)
    sys.stdout.write(f"{health.detail}\n")
    return DONE if health.is_well else NO


def all_roots(namespace: argparse.Namespace, environ: Mapping[str, str], *, wait: bool = False) -> tuple[Root, ...]:
    """The roots to read, Docker's and containerd's. Raises UnusableRoot where one of them cannot be read at all.

    A host with containerd needs no Docker: its root, where nobody named it, may be missing then.
    """
    hosts = usable_containerds(namespace, environ)
    return (*usable_roots(namespace, environ, wait=wait or any(not is_missing(root.path) for root in hosts)), *hosts)


def usable_containerds(namespace: argparse.Namespace, environ: Mapping[str, str]) -> tuple[Root, ...]:
    """containerd's roots. Raises UnusableRoot where one that the user named cannot be read; one that nobody named is
    left out then, and said to be."""
    named = containerd_roots(
        settings.repeated(namespace, settings.CONTAINERD_ROOT, environ), config=namespace.path_containerd_config
    )
    usable = []
    for root in named:
        try:
            if not (root.followed and is_missing(root.path)):
                check_root(root.path, settings.CONTAINERD_ROOT.flag, "containerd's root directory")
        except UnusableRoot as error:
            if not root.followed:
                raise
            sys.stderr.write(f"layerstore-exporter: what containerd holds is left out: {error}\n")
            continue
        usable.append(root)
    return tuple(usable)


def usable_roots(namespace: argparse.Namespace, environ: Mapping[str, str], *, wait: bool = False) -> tuple[Root, ...]:
    """The roots to read. Raises UnusableRoot where one of them cannot be read at all.

    Where nobody named any it is the engine's own, as it is configured. With *wait* that may be missing: the engine may
    not have been installed or started yet.
    """
    paths = settings.repeated(namespace, settings.DOCKER_ROOT, environ)
    if not paths:
        own = Root(path=os.path.normpath(default_root(namespace.path_docker_config)), followed=True)
        if not (wait and is_missing(own.path)):
            check_root(own.path)
        return (own,)
    named = roots(paths)
    for root in named:
        check_root(root.path)
    return named


def is_missing(path: str) -> bool:
    """Whether there is nothing at *path*, as opposed to something that cannot be read."""
    try:
        os.stat(path)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return False


def check_root(path: str, flag: str = "", what: str = "Docker's root directory") -> None:
    """Raise UnusableRoot where *path*, which *flag* names, is no directory that this user can list."""
    name = f"Name {what} with {flag or settings.DOCKER_ROOT.flag}"
    try:
        os.listdir(path)
    except FileNotFoundError:
        told = "" if flag else " (docker info prints it as Docker Root Dir)"
        raise UnusableRoot(f"{path} does not exist. {name}{told}.") from None
    except NotADirectoryError:
        raise UnusableRoot(f"{path} is not a directory. {name}.") from None
    except PermissionError:
        advice = "Run as root, or with the capability CAP_DAC_READ_SEARCH"
        raise UnusableRoot(f"{path} cannot be read by this user: permission denied. {advice}.") from None
    except OSError as error:
        raise UnusableRoot(f"{path} cannot be read: {error.strerror}. Is its filesystem in order?") from None


def check_used(named: Sequence[Root]) -> None:
    """Raise UnusableRoot where no engine has ever been started on any of these."""
    if all(map(is_unused, named)):
        raise UnusableRoot(f"{named[0].path} holds nothing: no engine has been started on it.")


Options = Callable[[argparse.ArgumentParser, Mapping[str, str]], None]
Run = Callable[[argparse.Namespace, Mapping[str, str]], int]

# The summary of each command is its description, and its line in the list of commands.
_COMMANDS: dict[str, tuple[Options, Run, str]] = {
    "serve": (_serve_options, _serve, "Serve metrics of this host's layer storage. The default."),
    "demo": (_demo_options, _demo, "Serve the embedded sample store, with writers that grow it."),
    "report": (_report_options, _report, "Print where the disk goes: upper layers, layers and images."),
    "inspect": (_inspect_options, _inspect, "Print all that is known of one image, container, layer or directory."),
    "check": (_check_options, _check, "Print what is damaged, and what to do; exit code 1 where anything is."),
    "health": (
        _health_options,
        _health,
        "Ask the exporter that runs on this host how it is; exit code 1 where not well.",
    ),
}
