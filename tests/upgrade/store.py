"""Makes the stored data directory: ``python -m tests.upgrade.store COMMIT`` runs the release of that commit over a new
data directory, fills it with mail (``fill.py``), stops it in order, and packs what it has left.

The journal goes in as SQL, since a Postgres directory has 40 MB: pg_dump of its schema and rows. The rest goes in as
the files that they are: the secret and the demo's key, which were made for it alone, ClickHouse's folder, and the
captured mail.

To be done anew when a release has migrations that are not the newest ones any more: COMMIT is then the last one of the
release before. What is in the repository was made from f31f1b49 (journal 0029, analytics 0011).
"""

import io
import json
import os
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from cluster.installation.embedded import EmbeddedPostgres
from cluster.installation.owners import SERVER_FOLDER
from cluster.installation.postgres_programs import PROGRAMS, packages
from tests.upgrade.stored import FACTS, FILES, JOURNAL, STORED

ROOT = Path(__file__).parents[2]
LEFT_OUT = {SERVER_FOLDER, f"{SERVER_FOLDER}-programs", "logs", "run", "run.json"}


def store(commit: str, folder: Path) -> None:
    """``folder``: an empty one, for the release's tree and the data directory."""
    tree, data_dir, facts = folder / "tree", folder / "data", folder / FACTS
    subprocess.run(["git", "worktree", "add", "--detach", "--quiet", str(tree), commit], cwd=ROOT, check=True)
    try:
        environ = os.environ | {"PYTHONPATH": str(tree)}
        fill = [sys.executable, str(Path(__file__).with_name("fill.py")), str(data_dir), str(facts)]
        subprocess.run(fill, cwd=tree, env=environ, check=True)
    finally:
        subprocess.run(["git", "worktree", "remove", "--force", str(tree)], cwd=ROOT, check=True)
    journal = dumped(data_dir / SERVER_FOLDER)
    with tarfile.open(STORED, "w:xz", preset=9) as packed:
        add(packed, JOURNAL, journal.encode())
        add(packed, FACTS, json.dumps(json.loads(facts.read_text(encoding="utf-8")), indent=1).encode())
        for entry in sorted(data_dir.iterdir()):
            if entry.name not in LEFT_OUT:
                packed.add(entry, f"{FILES}/{entry.name}")
    print(f"{STORED}: {STORED.stat().st_size:,} bytes")


def dumped(server: Path) -> str:
    """The journal as SQL that a connection executes, without the lines that are for psql."""
    postgres = EmbeddedPostgres(server, server.parent)
    dsn = postgres.start()
    try:
        said = subprocess.run(
            [str(packages() / PROGRAMS / "pg_dump"), "--inserts", "--rows-per-insert=1000", "--no-owner", dsn],
            check=True,
            capture_output=True,
            text=True,
        )
    finally:
        postgres.stop()
    return "".join(line for line in said.stdout.splitlines(keepends=True) if not line.startswith(("\\", "--")))


def add(packed: tarfile.TarFile, name: str, data: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(data)
    packed.addfile(entry, io.BytesIO(data))


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="postray-stored-") as made:
        store(sys.argv[1], Path(made))
