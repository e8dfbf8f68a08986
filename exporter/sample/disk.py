"""Writes records the way engines do: with their modes, and replaced whole where they replace."""

import json
import os
import random
from pathlib import Path


def make_directory(path: Path, mode: int) -> Path:
    """Make the directory, and those above it, with this mode whatever the umask; those that exist are left alone."""
    if not path.is_dir():
        make_directory(path.parent, mode)
        path.mkdir()
        path.chmod(mode)
    return path


def write_record(path: Path, content: str | bytes, mode: int = 0o644) -> None:
    """Write a record in place: a reader may see it empty or half written."""
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    path.chmod(mode)


def replace_record(path: Path, content: str | bytes, rng: random.Random, mode: int = 0o600) -> None:
    """Write a record beside and rename it into place: a reader sees the old one or the new one."""
    temporary = path.with_name(f".tmp-{path.name}{rng.randrange(10**9)}")
    write_record(temporary, content, mode)
    os.replace(temporary, path)


def encode_json(value: object) -> bytes:
    """JSON as Go's ``encoding/json`` writes it: compact, and with ``<``, ``>``, ``&`` escaped."""
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text.encode()


def hex_id(rng: random.Random) -> str:
    """64 hex digits, as engines name containers and directories."""
    return f"{rng.getrandbits(256):064x}"
