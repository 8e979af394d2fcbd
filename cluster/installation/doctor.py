"""``postray doctor``: a table of small checks of an installation, running or not.

Each check examines one thing and changes nothing. A check that needs a running part says so when the part does not run.
To add a check, write it and add it to ``CHECKS``.
"""

import asyncio
import json
import os
import shutil
import stat
import urllib.error
import urllib.request
from collections.abc import Awaitable, Callable, Iterable, Iterator
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from shlex import quote
from typing import Any, TypeVar

import psutil
from msgspec import Struct

from cluster.context import keeps_from_work
from cluster.entry_points import CHECKS as ABOVE
from cluster.entry_points import NotInstalled, load
from cluster.installation import confinement, run_folder, running
from cluster.installation.embedded import journal_dsn
from cluster.installation.local_secrets import SQL_PASSWORD, demo_key, ray_token, sql_password
from cluster.installation.owners import SERVER_FOLDER, commands_for_server, server_owner, user_name
from cluster.installation.private_files import OTHERS, Unsafe, place_problem
from cluster.journal.journal import Journal, Unavailable
from cluster.settings import ClickHouseSettings, Settings
from cluster.tenancy.domains.domain import WRONG_SHOWN
from cluster.vault import FILE, RESTORE, KeyRing, WrongKey, find_ring

ANSWER_S = 5.0
LOW_DISK_BYTES = 5 * 1024**3
SEALED_LOOKED_AT = 10_000
"""Number of encrypted values that are checked, the newest first."""
MOST_WRONG = 100
"""Number of sender domains that are named, those that have been wrong for longest first."""

T = TypeVar("T")


class FindingState(StrEnum):
    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


class Finding(Struct, frozen=True):
    """One line: the state of one thing and, unless it is OK, what to do."""

    state: FindingState
    text: str


class Installation(Struct, frozen=True):
    """The installation to check. ``files`` are the settings file and the policy files that exist."""

    settings: Settings
    files: tuple[Path, ...]

    @property
    def data_dir(self) -> Path:
        return Path(self.settings.data_dir).resolve()

    @property
    def run(self) -> running.Run | None:
        """The postray that runs on this data directory; None when none runs."""
        run = running.read_run(self.data_dir)
        # The postray of a cluster goes on without the command that started it.
        is_held = bool(self.settings.ray.address) or not running.DataLock(self.data_dir).is_free()
        return run if run is not None and is_held else None


Check = Callable[[Installation], Iterable[Finding]]
"""A check. Expected failures are findings, not exceptions."""
SetAside = Callable[[ClickHouseSettings, Path], list[str]]
"""Returns a line for each damaged part that the event store has detached. The path is data_dir, for the embedded
one."""


def examine(installation: Installation) -> Iterator[tuple[str, Finding]]:
    """Every check's findings, with its name."""
    if not installation.data_dir.exists():
        yield "data", _warning(f"{installation.data_dir} is not there yet: postray up makes it")
        return
    for name, check in CHECKS.items():
        for finding in check(installation):
            yield name, finding


def _ok(text: str) -> Finding:
    return Finding(FindingState.OK, text)


def _warning(text: str) -> Finding:
    return Finding(FindingState.WARNING, text)


def _problem(text: str) -> Finding:
    return Finding(FindingState.PROBLEM, text)


def _place(installation: Installation) -> Iterator[Finding]:
    """Who owns data_dir, and which users could replace it."""
    if problem := place_problem(Path(installation.settings.data_dir)):
        yield _problem(problem)
        return
    yield _ok(f"{installation.data_dir} belongs to {user_name(os.geteuid())}, and others cannot replace it")
    for parent in installation.data_dir.parents:
        if (owner := parent.stat().st_uid) not in (os.geteuid(), 0):
            yield _warning(f"{parent} belongs to {user_name(owner)}, who can rename what is in it: trust that user")


def _modes(installation: Installation) -> Iterator[Finding]:
    """Whether other users can enter data_dir or open its contents."""
    folder = installation.data_dir
    opened = [path for path in (folder, *sorted(folder.iterdir())) if _is_open(path)]
    for path in opened:
        mode = stat.S_IMODE(path.stat().st_mode)
        state = FindingState.PROBLEM if path == folder else FindingState.WARNING
        yield Finding(state, f"{path} is open to other users (mode {mode:o}): chmod go= {path}, or postray up does it")
    if not opened:
        yield _ok(f"only its owner can enter {folder} and what is in it")


def _is_open(path: Path) -> bool:
    return not path.is_symlink() and bool(path.stat().st_mode & OTHERS) and not path.is_socket()


def _owners(installation: Installation) -> Iterator[Finding]:
    """Whether the contents of data_dir belong to the users that need them."""
    folder, us = installation.data_dir, os.geteuid()
    if folder.stat().st_uid != us:
        return  # another check reports this for the whole folder
    server = folder / SERVER_FOLDER
    others = [path for path in sorted(folder.iterdir()) if path != server and path.lstat().st_uid != us]
    for path in others:
        owner, own = user_name(path.lstat().st_uid), f"chown -hR {user_name(us)} {quote(str(path))}"
        yield _problem(f"{path} belongs to user {owner}, not {user_name(us)}: as root, {own}")
    if server.is_dir() and not installation.settings.postgres.dsn:
        found = _foreign_owner(server, server_owner())
        if found is not None:
            other = user_name(found)
            yield _problem(
                f"{server}, or what is in it, belongs to user {other}, and the embedded Postgres cannot use it: "
                f"as root, {commands_for_server(server)}"
            )
            return
    if not others:
        yield _ok(f"what is in {folder} belongs to the users that need it")


def _foreign_owner(folder: Path, needed: int | None) -> int | None:
    """The wrong owner of a folder, or of something in it (after a chown without -R); None when all owners are right."""
    owner = folder.stat().st_uid
    if owner != needed:
        return owner
    return next((uid for path in sorted(folder.iterdir()) if (uid := path.lstat().st_uid) != needed), None)


def _run_folder(installation: Installation) -> Iterator[Finding]:
    """Whether the folder of the sockets is closed to other users."""
    folder = run_folder.find(installation.data_dir)
    if folder is None:
        if installation.run is not None:
            yield _problem(f"{installation.data_dir / run_folder.NAME} is gone or not ours: restart postray")
        return
    if folder.stat().st_mode & OTHERS:
        yield _problem(f"{folder}, where the sockets are, is open to other users: chmod go= {quote(str(folder))}")
        return
    opened = sorted(run_folder.opened(folder))
    for path in opened:
        # Ray opens some when a worker starts, and a running postray closes them within a second or two.
        yield _warning(f"{path} is open to other users, but they cannot enter {folder}: chmod go= {quote(str(path))}")
    if not opened:
        yield _ok(f"sockets are in {folder}, and only its owner can enter it and what is in it")


def _secrets(installation: Installation) -> Iterator[Finding]:
    """Whether the secrets exist and are well-formed."""
    settings, data_dir = installation.settings, installation.data_dir
    readers: dict[str, Callable[[], object]] = {
        "secret" if settings.secret else FILE: lambda: _ring(installation),
        "demo.key": lambda: demo_key(data_dir),
        "ray.token": lambda: ray_token(data_dir),
        SQL_PASSWORD: lambda: sql_password(data_dir),
    }
    for name, read in readers.items():
        try:
            found = read()
        except Unsafe as error:
            yield _problem(str(error))
            continue
        if found is not None:
            yield _ok(f"{name} is there and well-formed")
        elif name == FILE and (data_dir / SERVER_FOLDER / "PG_VERSION").exists():
            yield _problem(f"{data_dir / FILE} is missing: {RESTORE}")


def _ring(installation: Installation) -> KeyRing | None:
    """Raises Unsafe."""
    settings = installation.settings
    return find_ring(settings.secret, settings.previous_secret, installation.data_dir)


def _settings_files(installation: Installation) -> Iterator[Finding]:
    """Whether other users can change the settings files, or read secrets in them."""
    for path in installation.files:
        mode = stat.S_IMODE(path.stat().st_mode)
        if mode & (stat.S_IWGRP | stat.S_IWOTH):
            yield _problem(f"other users can change {path} (mode {mode:o}): chmod go-w {path}")
        elif mode & OTHERS and _holds_secret(path):
            yield _problem(f"other users can read {path}, which holds a password or secret: chmod go= {path}")
        else:
            yield _ok(f"{path} is as it should be")


def _holds_secret(path: Path) -> bool:
    text = path.read_text(encoding="utf-8", errors="replace")
    lines = (line.partition("#")[0].partition("=") for line in text.splitlines())
    values = {(key.strip(), value.strip().strip("\"'")) for key, _, value in lines}
    secrets = ("secret", "previous_secret", "password")
    return any(
        value and (key in secrets or (key == "dsn" and ("@" in value or "password" in value))) for key, value in values
    )


def _sealed(installation: Installation) -> Iterator[Finding]:
    """Whether the secret decrypts the encrypted values in the journal."""
    settings = installation.settings
    try:
        ring = _ring(installation)
    except Unsafe:
        return  # another check reports this
    if ring is None:
        return
    if any(one.until is None and one.key != settings.previous_secret for one in ring.former):
        yield _warning("the secret was rotated, and is in force once postray is restarted: postray down, postray up")
    if not settings.postgres.dsn and installation.run is None:
        yield _ok("what was sealed is looked at while postray runs")
        return
    try:
        sealed = asyncio.run(_read(settings, lambda journal: journal.sealed.used(SEALED_LOOKED_AT)))
    except Unavailable as error:
        yield _problem(f"the journal cannot be read: {error}")
        return
    vault, closed, waiting = ring.vault(), 0, 0
    for value in sealed:
        if vault.is_current(value.content):
            continue
        try:
            vault.open(value.content)
            waiting += 1
        except WrongKey:
            closed += 1
            yield _problem(f"{value.what} was sealed with another secret: put back the {FILE} (or secret) of that time")
    if waiting:
        yield _warning(f"{waiting} values are sealed with a former secret: postray up seals them anew when it starts")
    elif settings.previous_secret:
        yield _warning("nothing is sealed with previous_secret: remove it, once a day has passed since it was replaced")
    if not closed:
        yield _ok(f"the secret opens all that was sealed ({len(sealed)} looked at)")


def _domains(installation: Installation) -> Iterator[Finding]:
    """Verified sender domains whose DNS records have been wrong for some days."""
    settings = installation.settings
    if not settings.postgres.dsn and installation.run is None:
        yield _ok("sender domains are looked at while postray runs")
        return
    since = datetime.now(UTC) - WRONG_SHOWN
    try:
        wrong = asyncio.run(_read(settings, lambda journal: journal.sender_domains.wrong(since, MOST_WRONG)))
    except Unavailable as error:
        yield _problem(f"the journal cannot be read: {error}")
        return
    for domain in wrong:
        yield _warning(
            f"{domain.domain} of {domain.tenant_id}: its DNS records have been wrong since "
            f"{domain.wrong_since:%Y-%m-%d}; postray domains verify {domain.domain} shows which"
        )
    if not wrong:
        yield _ok("no verified sender domain has wrong DNS records")


async def _read(settings: Settings, read: Callable[[Journal], Awaitable[T]]) -> T:
    """What ``read`` finds in the journal. Raises Unavailable."""
    journal = Journal(journal_dsn(settings), application="doctor", connections=1)
    await journal.open()
    try:
        return await read(journal)
    finally:
        await journal.close()


def _parts(installation: Installation) -> Iterator[Finding]:
    """The state of the parts of a running postray."""
    run = installation.run
    if run is None:
        yield _ok("postray does not run here")
        return
    try:
        with urllib.request.urlopen(f"{run.url}/readyz", timeout=ANSWER_S) as answer:
            body: dict[str, Any] = json.load(answer)
    except urllib.error.HTTPError as error:
        body = json.load(error)
    except (OSError, ValueError) as error:
        yield _problem(f"postray runs (pid {run.pid}) and does not answer at {run.url}: {error}; see its logs")
        return
    for part, state in body["parts"].items():
        if state != "ok":
            finding = _problem if keeps_from_work(state) else _warning
            yield finding(f"{part}: {state}")
    if all(state == "ok" for state in body["parts"].values()):
        yield _ok(f"all {len(body['parts'])} parts work")


def _damaged_events(installation: Installation) -> Iterator[Finding]:
    """Damaged parts of tables that ClickHouse has detached."""
    try:
        set_aside: SetAside = load(ABOVE, "events")
    except NotInstalled as error:
        yield _problem(str(error))
        return
    found = set_aside(installation.settings.clickhouse, installation.data_dir)
    yield from (_problem(text) for text in found)
    if not found:
        yield _ok("ClickHouse has set no damaged part aside")


def _sql(installation: Installation) -> Iterator[Finding]:
    """Whether the embedded engine can be confined while it answers SQL."""
    settings = installation.settings
    if settings.clickhouse.dsn or not settings.analytics.bind:
        return
    if confinement.version():
        yield _ok("the SQL door can open only ClickHouse's own files")
        return
    tenants = "may log in all the same" if settings.analytics.tenants == "always" else "cannot log in"
    yield _warning(
        "this kernel has no Landlock, so only the check of queries keeps the SQL door from the files of this user; "
        f"tenants {tenants} (analytics.tenants)"
    )


def _leftovers(installation: Installation) -> Iterator[Finding]:
    """Processes and files that a killed postray has left."""
    if installation.run is not None:
        return
    marks = running.leftovers(installation.data_dir)
    alive = [mark.pid for mark in marks if psutil.pid_exists(mark.pid)]
    if alive:
        pids = " ".join(map(str, alive))
        yield _warning(f"a killed postray left processes: {pids}; postray up ends them")
    elif run_folder.find(installation.data_dir) is not None:
        yield _warning(f"a killed postray left {installation.data_dir / run_folder.NAME}; postray up removes it")
    else:
        yield _ok("nothing is left of a killed postray")


def _disk(installation: Installation) -> Iterator[Finding]:
    """Whether the disk has enough free space."""
    free = shutil.disk_usage(installation.data_dir).free
    bound = installation.settings.http.min_free_disk_mb * 1024**2
    if free < bound:
        yield _problem(
            f"{_gb(free)} free at {installation.data_dir}, less than http.min_free_disk_mb: mail is refused; make room"
        )
    elif free < max(LOW_DISK_BYTES, 2 * bound):
        yield _warning(f"{_gb(free)} free at {installation.data_dir}: below {_gb(bound)} mail is refused; make room")
    else:
        yield _ok(f"{_gb(free)} free at {installation.data_dir}")


def _gb(size: int) -> str:
    return f"{size / 1024**3:.1f} GB"


CHECKS: dict[str, Check] = {
    "place": _place,
    "modes": _modes,
    "owners": _owners,
    "sockets": _run_folder,
    "secrets": _secrets,
    "settings": _settings_files,
    "sealed": _sealed,
    "domains": _domains,
    "parts": _parts,
    "events": _damaged_events,
    "sql": _sql,
    "leftovers": _leftovers,
    "disk": _disk,
}
