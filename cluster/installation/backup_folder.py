"""The folder of a backup: what is in it, and whether it is whole.

``backup.json`` is written first, as that of a backup that is not whole, and replaced once all the rest is on disk.

| in the folder | |
|---|---|
| ``postgres`` | the journal: data of the embedded Postgres, with the log that makes it consistent |
| ``ledger`` | the ledgers of delivery actors |
| ``clickhouse`` | a BACKUP of the embedded ClickHouse |
| ``secrets`` | secrets, where they were asked for |
"""

import os
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path

import msgspec
from msgspec import Struct

from cluster.installation.local_secrets import DEMO_KEY, SQL_PASSWORD
from cluster.installation.private_files import make_folder, sync_folder, write_whole
from cluster.vault import FILE as SECRET

MANIFEST = "backup.json"
JOURNAL, LEDGER, CLICKHOUSE, SECRETS = "postgres", "ledger", "clickhouse", "secrets"
KEPT_SECRETS = (SECRET, DEMO_KEY, SQL_PASSWORD)
RESTORING = "restoring"
"""A file of this name in a data directory: a restore into it has not ended, or failed."""
MAY_BE_THERE = {*KEPT_SECRETS, "ray.token", "logs", "run.lock", "run", RESTORING}
"""What a data directory may have that a backup is restored into."""


class NotWhole(Exception):
    """A folder is no backup, or not a whole one; the message says what is wrong."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)


class Manifest(Struct, frozen=True, kw_only=True):
    """The content of ``backup.json``."""

    version: str
    """Of postray."""
    is_whole: bool = False
    began: datetime
    journal_ended: datetime | None = None
    """The journal is of a moment between ``began`` and this."""
    parts: tuple[str, ...] = ()
    is_behind: bool = False
    """ClickHouse did not have all events when it was copied, so some deliveries are not known to have ended."""


def begin(folder: Path, manifest: Manifest) -> None:
    """Make the folder. Raises NotWhole when it exists and is not empty, OSError."""
    if folder.exists() and any(folder.iterdir()):
        raise NotWhole(f"{folder} is not empty: name a new folder")
    make_folder(folder)
    write_whole(folder / MANIFEST, msgspec.json.encode(manifest))


def complete(folder: Path, manifest: Manifest) -> None:
    """Sync all that is in the folder, then say that it is whole. Raises OSError."""
    for place, _, files in os.walk(folder):
        for name in files:
            descriptor = os.open(os.path.join(place, name), os.O_RDONLY | os.O_CLOEXEC)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        sync_folder(Path(place))
    write_whole(folder / MANIFEST, msgspec.json.encode(manifest))


def read(folder: Path) -> Manifest:
    """Raises NotWhole when it is no whole backup."""
    try:
        manifest = msgspec.json.decode((folder / MANIFEST).read_bytes(), type=Manifest)
    except FileNotFoundError:
        raise NotWhole(f"{folder} is no backup: it has no {MANIFEST}") from None
    except msgspec.DecodeError as error:
        raise NotWhole(f"{folder / MANIFEST} is malformed: {error}") from error
    missing = [part for part in manifest.parts if not (folder / part).exists()]
    if not manifest.is_whole or missing:
        raise NotWhole(f"{folder} is not a whole backup" + (f": {', '.join(missing)} missing" if missing else ""))
    return manifest


def ledgers_in(folder: Path) -> list[Path]:
    """The folders of ledgers, one for each delivery actor."""
    return sorted(one for one in folder.iterdir() if one.is_dir()) if folder.is_dir() else []


def copy_ledgers(data_dir: Path, target: Path) -> None:
    """Copy the ledgers, which are being written. A segment that goes meanwhile is committed to the journal. Raises
    OSError."""
    make_folder(target)
    for ledger in ledgers_in(data_dir / LEDGER):
        make_folder(target / ledger.name)
        for segment in sorted(ledger.glob("*.ledger")):
            try:
                content = segment.read_bytes()
            except FileNotFoundError:
                continue
            # A segment is as long as what may be written to it; the rest is zeros.
            write_whole(target / ledger.name / segment.name, content.rstrip(b"\0"))


def copy_secrets(source: Path, target: Path) -> list[str]:
    """Copy the secrets that ``source`` has and ``target`` has not; returns their names. Raises OSError."""
    make_folder(target)
    copied = []
    for name in KEPT_SECRETS:
        if (source / name).is_file() and not (target / name).exists():
            write_whole(target / name, (source / name).read_bytes())
            copied.append(name)
    return copied


def in_the_way(data_dir: Path) -> Sequence[str]:
    """What keeps a data directory from taking a backup."""
    return sorted({one.name for one in data_dir.iterdir()} - MAY_BE_THERE) if data_dir.is_dir() else []


def sizes(folder: Path) -> Iterator[tuple[str, int]]:
    """The parts of a backup and their sizes, in bytes."""
    for part in (JOURNAL, LEDGER, CLICKHOUSE, SECRETS):
        if (folder / part).is_dir():
            yield part, sum(file.stat().st_size for file in (folder / part).rglob("*") if file.is_file())
