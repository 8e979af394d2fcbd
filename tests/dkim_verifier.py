"""dkimpy's judgement of the signatures of a message.

dkimpy takes the Ed25519 primitive, and only that, from PyNaCl, which is not among our dependencies; here OpenSSL stands
in for it.
"""

import base64
from collections.abc import Mapping
from types import SimpleNamespace
from unittest.mock import patch

import dkim
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey


def verdicts(data: bytes, records: Mapping[str, str]) -> list[bool]:
    """Whether each signature verifies, in the order of their fields. ``records``: the text of each record that the DNS
    shows, by its name."""
    count = data.partition(b"\r\n\r\n")[0].count(b"DKIM-Signature: ")
    with patch.object(dkim, "nacl", _NACL, create=True):
        return [_verdict(data, number, records) for number in range(count)]


def _verdict(data: bytes, number: int, records: Mapping[str, str]) -> bool:
    def look_up(name: bytes, timeout: int = 5) -> bytes | None:
        text = records.get(name.decode().removesuffix("."))
        return None if text is None else text.encode()

    try:
        return bool(dkim.DKIM(data).verify(number, look_up))
    except dkim.DKIMException:
        return False


class _VerifyKey:
    def __init__(self, value: bytes, encoder: None) -> None:
        self._key = Ed25519PublicKey.from_public_bytes(base64.b64decode(value))

    def verify(self, digest: bytes, signature: bytes) -> None:
        self._key.verify(signature, digest)


_NACL = SimpleNamespace(
    signing=SimpleNamespace(VerifyKey=_VerifyKey),
    encoding=SimpleNamespace(Base64Encoder=None),
    exceptions=SimpleNamespace(ValueError=ValueError, BadSignatureError=InvalidSignature),
)
