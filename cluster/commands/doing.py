"""Who types a command, and which one it is, for the notes of what operators do. Commands that ask /api/admin tell it in
headers (``instance``)."""

import os
import pwd
import socket

import click

from cluster.access.operator_headers import COMMAND, OPERATOR, in_header

PROGRAM = "postray"
RELOAD = "up, on SIGHUP"
"""What changes something where no command is being typed."""


def operator() -> str:
    """The user of this process and the host, and who has become this user by sudo: ``postray@mta1 (sudo ada)``."""
    try:
        user = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        user = str(os.getuid())
    by = os.environ.get("SUDO_USER", "")
    return f"{user}@{socket.gethostname()}{f' (sudo {by})' if by and by != user else ''}"


def command_name() -> str:
    """The command that runs, such as ``postray tenants suspend``, without what it is given."""
    names: list[str] = []
    context = click.get_current_context(silent=True)
    while context is not None and context.parent is not None:
        names.insert(0, context.info_name or "")
        context = context.parent
    return " ".join([PROGRAM, *(names or [RELOAD])])


def headers() -> dict[str, str]:
    """What requests to /api/admin have."""
    return {OPERATOR: in_header(operator()), COMMAND: in_header(command_name())}
