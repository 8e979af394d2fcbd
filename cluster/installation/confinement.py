"""Confines threads to some folders by Landlock (Linux): they, and the threads and processes that they make, can open
nothing else, and no TCP connection. It cannot be undone.

Landlock holds for a thread and for what it makes later, so every thread that calls the embedded engine is confined
before its first call, and the engine's own threads are made by those. It needs no rights. Where the kernel has none,
``confine`` says so, and nothing else stands between the engine's code and the files of its user.

See landlock(7) and https://docs.kernel.org/userspace-api/landlock.html.
"""

import ctypes
import importlib.util
import os
import platform
import struct
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from pathlib import Path

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
"""Numbers of the system calls; the same on all architectures."""
_VERSION = 1  # LANDLOCK_CREATE_RULESET_VERSION
_PATH_BENEATH = 1
_PR_SET_NO_NEW_PRIVS = 38

_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1, 1 << 1, 1 << 2, 1 << 3
_TRUNCATE, _IOCTL_DEV = 1 << 14, 1 << 15
_RIGHTS_BY_VERSION = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}
"""How many rights to files each version of the interface knows."""
_TCP, _TCP_SINCE = 3, 4
"""To bind and to connect; no rule allows either. From which version on they are known."""
_OF_FILES = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _IOCTL_DEV
_READ = _EXECUTE | _READ_FILE | _READ_DIR

READABLE = ("/usr", "/lib", "/lib64", "/proc", "/sys", "/dev/urandom", "/dev/random", "/etc/localtime")
"""What the engine and the interpreter read: libraries, time zones, and what the kernel says of memory and cores."""
DEVICES = ("/dev/null",)
PACKAGES = ("actors", "analytics", "cluster")
"""postray's own. Where it is installed to be edited, their folders are neither the interpreter's nor in sys.path."""
ENGINE = ("chdb", "clickhouse_connect")
"""The engine and its driver. What they import is installed beside them."""
_OF_INSTALLERS = ("site-packages", "dist-packages")
"""What folders are called in which Python's installers put packages."""


def version() -> int:
    """The version of Landlock's interface; 0 where there is none."""
    if sys.platform != "linux" or platform.python_implementation() != "CPython":
        return 0
    found = _libc().syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), _VERSION)
    return max(int(found), 0)


class Confinement:
    """Confines each thread that calls it to the same folders."""

    def __init__(self, writable: Iterable[Path]) -> None:
        self._writable = tuple(writable)

    def __call__(self) -> None:
        confine(self._writable)


def confine(writable: Iterable[Path]) -> bool:
    """Confine the calling thread to these folders, and to reading what the engine and Python are made of. Returns False
    where the kernel has no Landlock. Raises OSError.

    It can read all of ``/proc`` that the kernel shows it, the environment of its own process among that: start the
    process without secrets in its environment (``launch/ray_node.py``)."""
    known = version()
    if not known:
        return False
    all_rights = (1 << _RIGHTS_BY_VERSION.get(known, max(_RIGHTS_BY_VERSION.values()))) - 1
    libc = _libc()
    attributes = struct.pack("QQ", all_rights, _TCP) if known >= _TCP_SINCE else struct.pack("Q", all_rights)
    ruleset = _done(libc.syscall(_CREATE_RULESET, attributes, ctypes.c_size_t(len(attributes)), 0))
    try:
        for path in {*READABLE, *_of_python()}:
            _allow(ruleset, path, _READ & all_rights)
        for path in DEVICES:
            _allow(ruleset, path, all_rights)
        for folder in writable:
            _allow(ruleset, folder, all_rights & ~_EXECUTE)
        _done(libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
        _done(libc.syscall(_RESTRICT_SELF, ruleset, 0))
    finally:
        os.close(ruleset)
    return True


def _of_python() -> Iterator[str]:
    """The folders of the interpreter, of installed packages and of postray. Not all of sys.path: Ray adds the data
    directory to it. Nor sys.prefix: a virtual environment may have been made in the folder that holds everything."""
    for kind in ("stdlib", "platstdlib"):
        yield sysconfig.get_path(kind)
    yield str(Path(sysconfig.get_path("stdlib")).parent)  # shared libraries of an interpreter that is not the system's
    yield from (path for path in sys.path if Path(path).name in _OF_INSTALLERS)
    yield from (str(Path(folder).parent) for folder in _folders(ENGINE))
    yield from _folders(PACKAGES)


def _folders(packages: Iterable[str]) -> Iterator[str]:
    for name in packages:
        spec = importlib.util.find_spec(name)
        if spec is not None:
            yield from spec.submodule_search_locations or ()


def _allow(ruleset: int, path: str | Path, rights: int) -> None:
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        if not os.path.isdir(path):
            rights &= _OF_FILES
        rule = struct.pack("=Qi", rights, descriptor)
        _done(_libc().syscall(_ADD_RULE, ruleset, _PATH_BENEATH, rule, 0))
    finally:
        os.close(descriptor)


def _done(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)
