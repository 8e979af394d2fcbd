"""Checks of files: who owns them, which users can reach them, and what a killed postray has left."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from shlex import quote

import psutil

from cluster.doctor.findings import Finding, FindingState, Installation, ok, problem, warning
from cluster.installation import run_folder, running
from cluster.installation.owners import SERVER_FOLDER, commands_for_server, server_owner, user_name
from cluster.installation.private_files import OTHERS, place_problem


def place(installation: Installation) -> Iterator[Finding]:
    """Who owns data_dir, and which users could replace it."""
    if fault := place_problem(Path(installation.settings.data_dir)):
        yield problem(fault)
        return
    yield ok(f"{installation.data_dir} belongs to {user_name(os.geteuid())}, and others cannot replace it")
    for parent in installation.data_dir.parents:
        if (owner := parent.stat().st_uid) not in (os.geteuid(), 0):
            yield warning(f"{parent} belongs to {user_name(owner)}, who can rename what is in it: trust that user")


def modes(installation: Installation) -> Iterator[Finding]:
    """Whether other users can enter data_dir or open its contents."""
    folder = installation.data_dir
    opened = [path for path in (folder, *sorted(folder.iterdir())) if _is_open(path)]
    for path in opened:
        mode = stat.S_IMODE(path.stat().st_mode)
        state = FindingState.PROBLEM if path == folder else FindingState.WARNING
        yield Finding(state, f"{path} is open to other users (mode {mode:o}): chmod go= {path}, or postray up does it")
    if not opened:
        yield ok(f"only its owner can enter {folder} and what is in it")


def _is_open(path: Path) -> bool:
    return not path.is_symlink() and bool(path.stat().st_mode & OTHERS) and not path.is_socket()


def owners(installation: Installation) -> Iterator[Finding]:
    """Whether the contents of data_dir belong to the users that need them."""
    folder, us = installation.data_dir, os.geteuid()
    if folder.stat().st_uid != us:
        return  # another check reports this for the whole folder
    server = folder / SERVER_FOLDER
    others = [path for path in sorted(folder.iterdir()) if path != server and path.lstat().st_uid != us]
    for path in others:
        owner, own = user_name(path.lstat().st_uid), f"chown -hR {user_name(us)} {quote(str(path))}"
        yield problem(f"{path} belongs to user {owner}, not {user_name(us)}: as root, {own}")
    if server.is_dir() and not installation.settings.postgres.dsn:
        found = _foreign_owner(server, server_owner())
        if found is not None:
            other = user_name(found)
            yield problem(
                f"{server}, or what is in it, belongs to user {other}, and the embedded Postgres cannot use it: "
                f"as root, {commands_for_server(server)}"
            )
            return
    if not others:
        yield ok(f"what is in {folder} belongs to the users that need it")


def _foreign_owner(folder: Path, needed: int | None) -> int | None:
    """The wrong owner of a folder, or of something in it (after a chown without -R); None when all owners are right."""
    owner = folder.stat().st_uid
    if owner != needed:
        return owner
    return next((uid for path in sorted(folder.iterdir()) if (uid := path.lstat().st_uid) != needed), None)


def sockets(installation: Installation) -> Iterator[Finding]:
    """Whether the folder of the sockets is closed to other users."""
    folder = run_folder.find(installation.data_dir)
    if folder is None:
        if installation.run is not None:
            yield problem(f"{installation.data_dir / run_folder.NAME} is gone or not ours: restart postray")
        return
    if folder.stat().st_mode & OTHERS:
        yield problem(f"{folder}, where the sockets are, is open to other users: chmod go= {quote(str(folder))}")
        return
    opened = sorted(run_folder.opened(folder))
    for path in opened:
        # Ray opens some when a worker starts, and a running postray closes them within a second or two.
        yield warning(f"{path} is open to other users, but they cannot enter {folder}: chmod go= {quote(str(path))}")
    if not opened:
        yield ok(f"sockets are in {folder}, and only its owner can enter it and what is in it")


def settings_files(installation: Installation) -> Iterator[Finding]:
    """Whether other users can change the settings files, or read secrets in them."""
    for path in installation.files:
        mode = stat.S_IMODE(path.stat().st_mode)
        if mode & (stat.S_IWGRP | stat.S_IWOTH):
            yield problem(f"other users can change {path} (mode {mode:o}): chmod go-w {path}")
        elif mode & OTHERS and _holds_secret(path):
            yield problem(f"other users can read {path}, which holds a password or secret: chmod go= {path}")
        else:
            yield ok(f"{path} is as it should be")


def _holds_secret(path: Path) -> bool:
    text = path.read_text(encoding="utf-8", errors="replace")
    lines = (line.partition("#")[0].partition("=") for line in text.splitlines())
    values = {(key.strip(), value.strip().strip("\"'")) for key, _, value in lines}
    secrets = ("secret", "previous_secret", "password")
    return any(
        value and (key in secrets or (key == "dsn" and ("@" in value or "password" in value))) for key, value in values
    )


def leftovers(installation: Installation) -> Iterator[Finding]:
    """Processes and files that a killed postray has left."""
    if installation.run is not None:
        return
    marks = running.leftovers(installation.data_dir)
    alive = [mark.pid for mark in marks if psutil.pid_exists(mark.pid)]
    if alive:
        pids = " ".join(map(str, alive))
        yield warning(f"a killed postray left processes: {pids}; postray up ends them")
    elif run_folder.find(installation.data_dir) is not None:
        yield warning(f"a killed postray left {installation.data_dir / run_folder.NAME}; postray up removes it")
    else:
        yield ok("nothing is left of a killed postray")
