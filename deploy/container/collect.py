"""Collect what a Python program needs of the system, and nothing else: the root of an image without shell, pip or apt.

``python3 collect.py ROOT``, run in a build stage by the very interpreter that the image will have, copies into ROOT,
under the same paths: the interpreter, its standard library without what a service never imports, and the shared
libraries that these and the extension modules already in ROOT are linked with, as ldd(1) finds them.
"""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from pathlib import Path

UNUSED = (
    *("ensurepip", "site-packages", "dist-packages", "EXTERNALLY-MANAGED"),  # pip, and what others installed
    *("distutils", "lib2to3", "config-*"),  # to build with
    *("test", "tests", "__phello__", "pydoc_data"),
    *("idlelib", "tkinter", "_tkinter.*", "turtledemo", "_curses*.so", "readline.*"),  # for people at a screen
    *("_dbm.*", "_gdbm.*", "nis.*"),  # databases and directories that nobody asks, and Kerberos behind one of them
    "sitecustomize.py",  # Debian's is a link to a file that is not taken along
)
"""Parts of the standard library, by patterns of names."""
MERGED = ("bin", "lib", "lib64", "sbin")
"""Top directories that are links to those in /usr on a system of today."""
FILES = {
    "etc/passwd": "root:x:0:0:root:/:/sbin/nologin\nnobody:x:65534:65534:nobody:/:/sbin/nologin\n",
    "etc/group": "root:x:0:\nnogroup:x:65534:\n",
    "etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
}


def main() -> None:
    """Fill the directory that the command line names."""
    (root,) = map(Path, sys.argv[1:])
    for name in MERGED:
        if Path("/", name).is_symlink() and not (root / name).is_symlink():
            (root / os.readlink(f"/{name}")).mkdir(parents=True, exist_ok=True)
            (root / name).symlink_to(os.readlink(f"/{name}"))
    copy(Path(sys.executable), root)
    for directory in {sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib")}:
        shutil.copytree(
            directory, root / directory[1:], symlinks=True, dirs_exist_ok=True, ignore=shutil.ignore_patterns(*UNUSED)
        )
    for library in sorted(libraries(binaries(root))):
        copy(library, root)
    # Without the cache only the system's own directories would be looked into, and not /usr/local/lib.
    copy(Path("/etc/ld.so.cache"), root)
    for name, content in FILES.items():
        (root / name).write_text(content, "utf-8")


def copy(path: Path, root: Path) -> None:
    """Copy a file to the same path below *root*; where a link leads to it, the link too."""
    real = Path(os.path.realpath(path))
    target = root / str(real)[1:]
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(real, target)
    beside = Path(os.path.realpath(path.parent), path.name)
    if beside != real:
        link = root / str(beside)[1:]
        link.parent.mkdir(parents=True, exist_ok=True)
        link.unlink(missing_ok=True)
        link.symlink_to(os.path.relpath(real, beside.parent))


def binaries(root: Path) -> Iterator[Path]:
    """All programs and shared libraries below *root*."""
    for path in root.rglob("*"):
        if path.is_file() and not path.is_symlink():
            with path.open("rb") as content:
                if content.read(4) == b"\x7fELF":
                    yield path


def libraries(linked: Iterable[Path]) -> set[Path]:
    """The shared libraries that *linked* need, the loader among them.

    Raises:
        SystemExit: where one is not found: the image would not start.
    """
    found: set[Path] = set()
    for path in linked:
        said = subprocess.run(["ldd", path], capture_output=True, text=True, check=False)  # noqa: S603, S607 - files of the build
        if "statically linked" in said.stdout:
            continue
        if said.returncode != 0 or "not found" in said.stdout:
            sys.exit(f"{path}: {said.stdout}{said.stderr}")
        found |= {Path(name) for name in re.findall(r"(?:^|=> )\s*(/\S+) \(0x", said.stdout, re.MULTILINE)}
    return found


if __name__ == "__main__":
    main()
