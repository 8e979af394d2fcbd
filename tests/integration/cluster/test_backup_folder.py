"""A backup says whether it is whole; a damaged one is refused."""

import json
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

import pytest
from msgspec.structs import replace

from cluster.installation import base_backup
from cluster.installation.backup_folder import (
    JOURNAL,
    LEDGER,
    Manifest,
    NotWhole,
    begin,
    complete,
    copy_ledgers,
    copy_secrets,
    in_the_way,
    read,
)
from cluster.journal.journal import Unavailable

MANIFEST = Manifest(version="1", began=datetime(2026, 11, 29, tzinfo=UTC), parts=(JOURNAL,))


def test_a_backup_is_whole_only_once_it_was_completed(tmp_path: Path) -> None:
    folder = tmp_path / "backup"
    with pytest.raises(NotWhole, match="is no backup"):
        read(tmp_path)
    begin(folder, MANIFEST)
    assert folder.stat().st_mode & 0o077 == 0
    (folder / JOURNAL).mkdir()
    with pytest.raises(NotWhole, match="not a whole backup"):
        read(folder)
    whole = replace(MANIFEST, is_whole=True)
    complete(folder, whole)
    assert read(folder) == whole
    (folder / JOURNAL).rmdir()
    with pytest.raises(NotWhole, match="postgres missing"):
        read(folder)
    with pytest.raises(NotWhole, match="is not empty"):
        begin(folder, MANIFEST)


def test_ledgers_are_copied_without_the_room_that_is_reserved_in_them(tmp_path: Path) -> None:
    ledger = tmp_path / LEDGER / "delivery-0-0"
    ledger.mkdir(parents=True)
    (ledger / "00000001.ledger").write_bytes(b"record" + bytes(1000))
    (ledger / "lock").touch()
    copy_ledgers(tmp_path, tmp_path / "copy")
    (copied,) = (tmp_path / "copy" / "delivery-0-0").iterdir()
    assert copied.read_bytes() == b"record"


def test_secrets_that_are_there_stay(tmp_path: Path) -> None:
    for name in ("backup", "data"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "secret.key").write_text(name, encoding="ascii")
    (tmp_path / "backup" / "demo.key").write_text("backup", encoding="ascii")
    assert copy_secrets(tmp_path / "backup", tmp_path / "data") == ["demo.key"]
    assert (tmp_path / "data" / "secret.key").read_text(encoding="ascii") == "data"
    assert in_the_way(tmp_path / "data") == []
    (tmp_path / "data" / "ledger").mkdir()
    assert in_the_way(tmp_path / "data") == ["ledger"]


@pytest.mark.parametrize(
    ("content", "reason"), [(b"12345", None), (b"1234", "another size"), (b"12346", "another content"), (None, "read")]
)
def test_a_copy_of_the_journal_is_checked(tmp_path: Path, content: bytes | None, reason: str | None) -> None:
    digest = sha256(b"12345").hexdigest()
    file = {"Path": "base/1", "Size": 5, "Checksum-Algorithm": "SHA256", "Checksum": digest}
    (tmp_path / "backup_manifest").write_text(json.dumps({"Files": [file], "WAL-Ranges": []}), encoding="ascii")
    (tmp_path / "base").mkdir()
    if content is not None:
        (tmp_path / "base" / "1").write_bytes(content)
    if reason is None:
        base_backup.check(tmp_path)
        return
    with pytest.raises(Unavailable, match=reason):
        base_backup.check(tmp_path)
    (tmp_path / "backup_manifest").unlink()
    with pytest.raises(Unavailable, match="is no copy of a journal"):
        base_backup.check(tmp_path)
