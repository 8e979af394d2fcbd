"""The data directory of the release before, as it was stored (``store.py``), brought back for a test."""

import json
import os
import tarfile
from pathlib import Path
from typing import Any

import psycopg

from cluster.installation.embedded import EmbeddedPostgres
from cluster.installation.owners import SERVER_FOLDER

STORED = Path(__file__).with_name("stored.tar.xz")
JOURNAL, FACTS, FILES = "journal.sql", "facts.json", "data"

AHEAD = """
UPDATE deliveries SET
    expires_at = now() + interval '3 days',
    due_at = CASE WHEN due_at > to_timestamp(%(stored_at)s) THEN now() + %(later_s)s * interval '1 s' ELSE due_at END
WHERE due_at < 'infinity'
"""
"""Times that lay ahead lie ahead again: what waited would have bounced for its age, or would wait no more."""


def brought_back(data_dir: Path, *, later_s: float) -> dict[str, Any]:
    """Make the data directory; returns what is in it. What was to be sent later is due ``later_s`` from now."""
    with tarfile.open(STORED) as packed:
        packed.extractall(data_dir.parent / "packed", filter="data")
    (data_dir.parent / "packed" / FILES).rename(data_dir)
    for path in (data_dir, *data_dir.rglob("*")):
        os.chmod(path, 0o700 if path.is_dir() else 0o600)
    facts: dict[str, Any] = json.loads((data_dir.parent / "packed" / FACTS).read_text(encoding="utf-8"))
    postgres = EmbeddedPostgres(data_dir / SERVER_FOLDER, data_dir.parent)
    dsn = postgres.start()
    try:
        with psycopg.connect(dsn, autocommit=True) as connection:
            connection.execute((data_dir.parent / "packed" / JOURNAL).read_bytes())
        with psycopg.connect(dsn) as connection:
            connection.execute(AHEAD, {"stored_at": facts["stored_at"], "later_s": later_s})
    finally:
        postgres.stop()
    return facts
