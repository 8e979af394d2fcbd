"""Intel's multi-buffer library (``crypto_mb`` of the Cryptography Primitives): eight signatures in the lanes of wide
registers. It is used if it is installed (the extra ``multibuffer``) and the processor has AVX-512 IFMA. OpenSSL makes
every signature otherwise. rsa.py and ed25519.py call it; this module loads it and lays out its arguments.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from ctypes import CDLL, Array, addressof, c_char, c_uint64, c_void_p, create_string_buffer
from functools import cache
from importlib.metadata import PackageNotFoundError, files
from typing import Generic, TypeVar

Room = TypeVar("Room")

LANES = 8
Pointers = c_void_p * LANES

_LIBRARY = ("ipp-crypto", "libcrypto_mb.so")
_RUNTIME = tuple(("intel-cmplr-lib-rt", name) for name in ("libintlc.so.5", "libimf.so", "libirng.so", "libsvml.so"))
"""The libraries that it is linked to, in the order of loading."""


@cache
def load_library() -> CDLL | str:
    """The library, or why it cannot be used: it is not installed, cannot be loaded, or needs another processor."""
    try:
        for package, name in _RUNTIME:
            CDLL(_path(package, name))
        library = CDLL(_path(*_LIBRARY))
    except (PackageNotFoundError, OSError) as error:
        return str(error)
    library.mbx_is_crypto_mb_applicable.argtypes = [c_uint64]
    if not library.mbx_is_crypto_mb_applicable(0):
        return "the processor has no AVX-512 IFMA"
    return library


def why_one_at_a_time() -> str | None:
    """Why OpenSSL makes every signature; None if the library is used."""
    library = load_library()
    return library if isinstance(library, str) else None


class Blocks:
    """A buffer with a block of ``size`` octets for each lane, which calls use again."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._buffer = create_string_buffer(LANES * size)
        self.lanes = self.lanes_from(0)
        """Where the blocks begin."""

    def lanes_from(self, offset: int) -> Array[c_void_p]:
        """Where each block has its octet of this number."""
        start = addressof(self._buffer) + offset
        return Pointers(*range(start, start + LANES * self._size, self._size))

    def fill(self, blocks: Sequence[bytes]) -> None:
        """All lanes are filled: an empty lane takes as long."""
        self._buffer.raw = b"".join(blocks) + blocks[-1] * (LANES - len(blocks))

    def taken(self, count: int) -> list[bytes]:
        """The first blocks."""
        data, size = self._buffer.raw, self._size
        return [data[start : start + size] for start in range(0, count * size, size)]


class SpareRooms(Generic[Room]):
    """What calls work in, to be used again: one for each that runs at a time, in whatever thread."""

    def __init__(self, make: Callable[[], Room]) -> None:
        self._make = make
        self._spare: list[Room] = []

    @contextmanager
    def one(self) -> Iterator[Room]:
        try:
            room = self._spare.pop()
        except IndexError:
            room = self._make()
        yield room
        self._spare.append(room)


class LaneKey:
    """A key in the library's form: some numbers, each in a buffer."""

    def __init__(self, *numbers: Array[c_char]) -> None:
        self.numbers = numbers
        self._in_all_lanes = [_pointers([number]) for number in numbers]

    @staticmethod
    def in_lanes(keys: Sequence["LaneKey"]) -> list[Array[c_void_p]]:
        """Where each lane has each number. Most often one key signs in all of them."""
        first = keys[0]
        if keys.count(first) == len(keys):
            return first._in_all_lanes
        return [_pointers(numbers) for numbers in zip(*[key.numbers for key in keys], strict=True)]


def _pointers(buffers: Sequence[Array[c_char]]) -> Array[c_void_p]:
    """A buffer for each lane: the last one for those that are left over."""
    places = [addressof(buffer) for buffer in buffers]
    return Pointers(*places, *places[-1:] * (LANES - len(places)))


def _path(package: str, name: str) -> str:
    """The path of a file that a package has installed. Raises PackageNotFoundError."""
    for file in files(package) or ():
        if file.name == name:
            return str(file.locate())
    raise PackageNotFoundError(f"{package}: {name}")
