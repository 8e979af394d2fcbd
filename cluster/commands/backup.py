"""``postray backup`` and ``postray restore``: the embedded parts, while mail flows.

The order matters. The journal comes first, as of the end of its copy. A delivery that it has unfinished may end at any
time after that; what a host accepts then is in a ledger until the journal has it, and then in the event log. So the
ledgers are copied next, and ClickHouse last, once it has all that the log had by then. ``restore`` reads both and marks
what they know to have ended.
"""

import asyncio
import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from pathlib import Path
from secrets import token_hex
from typing import Any, TextIO

import click
import msgspec
from msgspec.structs import replace
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from cluster.commands.instance import Instance, Json, running_on, settings_of
from cluster.commands.output import console, errors, json_option, print_json
from cluster.entry_points import RESTORING as ABOVE
from cluster.entry_points import load
from cluster.installation import backup_folder, run_folder, running
from cluster.installation.backup_folder import CLICKHOUSE, JOURNAL, LEDGER, RESTORING, SECRETS, Manifest, NotWhole
from cluster.installation.embedded import EmbeddedPostgres
from cluster.installation.owners import SERVER_FOLDER
from cluster.installation.private_files import prepare_data_dir, write_whole
from cluster.journal.journal import Journal, Unavailable, migrate
from cluster.settings import Settings
from cluster.sizes import size_text
from cluster.vault import FILE as SECRET

LOOK_S = 0.2
HELD_FOR = timedelta(days=3650)
"""Delivery of a restored journal is suspended for so long, unless it is resumed."""
SHOWN = 20
DOUBTS, LOSSES = "in-doubt.jsonl", "lost.jsonl"
"""In data_dir/restored."""


@click.command()
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option("--with-secrets", is_flag=True, help="Copy secret.key, demo.key and sql.password as well.")
@json_option
@click.pass_obj
def backup(config: str | None, folder: Path, with_secrets: bool, as_json: bool) -> None:
    """Copy the embedded databases and the ledgers to FOLDER, which must be new or empty, while mail flows.

    Settings and policy files are not copied, nor captured mail. postray restore puts a backup into an empty data
    directory.
    """
    settings = settings_of(config)
    running_on(settings)
    if settings.postgres.dsn:
        raise click.ClickException("postgres.dsn is a server of your own: see docs/going-live.md, Backup and restore")
    data_dir, folder = Path(settings.data_dir).resolve(), folder.resolve()
    if folder.is_relative_to(data_dir):
        raise click.ClickException(f"{folder} is in the data directory, which may be lost with it: name another place")
    try:
        manifest = _back_up(settings, Instance.of(config), data_dir, folder, with_secrets)
    except (NotWhole, Unavailable, OSError) as error:
        raise click.ClickException(f"{error}; no whole backup is in {folder}") from error
    sizes = dict(backup_folder.sizes(folder))
    if as_json:
        print_json({"folder": str(folder), **msgspec.to_builtins(manifest), "bytes": sizes})
        return
    for part, size in sizes.items():
        console.print(f"{folder / part}  {size_text(size)}", markup=False, soft_wrap=True)
    if not with_secrets:
        console.print(f"Without secrets: a restore needs {data_dir / SECRET} of now, or the setting.", soft_wrap=True)
    if settings.clickhouse.dsn:
        console.print("clickhouse.dsn is a server of your own, and not in it.")
    if manifest.is_behind:
        console.print("ClickHouse lags behind: deliveries of the last minutes may be in doubt after a restore.")


def _back_up(settings: Settings, instance: Instance, data_dir: Path, folder: Path, with_secrets: bool) -> Manifest:
    """Raises NotWhole, Unavailable, OSError, click.ClickException."""
    manifest = Manifest(version=version("postray"), began=datetime.now(UTC))
    backup_folder.begin(folder, manifest)
    parts = [JOURNAL, LEDGER]
    with _steps() as step:
        step("journal")
        EmbeddedPostgres(data_dir / SERVER_FOLDER, run_folder.find(data_dir)).back_up(folder / JOURNAL)
        manifest = replace(manifest, journal_ended=datetime.now(UTC))
        step("ledgers")
        backup_folder.copy_ledgers(data_dir, folder / LEDGER)
        if not settings.clickhouse.dsn:
            step("ClickHouse")
            state = _clickhouse(instance)
            shutil.move(state["folder"], folder / CLICKHOUSE)  # to another disk, too
            manifest = replace(manifest, is_behind=state["is_behind"])
            parts.append(CLICKHOUSE)
        if with_secrets:
            backup_folder.copy_secrets(data_dir, folder / SECRETS)
            parts.append(SECRETS)
        step("to disk")
        manifest = replace(manifest, is_whole=True, parts=tuple(parts))
        backup_folder.complete(folder, manifest)
    return manifest


def _clickhouse(instance: Instance) -> Json:
    """The recorder's backup, once it is there. Raises click.ClickException."""
    name = f"backup-{token_hex(8)}"
    while True:
        state = instance.post("clickhouse-backup", name=name)
        if state["state"] == "done":
            return state
        if state["state"] == "failed":
            raise click.ClickException(f"ClickHouse: {state['reason']}")
        time.sleep(LOOK_S)


@click.command()
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option(
    "--surviving",
    type=click.Path(file_okay=False, path_type=Path),
    help="The data directory of before, as far as it is left: its ledgers and its ClickHouse know what was sent since.",
)
@json_option
@click.pass_obj
def restore(config: str | None, folder: Path, surviving: Path | None, as_json: bool) -> None:
    """Put a backup into the data directory, which must be empty but for secrets. postray must not run.

    Delivery is held afterwards, also over restarts. What the ledgers and ClickHouse know to have ended after the backup
    is marked so; what could be sent twice, and what was accepted later and is lost, is listed. postray up starts it,
    and postray resume --all lets mail go.
    """
    settings = settings_of(config)
    if settings.postgres.dsn:
        raise click.ClickException("postgres.dsn is a server of your own: see docs/going-live.md, Backup and restore")
    data_dir = Path(settings.data_dir).resolve()
    try:
        manifest = backup_folder.read(folder)
        _check(settings, data_dir, manifest, surviving)
        prepare_data_dir(Path(settings.data_dir))
        with running.DataLock(data_dir):
            found = _restore(settings, data_dir, folder.resolve(), manifest, surviving)
    except (NotWhole, Unavailable, OSError, running.AlreadyRunning) as error:
        raise click.ClickException(str(error)) from error
    report = {"backup": manifest.began.isoformat(), **msgspec.to_builtins(found), "folder": str(data_dir / "restored")}
    if as_json:
        print_json(report)
        return
    _say(data_dir, manifest, report)


def _check(settings: Settings, data_dir: Path, manifest: Manifest, surviving: Path | None) -> None:
    """Raises click.ClickException for what prevents a restore, before anything is changed."""
    if there := backup_folder.in_the_way(data_dir):
        raise click.ClickException(f"{data_dir} is not empty ({', '.join(there)}): move it away, or set data_dir")
    if not settings.secret and SECRETS not in manifest.parts and not (data_dir / SECRET).is_file():
        raise click.ClickException(
            f"the backup has no secrets: put the {SECRET} of its time into {data_dir} (owner and mode as before), or "
            "set secret (POSTRAY_SECRET)"
        )
    if surviving is not None and not surviving.is_dir():
        raise click.ClickException(f"{surviving} is not there")
    # No postray can run where nothing can be written.
    if surviving is not None and os.access(surviving, os.W_OK) and not running.DataLock(surviving.resolve()).is_free():
        raise click.ClickException(f"postray runs on {surviving}: stop it first")


def _restore(settings: Settings, data_dir: Path, folder: Path, manifest: Manifest, surviving: Path | None) -> Any:
    """Raises Unavailable, OSError, and what ClickHouse's failures are."""
    write_whole(data_dir / RESTORING, f"the restore of {folder} has not ended\n".encode())
    with _steps() as step:
        step("journal")
        backup_folder.copy_secrets(folder / SECRETS, data_dir)
        postgres = EmbeddedPostgres(data_dir / SERVER_FOLDER, run_folder.make(data_dir))
        postgres.take(folder / JOURNAL)
        ledgers = backup_folder.ledgers_in(folder / LEDGER)
        if surviving is not None:
            ledgers += backup_folder.ledgers_in(surviving / LEDGER)
        if not settings.clickhouse.dsn:
            step("ClickHouse")
            if surviving is not None and (surviving / CLICKHOUSE).is_dir():
                shutil.copytree(surviving / CLICKHOUSE, data_dir / CLICKHOUSE, symlinks=True)
            else:
                load(ABOVE, "events")(data_dir, folder / CLICKHOUSE)
        step("what ended since")
        try:
            epoch, found = asyncio.run(_reconcile(settings, data_dir, postgres.start(), ledgers, manifest))
        finally:
            postgres.stop()
        # Transactions of the lost time have numbers, in the feed of events and in what clients remember of it. New ones
        # must come after them.
        postgres.begin_epoch(epoch + 1)
        run_folder.remove(data_dir)
        (data_dir / RESTORING).unlink()
    return found


async def _reconcile(
    settings: Settings, data_dir: Path, dsn: str, ledgers: Sequence[Path], manifest: Manifest
) -> tuple[int, Any]:
    """The epoch of transactions, and what was found. Raises Unavailable."""
    await migrate(dsn)
    journal = Journal(dsn, application="restore", connections=1)
    await journal.open()
    try:
        now = datetime.now(UTC)
        reason = f"restored from the backup of {manifest.began:%Y-%m-%d %H:%M:%S} UTC"
        await journal.suspensions.suspend("", "", now + HELD_FOR, reason, "operator")
        await journal.restoring.become_another()
        await journal.restoring.prolong(now - manifest.began)
        moments = {"began": manifest.began, "ended": manifest.journal_ended or manifest.began}
        with _lists(data_dir / "restored") as tell:
            found = await load(ABOVE, "deliveries")(
                journal, settings.clickhouse, data_dir, ledgers, **moments, tell=tell
            )
        return await journal.restoring.transaction_epoch(), found
    finally:
        await journal.close()


@contextmanager
def _lists(folder: Path) -> Iterator[Callable[[Any], None]]:
    """Writes what is told to a list for each kind, a line of JSON each. No line has an address."""
    folder.mkdir(mode=0o700)
    with (folder / DOUBTS).open("wb") as doubts, (folder / LOSSES).open("wb") as losses:

        def tell(one: Any) -> None:
            file = losses if hasattr(one, "accepted_at") else doubts
            file.write(msgspec.json.encode(one) + b"\n")

        yield tell


def _say(data_dir: Path, manifest: Manifest, report: Json) -> None:
    console.print(
        f"Restored into {data_dir}: the backup of {manifest.began:%Y-%m-%d %H:%M:%S} UTC, with {report['unfinished']} "
        f"unfinished deliveries, of which {report['ended']} are known to have ended since.",
        soft_wrap=True,
        markup=False,
    )
    for name, count, words in (
        (DOUBTS, report["in_doubt"], "deliveries are sent twice if they went out after the backup"),
        (LOSSES, report["lost"], "messages were accepted after the backup, and are lost"),
    ):
        console.print(f"{count} {words}" + (f": {data_dir / 'restored' / name}" if count else ""), soft_wrap=True)
        with (data_dir / "restored" / name).open(encoding="utf-8") as lines:
            _show(lines, count)
    console.print("Delivery is held. postray up starts it; postray resume --all lets mail go.")


def _show(lines: TextIO, count: int) -> None:
    for _, line in zip(range(SHOWN), lines, strict=False):
        console.print(f"  {line.rstrip()}", markup=False, soft_wrap=True)
    if count > SHOWN:
        console.print(f"  … and {count - SHOWN} more")


@contextmanager
def _steps() -> Iterator[Callable[[str], None]]:
    """Shows the step that is under way, and how long each took."""
    with Progress(SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn(), console=errors) as progress:
        tasks: list[Any] = []

        def step(name: str) -> None:
            for task in tasks:
                progress.update(task, total=1, completed=1)
            tasks.append(progress.add_task(name, total=None))

        yield step
        for task in tasks:
            progress.update(task, total=1, completed=1)
