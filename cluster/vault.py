"""Secrets at rest: the journal stores private keys encrypted (Fernet: AES-128-CBC and HMAC-SHA256).

The key is ``secret`` in the settings, or a file in data_dir that is made on first use and that only its owner can read.
A new key is never made where encrypted data exists, because another key cannot open it. Without the key, the database
cannot be used to sign mail. After a rotation (cluster/installation/rotation.py) the file also has the former keys, and
the settings may name one.
"""

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from msgspec import Struct

from cluster.installation.private_files import Unsafe, create_whole, read_secret
from cluster.policy.forms import Form

FILE = "secret.key"
RESTORE = "put it back from a backup; without it, the DKIM keys in the journal cannot be opened"
_FORMER = "former"
_UNTIL = "until"


class WrongKey(Exception):
    """The data was encrypted with another key."""

    def __init__(
        self, reason: str = f"the secret ({FILE}, or secret in the settings) is not the one that sealed this: {RESTORE}"
    ) -> None:
        super().__init__(reason)


class Vault:
    """Encrypts with one key (44 characters of base64, as Fernet makes them); decrypts with it and with former ones."""

    def __init__(self, key: str, *former: str) -> None:
        """Raises ValueError when a key is not 32 bytes in URL-safe base64."""
        self._current = Fernet(key.encode())
        self._any = MultiFernet([self._current, *(Fernet(one.encode()) for one in former)])

    def seal(self, secret: bytes) -> bytes:
        return self._current.encrypt(secret)

    def open(self, sealed: bytes) -> bytes:
        """The decrypted secret. Raises WrongKey when it was encrypted with another key, or is damaged."""
        try:
            return self._any.decrypt(sealed)
        except InvalidToken:
            raise WrongKey from None

    def is_current(self, sealed: bytes) -> bool:
        """Whether this was encrypted with the key that ``seal`` uses."""
        try:
            self._current.decrypt(sealed)
        except InvalidToken:
            return False
        return True


class FormerKey(Form, frozen=True):
    """A key that was replaced."""

    key: str
    until: datetime | None = None
    """When it is given up. None while something may be sealed with it, and as long as the settings name it."""


class KeyRing(Struct, frozen=True):
    """The cluster's key, and former ones, the latest first."""

    current: str
    former: tuple[FormerKey, ...] = ()

    def vault(self) -> Vault:
        """Raises ValueError for a malformed key."""
        return Vault(self.current, *(one.key for one in self.former))

    @property
    def text(self) -> str:
        """The content of the file."""
        lines = [self.current]
        for one in self.former:
            until = f" {_UNTIL} {one.until.isoformat()}" if one.until is not None else ""
            lines.append(f"{_FORMER} {one.key}{until}")
        return "\n".join(lines) + "\n"

    @classmethod
    def of_text(cls, text: str) -> "KeyRing":
        """The keys in a file. Raises ValueError."""
        current, *others = text.splitlines()
        ring = cls(current, tuple(_former(others)))
        ring.vault()
        return ring


def _former(lines: list[str]) -> Iterator[FormerKey]:
    for line in lines:
        match line.split():
            case [word, key] if word == _FORMER:
                yield FormerKey(key)
            case [word, key, until, moment] if (word, until) == (_FORMER, _UNTIL):
                yield FormerKey(key, datetime.fromisoformat(moment))
            case _:
                raise ValueError(line)


def find_ring(configured: str, previous: str, data_dir: Path) -> KeyRing | None:
    """The configured key, or those of data_dir/secret.key, and ``previous`` if it is set; None when there is no key.
    Raises Unsafe when they are malformed or their file is unsafe."""
    path = data_dir / FILE
    text = configured or read_secret(path, RESTORE)
    if text is None:
        return None
    try:
        ring = KeyRing(configured) if configured else KeyRing.of_text(text)
        if previous:
            ring = KeyRing(ring.current, (*ring.former, FormerKey(previous)))
        ring.vault()
    except ValueError:
        where, remedy = ("secret", "44 characters of base64 are one") if configured else (str(path), RESTORE)
        raise Unsafe(f"{where} is malformed: {remedy}") from None
    return ring


def find_secret(configured: str, data_dir: Path) -> str | None:
    """The current key of ``find_ring``. Raises Unsafe."""
    ring = find_ring(configured, "", data_dir)
    return None if ring is None else ring.current


def secret_key(configured: str, data_dir: Path) -> str:
    """The key that ``find_secret`` finds; where there is none, a new one is made and stored. Raises Unsafe."""
    found = find_secret(configured, data_dir)
    if found is None:
        create_whole(data_dir / FILE, Fernet.generate_key())
        found = find_secret(configured, data_dir)
        assert found is not None
    return found
