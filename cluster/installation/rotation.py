"""Rotation of the cluster's secret: a new key in data_dir/secret.key, and the end of former ones.

``postray secret rotate`` puts a new key before the former one (``rotate``). A running postray keeps its key until it
ends, so mail is signed as before. The next start seals everything anew (cluster/resealing.py) before any actor runs,
and then sets the former key's time (``settle``): until then, tokens that are derived from it are accepted. Each step
replaces the file atomically, so after a crash at any moment the keys in the file open everything.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path

from cryptography.fernet import Fernet

from cluster.installation.private_files import Unsafe, locked, read_secret, write_whole
from cluster.vault import FILE, RESTORE, FormerKey, KeyRing, find_ring

ACCEPTED = timedelta(hours=24)
"""How long a token of a former secret is accepted after the start that put the new one in force."""
MOST_FORMER = 8


class TooManyFormer(Exception):
    """The file has as many former keys as it may."""


def new_secret() -> str:
    """A new key."""
    return Fernet.generate_key().decode()


def rotate(data_dir: Path) -> KeyRing | None:
    """Put a new key into data_dir/secret.key, and keep the former one; None when there is none yet.

    Raises TooManyFormer, Unsafe, OSError; then the file is as it was.
    """
    with _locked(data_dir):
        ring = find_ring("", "", data_dir)
        if ring is None:
            return None
        if len(ring.former) >= MOST_FORMER:
            raise TooManyFormer
        rotated = KeyRing(new_secret(), (FormerKey(ring.current), *ring.former))
        write_whole(data_dir / FILE, rotated.text.encode())
        return rotated


def settle(data_dir: Path, former: frozenset[str], now: datetime) -> None:
    """Note in data_dir/secret.key that nothing is sealed with these former keys any more: they get their time, and
    those whose time has come are removed. Without the file, nothing is done. Raises Unsafe, OSError."""
    with _locked(data_dir):
        if read_secret(data_dir / FILE, RESTORE) is None:
            return
        ring = find_ring("", "", data_dir)
        assert ring is not None
        settled = KeyRing(ring.current, settled_keys(ring.former, former, now))
        if settled != ring:
            write_whole(data_dir / FILE, settled.text.encode())


def settled_keys(keys: tuple[FormerKey, ...], former: frozenset[str], now: datetime) -> tuple[FormerKey, ...]:
    """``keys`` after ``settle``. Pure."""
    timed = [FormerKey(one.key, one.until or now + ACCEPTED) if one.key in former else one for one in keys]
    return tuple(one for one in timed if one.key not in former or one.until is None or one.until > now)


@contextmanager
def _locked(data_dir: Path) -> Iterator[None]:
    """Hold a lock: of two that change the file at once, one would lose the other's key. It is on the folder, because
    the file is replaced. Raises Unsafe."""
    if not data_dir.is_dir():
        raise Unsafe(f"{data_dir} is not there yet: postray up makes it")
    with locked(data_dir):
        yield
