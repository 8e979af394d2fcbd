"""RSA signatures (RFC 8017 §8.2, PKCS #1 v1.5 with SHA-256), eight at a time where the processor can.

OpenSSL makes one signature after the other. Intel's multi-buffer library makes eight in the lanes of wide registers, in
the time that OpenSSL takes for three; a bulk sender always has more to sign. The library is used for RSA-2048 if it is
installed (the extra ``multibuffer``) and the processor has AVX-512 IFMA. OpenSSL signs everything else, and makes the
signatures again that do not verify. dkim.py decides what is signed.
"""

from collections.abc import Sequence
from ctypes import CDLL, Array, addressof, c_char, c_char_p, c_int, c_uint32, c_uint64, c_void_p, create_string_buffer
from functools import cache
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, files

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from msgspec import Struct

BITS = 2048
"""Size of the keys that the library is used for; other sizes are rare."""
WORTH_IT = 3
"""From this many signatures the lanes are faster, even if some are unused."""
LANES = 8

_OCTETS = BITS // 8
_EXPONENT = 65537
_PKCS1 = padding.PKCS1v15()
_SHA256 = hashes.SHA256()
_DIGEST_INFO = bytes.fromhex("3031300d060960864801650304020105000420")
"""RFC 8017 §9.2, note 1: the DER prefix of a SHA-256 digest."""
_PADDING = b"\0\1" + b"\xff" * (_OCTETS - 3 - len(_DIGEST_INFO) - 32) + b"\0" + _DIGEST_INFO

_LIBRARY = ("ipp-crypto", "libcrypto_mb.so")
_RUNTIME = tuple(("intel-cmplr-lib-rt", name) for name in ("libintlc.so.5", "libimf.so", "libirng.so", "libsvml.so"))
"""The libraries that it is linked to, in the order of loading."""

_Pointers = c_void_p * LANES


class SigningKey:
    """A private key, in the forms that the two signers need."""

    def __init__(self, key: RSAPrivateKey) -> None:
        self.openssl = key
        self.lane: _LaneKey | None = None
        numbers = key.private_numbers()
        if key.key_size == BITS and numbers.public_numbers.e == _EXPONENT:
            crt = (numbers.p, numbers.q, numbers.dmp1, numbers.dmq1, numbers.iqmp)
            modulus = _little_endian(numbers.public_numbers.n, _OCTETS)
            self.lane = _LaneKey(tuple(_little_endian(number, _OCTETS // 2) for number in crt), modulus)


class _LaneKey(Struct, frozen=True):
    crt: tuple[Array[c_char], ...]
    """p, q, d mod (p - 1), d mod (q - 1), 1/q mod p (RFC 8017 §3.2)."""
    modulus: Array[c_char]


def sign_all(wanted: Sequence[tuple[SigningKey, bytes]]) -> list[bytes]:
    """A signature with each key over the SHA-256 of each text, in order."""
    signatures: list[bytes | None] = [None] * len(wanted)
    lanes = load_lanes()
    if isinstance(lanes, SigningLanes):
        fit = [(index, key.lane, text) for index, (key, text) in enumerate(wanted) if key.lane is not None]
        for start in range(0, len(fit) - WORTH_IT + 1, LANES):
            some = fit[start : start + LANES]
            made = lanes.sign([(key, sha256(text).digest()) for _, key, text in some])
            for (index, _, _), signature in zip(some, made, strict=True):
                signatures[index] = signature
    return [
        signature or key.openssl.sign(text, _PKCS1, _SHA256)
        for signature, (key, text) in zip(signatures, wanted, strict=True)
    ]


class SigningLanes:
    """Intel's library: ``crypto_mb/rsa.h`` of the Cryptography Primitives."""

    def __init__(self, library: CDLL) -> None:
        sign, verify = library.mbx_rsa_private_crt_mb8, library.mbx_rsa_public_mb8
        sign.argtypes = [*[_Pointers] * 7, c_int, c_void_p, c_char_p]
        verify.argtypes = [*[_Pointers] * 3, c_int, c_void_p, c_char_p]
        sign.restype = verify.restype = c_uint32  # four bits a lane, zero for success
        self._sign, self._verify = sign, verify
        self._private, self._public = (
            _method(library, f"mbx_RSA2K_{kind}_Method") for kind in ("private_crt", "pub65537")
        )
        library.mbx_RSA_Method_BufSize.argtypes = [c_void_p]
        self._room = max(library.mbx_RSA_Method_BufSize(method) for method in (self._private, self._public))

    def sign(self, wanted: Sequence[tuple[_LaneKey, bytes]]) -> list[bytes | None]:
        """Signatures over digests, at most as many as there are lanes; None for one that did not verify, since a fault
        in the arithmetic with the two primes would reveal the key."""
        blocks = b"".join(_PADDING + digest for _, digest in wanted)
        # All lanes are filled: an empty lane takes as long.
        keys = [wanted[min(lane, len(wanted) - 1)][0] for lane in range(LANES)]
        blocks += blocks[-_OCTETS:] * (LANES - len(wanted))
        given, signed, opened = (create_string_buffer(data, len(blocks)) for data in (blocks, b"", b""))
        room = create_string_buffer(self._room)
        crt = [_Pointers(*(addressof(key.crt[number]) for key in keys)) for number in range(5)]
        moduli = _Pointers(*(addressof(key.modulus) for key in keys))
        self._sign(_lanes_of(given), _lanes_of(signed), *crt, BITS, self._private, room)
        self._verify(_lanes_of(signed), _lanes_of(opened), moduli, BITS, self._public, room)
        signatures = []
        for lane in range(len(wanted)):
            part = slice(lane * _OCTETS, (lane + 1) * _OCTETS)
            signatures.append(signed.raw[part] if opened.raw[part] == blocks[part] else None)
        return signatures


def why_one_at_a_time() -> str | None:
    """Why OpenSSL makes every signature; None if the library is used."""
    lanes = load_lanes()
    return lanes if isinstance(lanes, str) else None


@cache
def load_lanes() -> SigningLanes | str:
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
    return SigningLanes(library)


def _lanes_of(buffer: Array[c_char]) -> Array[c_void_p]:
    start = addressof(buffer)
    return _Pointers(*(start + lane * _OCTETS for lane in range(LANES)))


def _method(library: CDLL, name: str) -> int:
    make = getattr(library, name)
    make.restype = c_void_p
    method: int = make()
    return method


def _path(package: str, name: str) -> str:
    """The path of a file that a package has installed. Raises PackageNotFoundError."""
    for file in files(package) or ():
        if file.name == name:
            return str(file.locate())
    raise PackageNotFoundError(f"{package}: {name}")


def _little_endian(number: int, size: int) -> Array[c_char]:
    return create_string_buffer(number.to_bytes(size, "little"), size)
