"""A layer's files: as a tree on disk, and as the tar whose SHA-256 is the layer's diff ID."""

import base64
import gzip
import hashlib
import io
import json
import os
import stat
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from exporter.store.entries import DiffID

BLOCK = tarfile.BLOCKSIZE
_MODIFIED = 1_767_225_600
"""2026-01-01T00:00:00Z: one time in every tar header, so that the same files always give the same diff ID."""
_ZEROS = bytes(1 << 20)
_CRC_POLYNOMIAL = 0xD8000000_00000000
"""CRC-64/ISO, reflected: what tar-split keeps of each file's content."""
_ALL_ONES = 0xFFFFFFFF_FFFFFFFF


@dataclass(frozen=True, slots=True, kw_only=True)
class Symlink:
    """A symbolic link; its size is its target's length."""

    target: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Hardlink:
    """One more name of a file of the same tree."""

    target: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Whiteout:
    """The mark that a file of a lower layer is deleted: a character device 0:0 on overlay, ``.wh.<name>`` in a tar."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Executable:
    """A file with mode 0755; any other has 0644."""

    content: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Sparse:
    """A file of so many bytes that are all hole: it has a size and takes no disk."""

    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Folder:
    """A directory that needs no file below it to exist; a file's own directories need not be named."""


File = bytes | int | Executable | Symlink | Hardlink | Whiteout | Sparse | Folder
"""What a path holds. A number stands for that many zero bytes with disk blocks behind them: cheap, and never a hole."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Archive:
    """What an engine keeps of a layer's tar."""

    diff_id: DiffID
    size: int
    """Apparent bytes as the engine counts them: each file once, directories and whiteouts 0, a symlink its length."""
    tar_split: bytes
    """``tar-split.json.gz``: the tar's headers and padding, and a checksum for each content."""


def inside(name: str) -> str:
    """The name, which must stay inside a layer: this writes as root, below the root of a sample only.

    Raises:
        ValueError: it is absolute, empty, climbs with ``..``, or is not in its shortest form.
    """
    if not {"", ".", ".."}.isdisjoint(name.split("/")):
        raise ValueError(f"not a path inside a layer: {name!r}")
    return name


def beneath(top: Path, name: str) -> Path:
    """The path of ``name`` in a tree on disk, whose symlinks must not lead out of it.

    Raises:
        FileNotFoundError: there is no such tree.
        ValueError: they do, or the name itself does.
    """
    path = top / inside(name)
    if not path.parent.resolve().is_relative_to(top.resolve(strict=True)):
        raise ValueError(f"leads out of the layer: {name!r}")
    return path


def entries(files: Mapping[str, File]) -> list[tuple[str, File]]:
    """Every entry of the tree in the order of a tar: parents first, and hard links after what they name.

    Raises:
        ValueError: a path does not stay inside the layer, or leads through what is no directory.
    """
    complete: dict[str, File] = {}
    for name, file in files.items():
        directory = inside(name)
        while directory := directory.rpartition("/")[0]:
            complete.setdefault(directory, Folder())
        complete[name] = file
    for name in complete:
        directory = name.rpartition("/")[0]
        if directory and not isinstance(complete[directory], Folder):
            raise ValueError(f"not a directory: {directory!r} of {name!r}")
    return sorted(complete.items(), key=lambda entry: (isinstance(entry[1], Hardlink), entry[0].split("/")))


def write_tree(top: Path, files: Mapping[str, File]) -> None:
    """Write the files below ``top``, which exists."""
    for name, file in entries(files):
        path = f"{top}/{name}"
        match file:
            case Folder():
                os.makedirs(path, 0o755, exist_ok=True)
            case Symlink():
                os.symlink(file.target, path)
            case Hardlink():
                os.link(f"{top}/{inside(file.target)}", path, follow_symlinks=False)
            case Whiteout():
                os.mknod(path, stat.S_IFCHR, os.makedev(0, 0))
            case _:
                _write_file(path, file)


def _write_file(path: str, file: bytes | int | Executable | Sparse) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
    try:
        match file:
            case bytes():
                os.write(descriptor, file)
            case Executable():
                os.write(descriptor, file.content)
                os.fchmod(descriptor, 0o755)
            case Sparse():
                os.ftruncate(descriptor, file.size)
            case _:
                allocate(descriptor, 0, file)
    finally:
        os.close(descriptor)


def allocate(descriptor: int, start: int, size: int) -> None:
    """Let the open file hold ``size`` bytes from ``start`` on: zeros that take disk blocks but no time to write."""
    if size:
        os.posix_fallocate(descriptor, start, size)


def archive(files: Mapping[str, File]) -> Archive:
    """The tar of these files, as an engine would have read it while it made the layer."""
    digest = hashlib.sha256()
    split = _TarSplit()
    size = 0
    for name, file in entries(files):
        header = _header(name, file)
        digest.update(header)
        split.segment(header)
        split.file(tar_name(name, file), file)
        length = content_size(file)
        for piece in _content(file):
            digest.update(piece)
        padding = bytes(-length % BLOCK)
        digest.update(padding)
        split.segment(padding)
        size += len(os.fsencode(file.target)) if isinstance(file, Symlink) else length
    end = bytes(2 * BLOCK)
    digest.update(end)
    split.segment(end)
    return Archive(diff_id=DiffID(f"sha256:{digest.hexdigest()}"), size=size, tar_split=split.close())


def content_size(file: File) -> int:
    """Bytes that the entry has in a tar after its header."""
    match file:
        case bytes():
            return len(file)
        case Executable():
            return len(file.content)
        case int():
            return file
        case Sparse():
            return file.size
        case _:
            return 0


def _content(file: File) -> Iterator[bytes]:
    if isinstance(file, bytes | Executable):
        yield _bytes(file)
        return
    left = content_size(file)
    while left:
        piece = _ZEROS[:left] if left < len(_ZEROS) else _ZEROS
        yield piece
        left -= len(piece)


def _bytes(file: bytes | Executable) -> bytes:
    return file if isinstance(file, bytes) else file.content


def tar_name(name: str, file: File) -> str:
    """The entry's name in a tar: a directory ends in a slash, a whiteout is prefixed."""
    match file:
        case Folder():
            return f"{name}/"
        case Whiteout():
            directory, slash, base = name.rpartition("/")
            return f"{directory}{slash}.wh.{base}"
        case _:
            return name


def _header(name: str, file: File) -> bytes:
    info = tarfile.TarInfo(tar_name(name, file))
    info.mtime = _MODIFIED
    info.size = content_size(file)
    match file:
        case Folder():
            info.type, info.mode = tarfile.DIRTYPE, 0o755
        case Symlink():
            info.type, info.mode, info.linkname = tarfile.SYMTYPE, 0o777, file.target
        case Hardlink():
            info.type, info.linkname = tarfile.LNKTYPE, file.target
        case Executable():
            info.mode = 0o755
        case _:
            info.mode = 0o644
    return info.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape")


class _TarSplit:
    """Writes ``tar-split.json.gz`` (github.com/vbatts/tar-split, ``tar/storage``): one JSON object a line.

    Segments (type 2) are the tar's raw bytes between contents; files (type 1) name the content and give its CRC-64.
    """

    def __init__(self) -> None:
        self._lines = io.StringIO()
        self._position = 0
        self._pending = b""

    def segment(self, raw: bytes) -> None:
        """Take raw bytes; what lies between two files becomes one segment."""
        self._pending += raw

    def file(self, name: str, file: File) -> None:
        """Close the segment that ends with the file's header, and name its content."""
        self._flush()
        size = content_size(file)
        entry: dict[str, object] = {"type": 1, **_name_fields(name)}
        if size:
            entry["size"] = size
        checksum = _checksum(file) if size else None
        entry["payload"] = base64.b64encode(checksum).decode() if checksum else None
        self._write(entry)

    def close(self) -> bytes:
        """The whole record."""
        self._flush()
        self._write({"type": 2, "payload": ""})
        return gzip.compress(self._lines.getvalue().encode(), mtime=0)

    def _flush(self) -> None:
        self._write({"type": 2, "payload": base64.b64encode(self._pending).decode()})
        self._pending = b""

    def _write(self, entry: dict[str, object]) -> None:
        entry["position"] = self._position
        self._position += 1
        self._lines.write(json.dumps(entry, separators=(",", ":"), ensure_ascii=False) + "\n")


def _name_fields(name: str) -> dict[str, str]:
    """A name that is no UTF-8 goes as raw bytes, or JSON could not carry it."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return {"name_raw": base64.b64encode(os.fsencode(name)).decode()}
    return {"name": name}


def _checksum(file: File) -> bytes:
    if not isinstance(file, bytes | Executable):
        return _after_zeros(content_size(file))
    table = _crc_table()
    state = _ALL_ONES
    for byte in _bytes(file):
        state = table[(state ^ byte) & 0xFF] ^ (state >> 8)
    return (state ^ _ALL_ONES).to_bytes(8, "big")


@cache
def _crc_table() -> tuple[int, ...]:
    table = []
    for byte in range(256):
        state = byte
        for _ in range(8):
            state = (state >> 1) ^ (_CRC_POLYNOMIAL if state & 1 else 0)
        table.append(state)
    return tuple(table)


def _after_zeros(size: int) -> bytes:
    """The checksum of so many zero bytes: the first state times x^(8 size), instead of a step for every byte."""
    state = _ALL_ONES
    for power, bit in enumerate(reversed(f"{8 * size:b}")):
        if bit == "1":
            state = _multiply(state, _squared(power))
    return (state ^ _ALL_ONES).to_bytes(8, "big")


@cache
def _squared(power: int) -> int:
    """x^(2^power) modulo the polynomial; reflected, so that x itself is the second highest bit."""
    if power == 0:
        return 1 << 62
    root = _squared(power - 1)
    return _multiply(root, root)


def _multiply(left: int, right: int) -> int:
    """The product of two reflected polynomials modulo the CRC's."""
    product = 0
    for bit in range(63, -1, -1):
        if left >> bit & 1:
            product ^= right
        right = (right >> 1) ^ (_CRC_POLYNOMIAL if right & 1 else 0)
    return product
