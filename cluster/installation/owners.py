"""Whose the files of an installation are, and the commands that make it so. Changes nothing.

All of ``data_dir`` belongs to the user that postray runs as. Only the folder of the embedded Postgres, which refuses to
run as root, then belongs to a user of its own.
"""

import os
import pwd
from pathlib import Path
from shlex import quote

SERVER_USER = "pgserver"
"""Runs the embedded Postgres where postray runs as root; made on first use."""
SERVER_FOLDER = "postgres"
"""Of the embedded Postgres, in data_dir."""


def user_name(uid: int) -> str:
    """Of a user's id; the id itself where it has no name."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def server_owner() -> int | None:
    """The id of the user that the embedded Postgres's folder belongs to; None where that user is not made yet."""
    if os.geteuid() != 0:
        return os.geteuid()
    try:
        return pwd.getpwnam(SERVER_USER).pw_uid
    except KeyError:
        return None


def commands_for(data_dir: Path) -> str:
    """A line for a root shell that gives an installation to the user that we are."""
    line = f"chown -R {user_name(os.geteuid())} {quote(str(data_dir))}"
    server = data_dir / SERVER_FOLDER
    # Root sees whether it is there; of others' it does not matter, as it is theirs like all else.
    return f"{line} && {commands_for_server(server)}" if os.geteuid() == 0 and server.is_dir() else line


def commands_for_server(folder: Path) -> str:
    """The same for the folder of the embedded Postgres alone."""
    if os.geteuid() != 0:
        return f"chown -R {user_name(os.geteuid())} {quote(str(folder))}"
    made = "" if server_owner() is not None else f"useradd --system {SERVER_USER} && "
    return f"{made}chown -R {SERVER_USER} {quote(str(folder))}"
