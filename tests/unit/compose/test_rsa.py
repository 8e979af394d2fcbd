"""Whether signatures are made one at a time or several, they are those that OpenSSL makes."""

from hashlib import sha256
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key

from actors.compose import multibuffer, rsa


@pytest.fixture(scope="module")
def keys() -> list[RSAPrivateKey]:
    """Two of the usual size, and one of another."""
    return [generate_private_key(public_exponent=65537, key_size=size) for size in (2048, 2048, 3072)]


def by_openssl(key: RSAPrivateKey, text: bytes) -> bytes:
    return key.sign(text, PKCS1v15(), hashes.SHA256())


def digest(text: bytes) -> bytes:
    return sha256(text).digest()


@pytest.mark.parametrize("count", [0, 1, 2, 3, 7, 8, 9, 11, 24])
def test_any_number_of_signatures_with_keys_in_any_order(keys: list[RSAPrivateKey], count: int) -> None:
    wanted = [(keys[number % 3], b"%d" % number * number) for number in range(count)]
    made = rsa.sign_all([(rsa.SigningKey(key), digest(text)) for key, text in wanted])
    assert made == [by_openssl(key, text) for key, text in wanted]


def test_the_lanes_are_used_where_the_processor_has_them(keys: list[RSAPrivateKey]) -> None:
    """These come with the pinned packages; without them, OpenSSL makes every signature."""
    lanes = rsa.load_lanes()
    if "avx512ifma" not in Path("/proc/cpuinfo").read_text("ascii"):
        assert multibuffer.why_one_at_a_time()
        return
    assert isinstance(lanes, rsa.SigningLanes)
    lane = rsa.SigningKey(keys[0]).lane
    assert lane is not None
    assert lanes.sign([(lane, digest(b"text"))]) == [by_openssl(keys[0], b"text")]


def test_a_signature_that_does_not_verify_is_never_given_out(keys: list[RSAPrivateKey]) -> None:
    lanes = rsa.load_lanes()
    if not isinstance(lanes, rsa.SigningLanes):
        pytest.skip(lanes)
    sound, faulty = rsa.SigningKey(keys[0]).lane, rsa.SigningKey(keys[1]).lane
    assert sound is not None and faulty is not None
    faulty.numbers[4][0] = bytes(
        [faulty.numbers[4].raw[0] ^ 2]
    )  # 1/q mod p is another, as after a fault in the arithmetic
    made = lanes.sign([(sound, b"d" * 32), (faulty, b"d" * 32)])
    assert made[0] is not None
    assert made[1] is None
    assert lanes.sign([(faulty, b"e" * 32)]) == [None], "nor one of the round before"


def test_openssl_signs_what_the_lanes_did_not(keys: list[RSAPrivateKey], monkeypatch: pytest.MonkeyPatch) -> None:
    lanes = rsa.load_lanes()
    if not isinstance(lanes, rsa.SigningLanes):
        pytest.skip(lanes)
    monkeypatch.setattr(lanes, "sign", lambda wanted: [None] * len(wanted))
    assert rsa.sign_all([(rsa.SigningKey(keys[0]), digest(b"x"))] * 8) == [by_openssl(keys[0], b"x")] * 8


def test_without_the_library_openssl_signs(keys: list[RSAPrivateKey], monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(package: str) -> None:
        raise PackageNotFoundError(package)

    monkeypatch.setattr(multibuffer, "files", missing)
    monkeypatch.setattr(multibuffer, "load_library", multibuffer.load_library.__wrapped__)
    monkeypatch.setattr(rsa, "load_library", multibuffer.load_library)
    monkeypatch.setattr(rsa, "load_lanes", rsa.load_lanes.__wrapped__)
    assert multibuffer.why_one_at_a_time()
    assert rsa.sign_all([(rsa.SigningKey(keys[0]), digest(b"x"))] * 8) == [by_openssl(keys[0], b"x")] * 8
