"""The owners of an installation's files, and the commands that set them. This module changes nothing.

All of ``data_dir`` belongs to the user that postray runs as. If that is root, the folder of the embedded Postgres,
which refuses to run as root, belongs to a separate user.
"""

import os
import pwd
from pathlib import Path
from shlex import quote

SERVER_USER = "pgserver"
"""Runs the embedded Postgres when postray runs as root; created on first use."""
SERVER_FOLDER = "postgres"
"""The folder of the embedded Postgres in data_dir."""


def user_name(uid: int) -> str:
    """The name of a user; the id itself when it has none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def server_owner() -> int | None:
    """The id of the user that owns the embedded Postgres's folder; None when that user does not exist yet."""
    if os.geteuid() != 0:
        return os.geteuid()
    try:
        return pwd.getpwnam(SERVER_USER).pw_uid
    except KeyError:
        return None


def commands_for(data_dir: Path) -> str:
    """A command for a root shell that gives an installation to the current user."""
    line = f"chown -R {user_name(os.geteuid())} {quote(str(data_dir))}"
    server = data_dir / SERVER_FOLDER
    # Only root needs to know whether it exists: for other users it has the same owner as everything else.
    return f"{line} && {commands_for_server(server)}" if os.geteuid() == 0 and server.is_dir() else line


def commands_for_server(folder: Path) -> str:
    """The same for the folder of the embedded Postgres only."""
    if os.geteuid() != 0:
        return f"chown -R {user_name(os.geteuid())} {quote(str(folder))}"
    made = "" if server_owner() is not None else f"useradd --system {SERVER_USER} && "
    return f"{made}chown -R {SERVER_USER} {quote(str(folder))}"
