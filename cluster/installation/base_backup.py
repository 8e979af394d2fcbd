"""Checks a copy that pg_basebackup has made against the manifest in it.

See https://www.postgresql.org/docs/18/backup-manifest-format.html. Postgres's own pg_verifybackup crashes in the wheel
that brings the programs.
"""

import hashlib
from pathlib import Path

import msgspec
from msgspec import Struct, field

from cluster.journal.database import Unavailable

MANIFEST = "backup_manifest"
ALGORITHM = "SHA256"


class _File(Struct, frozen=True):
    path: str = field(name="Path")
    size: int = field(name="Size")
    checksum: str = field(name="Checksum", default="")
    algorithm: str = field(name="Checksum-Algorithm", default="")


class _Manifest(Struct, frozen=True):
    files: list[_File] = field(name="Files")


def check(copy: Path) -> None:
    """Raises Unavailable for a copy that is damaged or not whole."""
    try:
        manifest = msgspec.json.decode((copy / MANIFEST).read_bytes(), type=_Manifest)
    except (OSError, msgspec.DecodeError) as error:
        raise Unavailable(f"{copy} is no copy of a journal: {MANIFEST}: {error}") from error
    for file in manifest.files:
        if problem := _problem(copy / file.path, file):
            raise Unavailable(f"{copy / file.path} {problem}: the backup is damaged")


def _problem(path: Path, file: _File) -> str | None:
    try:
        with path.open("rb") as content:
            if path.stat().st_size != file.size:
                return "has another size"
            if file.algorithm == ALGORITHM and hashlib.file_digest(content, "sha256").hexdigest() != file.checksum:
                return "has another content"
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    return None
