#!/bin/sh
# Install layerstore-exporter as a systemd service: a virtual environment of its own, a command, the unit, its settings.
#
#   deploy/systemd/install.sh install      also to upgrade: settings, state and drop-ins stay as they are
#   deploy/systemd/install.sh uninstall    settings and state stay, unless PURGE=1
#   deploy/systemd/install.sh program      the environment and the command alone, for an image
#
# Variables, as in make install PREFIX=...:
#   PREFIX      where it goes [/usr/local]: lib/layerstore-exporter and the command bin/layerstore-exporter
#   DESTDIR     put before every path, to make a package or an image; then nothing is started
#   SYSCONFDIR  where default/layerstore-exporter goes, the settings [/etc]
#   UNITDIR     where the unit goes [/etc/systemd/system]
#   PYTHON      the interpreter that the service will use [python3], 3.11 or later
# pip's own variables hold too: PIP_NO_INDEX=1 PIP_FIND_LINKS=/wheels installs without a network.
set -eu
umask 022

NAME=layerstore-exporter
PREFIX=${PREFIX:-/usr/local}
DESTDIR=${DESTDIR:-}
SYSCONFDIR=${SYSCONFDIR:-/etc}
UNITDIR=${UNITDIR:-/etc/systemd/system}
PYTHON=${PYTHON:-python3}

HERE=$(cd "$(dirname "$0")" && pwd)
SOURCE=$(cd "$HERE/../.." && pwd)
LIBDIR=$PREFIX/lib/$NAME
COMMAND=$PREFIX/bin/$NAME
UNIT=$UNITDIR/$NAME.service
SETTINGS=$SYSCONFDIR/default/$NAME

fail() {
    echo "$NAME: $*" >&2
    exit 1
}

# Whether this very system is installed into, and systemd runs it.
is_live() {
    [ -z "$DESTDIR" ] && [ -d /run/systemd/system ]
}

check() {
    for path in "$PREFIX" "$SYSCONFDIR" "$UNITDIR" "${DESTDIR:-/}"; do
        case $path in
        /*) ;;
        *) fail "$path is no absolute path: give PREFIX, DESTDIR, SYSCONFDIR and UNITDIR as absolute paths" ;;
        esac
        case $path in
        *[!A-Za-z0-9/._+-]*) fail "$path holds characters that a unit file or a script's first line cannot" ;;
        esac
    done
}

check_python() {
    "$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null ||
        fail "$PYTHON is not Python 3.11 or later: name one that is with PYTHON=/usr/bin/python3.12"
    home=$("$PYTHON" -c 'import os, sys; print(os.path.realpath(sys.base_prefix))')
    case $home/ in
    /root/* | /home/* | /tmp/* | /var/tmp/* | /run/*)
        fail "$PYTHON lies in $home, where the service's own user cannot rely on it: name another, PYTHON=/usr/bin/python3"
        ;;
    esac
    "$PYTHON" -c 'import ensurepip, venv' 2>/dev/null ||
        fail "$PYTHON cannot make virtual environments: install python3-venv, or what your system calls it"
}

# Build beside the old installation, then change places with it: whoever runs meanwhile has the one or the other whole.
make_environment() {
    mkdir -p "$DESTDIR$PREFIX/lib" "$DESTDIR$PREFIX/bin"
    work=$(mktemp -d "$DESTDIR$PREFIX/lib/.$NAME.XXXXXX")
    trap 'rm -rf "$work"' EXIT
    trap 'exit 1' HUP INT TERM
    new=$work/new

    # pip stays behind: an installation is made anew, never changed.
    "$PYTHON" -m venv "$work/pip"
    "$PYTHON" -m venv --without-pip "$new"
    install_packages "$work/pip/bin/python" --python "$new/bin/python"

    # Of the commands only ours, and under the path where it will be; -I: whatever is in the caller's environment.
    find "$new/bin" -mindepth 1 ! -name 'python*' ! -name "$NAME" -delete
    sed -i "1s|.*|#!$LIBDIR/bin/python -I|" "$new/bin/$NAME"
    sed -i '/^command = /d' "$new/pyvenv.cfg"
    "$new/bin/python" -I -m compileall -q -s "$new" -p "$LIBDIR" "$new/lib"
    chmod 0755 "$new"

    if [ -e "$DESTDIR$LIBDIR" ]; then
        mv "$DESTDIR$LIBDIR" "$work/old"
    fi
    mv "$new" "$DESTDIR$LIBDIR"
    ln -sfn "../lib/$NAME/bin/$NAME" "$DESTDIR$COMMAND"
}

# The versions are those that were tested, and no file is taken but with the hash that it had then.
install_packages() {
    python=$1
    shift
    "$python" -m pip --quiet --disable-pip-version-check "$@" \
        install --no-compile --require-hashes -r "$SOURCE/deploy/requirements.txt"
    "$python" -m pip --quiet --disable-pip-version-check wheel --no-deps --wheel-dir "$work/wheel" "$SOURCE"
    "$python" -m pip --quiet --disable-pip-version-check "$@" \
        install --no-compile --no-deps --no-index "$work"/wheel/*.whl
    # It says where the wheel lay for a moment.
    find "$new/lib" -name direct_url.json -delete
}

write_files() {
    mkdir -p "$DESTDIR$UNITDIR" "$DESTDIR$SYSCONFDIR/default"
    sed -e "s|@LIBDIR@|$LIBDIR|g" -e "s|@SYSCONFDIR@|$SYSCONFDIR|g" "$HERE/$NAME.service" >"$work/unit"
    install -m 0644 "$work/unit" "$DESTDIR$UNIT"
    if [ -e "$DESTDIR$SETTINGS" ]; then
        echo "kept      $DESTDIR$SETTINGS"
    else
        install -m 0644 "$HERE/$NAME.env" "$DESTDIR$SETTINGS"
        echo "installed $DESTDIR$SETTINGS"
    fi
}

do_program() {
    check
    check_python
    make_environment
    echo "installed $DESTDIR$COMMAND: $("$DESTDIR$LIBDIR/bin/python" -I -m exporter --version)"
}

do_install() {
    do_program
    write_files
    echo "installed $DESTDIR$UNIT"
    if is_live; then
        systemctl daemon-reload
        systemctl try-restart "$NAME"
        systemctl is-active --quiet "$NAME" || echo "start it with: systemctl enable --now $NAME"
    fi
}

do_uninstall() {
    check
    if is_live; then
        systemctl disable --now --quiet "$NAME" 2>/dev/null || true
    fi
    rm -f "$DESTDIR$UNIT" "$DESTDIR$COMMAND"
    rm -rf "$DESTDIR$LIBDIR"
    if is_live; then
        systemctl daemon-reload
    fi
    if [ "${PURGE:-}" = 1 ]; then
        rm -f "$DESTDIR$SETTINGS"
        rm -rf "$DESTDIR$UNIT.d" "$DESTDIR/var/lib/private/$NAME"
        rm -f "$DESTDIR/var/lib/$NAME"
        echo "removed, with settings and state"
    else
        echo "removed; PURGE=1 removes $DESTDIR$SETTINGS and the state in /var/lib/$NAME too"
    fi
}

case ${1:-} in
install) do_install ;;
uninstall) do_uninstall ;;
program) do_program ;;
*) fail "say install, uninstall or program; what they take stands at the beginning of $0" ;;
esac
