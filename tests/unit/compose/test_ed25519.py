"""Whether signatures are made one at a time or several, they are those that OpenSSL makes."""

from hashlib import sha256
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from actors.compose import ed25519


@pytest.fixture(scope="module")
def keys() -> list[Ed25519PrivateKey]:
    return [Ed25519PrivateKey.generate() for _ in range(3)]


@pytest.mark.parametrize("by", ["lanes", "openssl"])
@pytest.mark.parametrize("count", [0, 1, 2, 7, 8, 9, 10, 24])
def test_any_number_of_signatures_with_keys_in_any_order(
    keys: list[Ed25519PrivateKey], count: int, by: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if by == "openssl":
        monkeypatch.setattr(ed25519, "load_lanes", lambda: "not installed")
    wanted = [(keys[number % 3], sha256(b"%d" % number).digest()) for number in range(count)]
    made = ed25519.sign_all([(ed25519.SigningKey(key), digest) for key, digest in wanted])
    assert made == [key.sign(digest) for key, digest in wanted]


def test_the_lanes_are_used_where_the_processor_has_them(keys: list[Ed25519PrivateKey]) -> None:
    """These come with the pinned packages; without them, OpenSSL makes every signature."""
    lanes = ed25519.load_lanes()
    if "avx512ifma" not in Path("/proc/cpuinfo").read_text("ascii"):
        assert isinstance(lanes, str)
        return
    assert isinstance(lanes, ed25519.SigningLanes)
    assert lanes.sign([(ed25519.SigningKey(keys[0]), b"d" * 32)]) == [keys[0].sign(b"d" * 32)]
