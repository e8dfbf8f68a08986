"""One YAML file, read strictly: a mapping whose keys are there once, without aliases.

YAML takes the last of two keys alike and says nothing, so a user added twice would have the second password. No message
repeats what the file holds at the place of a mistake: it may be the hash of a password, or one in the clear.
"""

import os
import stat
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import yaml

from exporter.export.webconfig.errors import WebConfigError

LARGEST = 1 << 20
"""Bytes of a file that is read here: a thousand users and long chains of certificates fit well."""


def read_file(path: str, *, what: str) -> bytes:
    """What the file *what* is about holds. It is opened without waiting, for it could be a fifo.

    Raises:
        WebConfigError: It is missing, unreadable, no file, or too large.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise WebConfigError(f"{what}: {path} is no file")
            content = os.read(descriptor, LARGEST + 1)
        finally:
            os.close(descriptor)
    except OSError as error:
        advice = "is the path right? One that is relative counts from the web configuration's own directory"
        if isinstance(error, PermissionError):
            advice = "let the exporter's user read it"
        raise WebConfigError(f"{what}: {path} cannot be read: {error.strerror}: {advice}") from error
    if len(content) > LARGEST:
        raise WebConfigError(f"{what}: {path} is larger than {LARGEST >> 20} MiB: is it the right file?")
    return content


def load_document(path: str) -> Mapping[str, object]:
    """The mapping that the YAML file at *path* holds; empty where it holds nothing.

    Raises:
        WebConfigError: It cannot be read, or is not YAML, or a key is there twice, or it is no mapping.
    """
    content = read_file(path, what="--web.config.file")
    try:
        document = yaml.load(content, Loader=_Strict)  # noqa: S506 - a SafeLoader
    except yaml.MarkedYAMLError as error:
        # The problem's own words may quote the file.
        reason = error.problem if isinstance(error, _Refused) else "that is no YAML"
        raise WebConfigError(f"{path}: {_place(error.problem_mark)}: {reason}") from None
    except (yaml.YAMLError, ValueError):
        # Characters that YAML does not allow, or numbers and dates that are none.
        raise WebConfigError(f"{path}: that is no YAML: it must be plain text in UTF-8") from None
    except RecursionError:
        raise WebConfigError(f"{path}: that is nested too deep") from None
    if document is None:
        return {}
    if not isinstance(document, dict):
        raise WebConfigError(f"{path}: that is no mapping: it should begin with a key such as tls_server_config:")
    return document


class _Refused(yaml.constructor.ConstructorError):
    """YAML that could be read and is refused; the problem is in words of ours."""


class _Strict(yaml.SafeLoader):
    """Refuses aliases and double keys; keys are text as written, so that a user may be called ``no``."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            alias = self.get_event()  # type: ignore[no-untyped-call]  # the stubs leave it out
            raise _Refused(None, None, "aliases are not used here", alias.start_mark)
        return super().compose_node(parent, index)

    def construct_mapping(
        self,
        node: yaml.Node,
        deep: bool = False,  # noqa: ARG002 - the base class passes it; here all is read in depth
    ) -> dict[Hashable, Any]:
        mapping: dict[Hashable, Any] = {}
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise _Refused(None, None, "a key must be plain text", key.start_mark)
            if key.value in mapping:
                raise _Refused(None, None, f"the key {key.value} is there twice", key.start_mark)
            mapping[key.value] = self.construct_object(value, deep=True)
        return mapping


def _place(mark: yaml.error.Mark | None) -> str:
    return "somewhere" if mark is None else f"line {mark.line + 1}, column {mark.column + 1}"


def resolved(path: str, *, beside: str) -> str:
    """*path*, which if relative counts from the directory of the file *beside*."""
    return str(Path(beside).parent / path)
