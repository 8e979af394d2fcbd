"""Which user types a command, and which command it is, for the notes of what operators do. Commands that ask
/api/admin tell it in headers (``instance``). It is a claim: the environment and the host say it, nothing proves it."""

import os
import pwd
import socket

import click

from cluster.access.operator_headers import COMMAND, LONGEST_NAME, OPERATOR, in_header
from cluster.printable import printable

PROGRAM = "postray"
RELOAD = "up, on SIGHUP"
"""What changes something where no command is being typed."""


def operator() -> str:
    """The user of this process and the host, and the user that sudo says it was before: ``postray@mta1 (sudo ada)``."""
    try:
        user = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        user = str(os.getuid())
    by = os.environ.get("SUDO_USER", "")
    told = f"{user}@{socket.gethostname()}{f' (sudo {by})' if by and by != user else ''}"
    return printable(told)[:LONGEST_NAME]  # an environment holds any bytes


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
