"""RSA signatures (RFC 8017 §8.2, PKCS #1 v1.5 with SHA-256), eight at a time where the processor can.

OpenSSL makes one signature after the other. Intel's library (multibuffer.py) makes eight of RSA-2048 in the time that
OpenSSL takes for three; a bulk sender always has more to sign. OpenSSL signs everything else, and makes the signatures
again that do not verify. dkim.py decides what is signed.
"""

from collections.abc import Sequence
from ctypes import CDLL, Array, c_char, c_char_p, c_int, c_uint32, c_void_p, create_string_buffer
from functools import cache

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed

from actors.compose.multibuffer import LANES, Blocks, LaneKey, Pointers, SpareRooms, load_library

BITS = 2048
"""Size of the keys that the library is used for; other sizes are rare."""
WORTH_IT = 3
"""From this many signatures the lanes are faster, even if some are unused."""

_OCTETS = BITS // 8
_EXPONENT = 65537
_PKCS1 = padding.PKCS1v15()
_SHA256 = Prehashed(hashes.SHA256())
_DIGEST_INFO = bytes.fromhex("3031300d060960864801650304020105000420")
"""RFC 8017 §9.2, note 1: the DER prefix of a SHA-256 digest."""
_PADDING = b"\0\1" + b"\xff" * (_OCTETS - 3 - len(_DIGEST_INFO) - 32) + b"\0" + _DIGEST_INFO


class SigningKey:
    """A private key, in the forms that the two signers need."""

    def __init__(self, key: RSAPrivateKey) -> None:
        self.openssl = key
        self.lane: LaneKey | None = None
        numbers = key.private_numbers()
        if key.key_size == BITS and numbers.public_numbers.e == _EXPONENT:
            # RFC 8017 §3.2: p, q, d mod (p - 1), d mod (q - 1), 1/q mod p; and the modulus.
            crt = (numbers.p, numbers.q, numbers.dmp1, numbers.dmq1, numbers.iqmp)
            modulus = _little_endian(numbers.public_numbers.n, _OCTETS)
            self.lane = LaneKey(*(_little_endian(number, _OCTETS // 2) for number in crt), modulus)


class _Room:
    def __init__(self, work_octets: int) -> None:
        self.given, self.signed, self.opened = Blocks(_OCTETS), Blocks(_OCTETS), Blocks(_OCTETS)
        self.work = create_string_buffer(work_octets)


def sign_all(wanted: Sequence[tuple[SigningKey, bytes]]) -> list[bytes]:
    """A signature with each key over each SHA-256 digest, in order."""
    signatures: list[bytes | None] = [None] * len(wanted)
    lanes = load_lanes()
    if isinstance(lanes, SigningLanes):
        fit = [(index, key.lane, digest) for index, (key, digest) in enumerate(wanted) if key.lane is not None]
        for start in range(0, len(fit) - WORTH_IT + 1, LANES):
            some = fit[start : start + LANES]
            made = lanes.sign([(key, digest) for _, key, digest in some])
            for (index, _, _), signature in zip(some, made, strict=True):
                signatures[index] = signature
    return [
        signature or key.openssl.sign(digest, _PKCS1, _SHA256)
        for signature, (key, digest) in zip(signatures, wanted, strict=True)
    ]


class SigningLanes:
    """Intel's library: ``crypto_mb/rsa.h`` of the Cryptography Primitives."""

    def __init__(self, library: CDLL) -> None:
        sign, verify = library.mbx_rsa_private_crt_mb8, library.mbx_rsa_public_mb8
        sign.argtypes = [*[Pointers] * 7, c_int, c_void_p, c_char_p]
        verify.argtypes = [*[Pointers] * 3, c_int, c_void_p, c_char_p]
        sign.restype = verify.restype = c_uint32  # four bits a lane, zero for success
        self._sign, self._verify = sign, verify
        self._private, self._public = (
            _method(library, f"mbx_RSA2K_{kind}_Method") for kind in ("private_crt", "pub65537")
        )
        library.mbx_RSA_Method_BufSize.argtypes = [c_void_p]
        work_octets = max(library.mbx_RSA_Method_BufSize(method) for method in (self._private, self._public))
        self._rooms = SpareRooms(lambda: _Room(work_octets))

    def sign(self, wanted: Sequence[tuple[LaneKey, bytes]]) -> list[bytes | None]:
        """Signatures over digests, at most as many as there are lanes; None for one that did not verify, since a fault
        in the arithmetic with the two primes would reveal the key."""
        blocks = [_PADDING + digest for _, digest in wanted]
        *crt, moduli = LaneKey.in_lanes([key for key, _ in wanted])
        with self._rooms.one() as room:
            room.given.fill(blocks)
            self._sign(room.given.lanes, room.signed.lanes, *crt, BITS, self._private, room.work)
            self._verify(room.signed.lanes, room.opened.lanes, moduli, BITS, self._public, room.work)
            signed, opened = room.signed.taken(len(wanted)), room.opened.taken(len(wanted))
        return [
            signature if again == block else None
            for signature, again, block in zip(signed, opened, blocks, strict=True)
        ]


@cache
def load_lanes() -> SigningLanes | str:
    """The lanes, or why they cannot be used."""
    library = load_library()
    return library if isinstance(library, str) else SigningLanes(library)


def _method(library: CDLL, name: str) -> int:
    make = getattr(library, name)
    make.restype = c_void_p
    method: int = make()
    return method


def _little_endian(number: int, size: int) -> Array[c_char]:
    return create_string_buffer(number.to_bytes(size, "little"), size)
