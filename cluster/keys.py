"""API keys: how they are made, recognised and hashed. Used by the API for look-ups, and by the code that issues keys.

This module does not store secrets. ``new_key`` returns a secret once; the journal stores its hash and a short prefix.
"""

import base64
import hashlib
import hmac
import re
import secrets

from cluster.access.terms import KeyKind

PREFIX_LENGTH = 16
"""Number of characters of a secret that a list may show: ``sg_live_`` and eight digits, or ``pii_`` and twelve. At
least 80 of its 128 random bits stay secret."""
OPERATOR_PREFIX_LENGTH = 11
"""``op_`` and eight digits."""

_KEY = re.compile(r"(?:sg_live|sg_test|pii)_[0-9a-f]{32}", re.ASCII)
_LONGER_THAN_SHOWN = re.compile(r"((?:(?:sg_live|sg_test)_|pii_[0-9a-f]{4}|op_)[0-9a-f]{8})[0-9a-f]+", re.ASCII)
_OPERATOR_TOKEN = re.compile(r"op_[0-9a-f]{32}", re.ASCII)


def new_key(sandbox: bool, kind: KeyKind = "api") -> tuple[str, str, bytes]:
    """A new key: its secret, the prefix that may be shown, and the hash to store. A sandbox key never sends mail."""
    beginning = "pii" if kind == "piisend" else "sg_test" if sandbox else "sg_live"
    secret = f"{beginning}_{secrets.token_hex(16)}"
    return secret, secret[:PREFIX_LENGTH], key_hash(secret)


def is_key(text: str) -> bool:
    """Whether ``text`` has the form of a key. Checked before the journal is queried."""
    return _KEY.fullmatch(text) is not None


def without_keys(text: str) -> str:
    """The text, with no more of keys and operators' tokens in it than a list may show."""
    return _LONGER_THAN_SHOWN.sub(r"\1...", text)


def key_hash(secret: str) -> bytes:
    """The hash that is stored instead of the secret.

    A slow, salted hash protects passwords because people choose guessable ones. A key has 128 random bits: an attacker
    with the hash needs 2^127 tries on average, however fast one try is. So SHA-256 is as safe here, and an index can
    find it.
    """
    return hashlib.sha256(secret.encode()).digest()


def new_operator_token() -> tuple[str, str, bytes]:
    """A new operator's token: its secret, the prefix that may be shown, and the hash to store."""
    secret = f"op_{secrets.token_hex(16)}"
    return secret, secret[:OPERATOR_PREFIX_LENGTH], key_hash(secret)


def is_operator_token(text: str) -> bool:
    """Whether ``text`` has the form of a token that ``new_operator_token`` makes."""
    return _OPERATOR_TOKEN.fullmatch(text) is not None


def operator_token(secret: str) -> str:
    """The operator's token for /api/admin. It is derived from the secret that all processes of a cluster share, so it
    is not stored; the secret cannot be derived from the token."""
    return base64.urlsafe_b64encode(hmac.digest(secret.encode(), b"postray operator", "sha256")).decode()
