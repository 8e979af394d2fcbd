"""API keys: how they are made, recognised and hashed. Called by the API (to look one up) and by whatever issues keys.

Never does: keep a secret. It is handed out once, by ``new_key``; the journal knows only its hash and a prefix to show.
"""

import base64
import hashlib
import hmac
import re
import secrets

PREFIX_LENGTH = 16
"""Characters of a secret that a list may show: ``sg_live_`` and eight digits, 32 of its 128 random bits."""

_KEY = re.compile(r"sg_(?:live|test)_[0-9a-f]{32}", re.ASCII)


def new_key(sandbox: bool) -> tuple[str, str, bytes]:
    """A new key's secret, the prefix of it that may be shown, and the hash to store. A sandbox key never sends."""
    secret = f"sg_{'test' if sandbox else 'live'}_{secrets.token_hex(16)}"
    return secret, secret[:PREFIX_LENGTH], key_hash(secret)


def is_key(text: str) -> bool:
    """Whether ``text`` has the form of a key; nothing else is worth asking the journal for."""
    return _KEY.fullmatch(text) is not None


def key_hash(secret: str) -> bytes:
    """What is stored in a secret's stead.

    A slow, salted hash defends passwords because people choose guessable ones. A key is 128 random bits: whoever has
    the hash must try 2^127 of them however fast one try is. So SHA-256 is as safe here, and it is looked up by index.
    """
    return hashlib.sha256(secret.encode()).digest()


def operator_token(secret: str) -> str:
    """What an operator shows to /api/admin. Made of the secret that all processes of a cluster share, so that nothing
    has to be stored; the secret does not follow from it."""
    return base64.urlsafe_b64encode(hmac.digest(secret.encode(), b"postray operator", "sha256")).decode()
