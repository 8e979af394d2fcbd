"""Ed25519 signatures (RFC 8032 §5.1), eight at a time where the processor can (multibuffer.py).

A signature takes OpenSSL 40 µs, and a lane 6 µs. Signatures are not verified as RSA's are: a fault in the arithmetic
reveals the key only beside a sound signature of the same text, and the time of signing makes each attempt's text its
own. dkim.py decides what is signed.
"""

from collections.abc import Sequence
from ctypes import CDLL, c_uint32, create_string_buffer
from functools import cache

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from actors.compose.multibuffer import LANES, Blocks, LaneKey, Pointers, SpareRooms, load_library

WORTH_IT = 2
"""From this many signatures the lanes are faster, even if some are unused."""

_KEY_OCTETS = 32
_OCTETS = 64
_DIGEST_OCTETS = 32
_Lengths = c_uint32 * LANES


class SigningKey:
    """A private key, in the forms that the two signers need."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self.openssl = key
        self.lane = LaneKey(
            create_string_buffer(key.private_bytes_raw(), _KEY_OCTETS),
            create_string_buffer(key.public_key().public_bytes_raw(), _KEY_OCTETS),
        )


def sign_all(wanted: Sequence[tuple[SigningKey, bytes]]) -> list[bytes]:
    """A signature with each key over each SHA-256 digest, in order (RFC 8463 §3: the hash is what is signed)."""
    lanes = load_lanes()
    signatures: list[bytes] = []
    for start in range(0, len(wanted), LANES):
        some = wanted[start : start + LANES]
        if isinstance(lanes, SigningLanes) and len(some) >= WORTH_IT:
            signatures += lanes.sign(some)
        else:
            signatures += [key.openssl.sign(digest) for key, digest in some]
    return signatures


class SigningLanes:
    """Intel's library: ``crypto_mb/ed25519.h`` of the Cryptography Primitives."""

    def __init__(self, library: CDLL) -> None:
        self._sign = library.mbx_ed25519_sign_mb8
        # The two halves of each signature, the texts and their lengths, the private and the public keys.
        self._sign.argtypes = [Pointers, Pointers, Pointers, _Lengths, Pointers, Pointers]
        self._sign.restype = c_uint32  # four bits a lane, zero for success
        self._lengths = _Lengths(*[_DIGEST_OCTETS] * LANES)
        self._rooms = SpareRooms(_Room)

    def sign(self, wanted: Sequence[tuple[SigningKey, bytes]]) -> list[bytes]:
        """Signatures over digests, at most as many as there are lanes."""
        private, public = LaneKey.in_lanes([key.lane for key, _ in wanted])
        with self._rooms.one() as room:
            room.given.fill([digest for _, digest in wanted])
            status = self._sign(
                room.made.lanes,
                room.second_halves,
                room.given.lanes,
                self._lengths,
                private,
                public,
            )
            signatures = room.made.taken(len(wanted))
        if status:  # no argument can be wrong but by a fault of ours
            raise RuntimeError(f"crypto_mb: mbx_ed25519_sign_mb8 answered {status:#x}")
        return signatures


class _Room:
    def __init__(self) -> None:
        self.given, self.made = Blocks(_DIGEST_OCTETS), Blocks(_OCTETS)
        self.second_halves = self.made.lanes_from(_OCTETS // 2)


@cache
def load_lanes() -> SigningLanes | str:
    """The lanes, or why they cannot be used."""
    library = load_library()
    return library if isinstance(library, str) else SigningLanes(library)
