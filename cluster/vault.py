"""Secrets at rest: private keys lie in the journal sealed (Fernet: AES-128-CBC and HMAC-SHA256).

The key is ``secret`` in the settings, or a file in data_dir, made on first use and readable by its owner alone.
Whoever has the database but not the key cannot sign mail.
"""

import os
from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken


class WrongKey(Exception):
    """What was sealed was sealed with another key."""

    def __init__(self, reason: str = "the secret key is not the one that sealed this") -> None:
        super().__init__(reason)


class Vault:
    """Seals and opens with one key (44 characters of base64, as Fernet makes them)."""

    def __init__(self, key: str) -> None:
        """Raises ValueError when the key is not 32 bytes in URL-safe base64."""
        self._fernet = Fernet(key.encode())

    def seal(self, secret: bytes) -> bytes:
        return self._fernet.encrypt(secret)

    def open(self, sealed: bytes) -> bytes:
        """Raises WrongKey."""
        try:
            return self._fernet.decrypt(sealed)
        except InvalidToken:
            raise WrongKey from None


def secret_key(configured: str, data_dir: Path) -> str:
    """The configured key, or that of data_dir/secret.key, which is made when it is missing."""
    if configured:
        return configured
    path = data_dir / "secret.key"
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return path.read_text(encoding="ascii").strip()
    key = Fernet.generate_key()
    with os.fdopen(descriptor, "wb") as file:
        file.write(key)
        file.flush()
        os.fsync(file.fileno())
    return key.decode()
