"""Secrets at rest: the journal stores private keys encrypted (Fernet: AES-128-CBC and HMAC-SHA256).

The key is ``secret`` in the settings, or a file in data_dir that is made on first use and that only its owner can read.
A new key is never made where encrypted data exists, because another key cannot open it. Without the key, the database
cannot be used to sign mail.
"""

from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken

from cluster.installation.private_files import Unsafe, create_whole, read_secret

FILE = "secret.key"
RESTORE = "put it back from a backup; without it, the DKIM keys in the journal cannot be opened"


class WrongKey(Exception):
    """The data was encrypted with another key."""

    def __init__(
        self, reason: str = f"the secret ({FILE}, or secret in the settings) is not the one that sealed this: {RESTORE}"
    ) -> None:
        super().__init__(reason)


class Vault:
    """Encrypts and decrypts with one key (44 characters of base64, as Fernet makes them)."""

    def __init__(self, key: str) -> None:
        """Raises ValueError when the key is not 32 bytes in URL-safe base64."""
        self._fernet = Fernet(key.encode())

    def seal(self, secret: bytes) -> bytes:
        return self._fernet.encrypt(secret)

    def open(self, sealed: bytes) -> bytes:
        """The decrypted secret. Raises WrongKey when it was encrypted with another key, or is damaged."""
        try:
            return self._fernet.decrypt(sealed)
        except InvalidToken:
            raise WrongKey from None


def find_secret(configured: str, data_dir: Path) -> str | None:
    """The configured key, or that of data_dir/secret.key; None when neither exists. Raises Unsafe when it is malformed
    or its file is unsafe."""
    path = data_dir / FILE
    key = configured or read_secret(path, RESTORE)
    if key is not None:
        try:
            Vault(key)
        except ValueError:
            where, remedy = ("secret", "44 characters of base64 are one") if configured else (str(path), RESTORE)
            raise Unsafe(f"{where} is malformed: {remedy}") from None
    return key


def secret_key(configured: str, data_dir: Path) -> str:
    """The key that ``find_secret`` finds; where there is none, a new one is made and stored. Raises Unsafe."""
    found = find_secret(configured, data_dir)
    if found is None:
        create_whole(data_dir / FILE, Fernet.generate_key())
        found = find_secret(configured, data_dir)
        assert found is not None
    return found
