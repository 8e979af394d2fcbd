"""Intel's multi-buffer library (``crypto_mb`` of the Cryptography Primitives): eight signatures in the lanes of wide
registers. It is used if it is installed (the extra ``multibuffer``) and the processor has AVX-512 IFMA. OpenSSL makes
every signature otherwise. rsa.py and ed25519.py call it; this module loads it and lays out its arguments.
"""

from ctypes import CDLL, Array, addressof, c_char, c_uint64, c_void_p, create_string_buffer
from functools import cache
from importlib.metadata import PackageNotFoundError, files

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


def filled(blocks: list[bytes]) -> Array[c_char]:
    """The blocks, all of one size, one a lane. All lanes are filled: an empty lane takes as long."""
    data = b"".join(blocks) + blocks[-1] * (LANES - len(blocks))
    return create_string_buffer(data, len(data))


def lanes_of(buffer: Array[c_char], size: int, offset: int = 0) -> Array[c_void_p]:
    """Where each lane's block of ``size`` octets begins in the buffer, ``offset`` octets further on."""
    start = addressof(buffer) + offset
    return Pointers(*range(start, start + LANES * size, size))


def _path(package: str, name: str) -> str:
    """The path of a file that a package has installed. Raises PackageNotFoundError."""
    for file in files(package) or ():
        if file.name == name:
            return str(file.locate())
    raise PackageNotFoundError(f"{package}: {name}")
