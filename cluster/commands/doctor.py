"""Whether all is well with an installation, running or not."""

import sys
from pathlib import Path

import click
from rich.text import Text

from cluster.commands.instance import settings_file, settings_of
from cluster.commands.output import NAME, console, json_option, plain, print_json
from cluster.doctor.checks import examine
from cluster.doctor.findings import FindingState, Installation, worst

COLOURS = {FindingState.OK: "green", FindingState.WARNING: "yellow", FindingState.PROBLEM: "red"}
MONITORING = {FindingState.OK: 0, FindingState.WARNING: 1, FindingState.PROBLEM: 2}
"""Exit codes as the plugins of Nagios, Icinga and others have them."""


class NoSettings(click.ClickException):
    """The settings cannot be read, so it is not known how all is."""

    exit_code = 3


@click.command()
@click.option(
    "--port25",
    "hosts",
    multiple=True,
    type=NAME,
    metavar="HOST[:PORT]",
    help="Connect to this SMTP server from every source, to see whether the network lets mail out.",
)
@click.option(
    "--monitoring", is_flag=True, help="Exit 0 when all is well, 1 on a warning, 2 on a problem, 3 without settings."
)
@json_option
@click.pass_obj
def doctor(config: str | None, hosts: tuple[str, ...], monitoring: bool, as_json: bool) -> None:
    """Look at an installation, its machine and its names in the DNS; say what to do. Exit 1 on a problem.

    Works whether postray runs or not, and changes nothing.
    """
    try:
        settings = settings_of(config)
    except click.ClickException as error:
        raise (NoSettings(error.message) if monitoring else error) from error
    candidates = (settings_file(config), Path(settings.delivery.shaping_file), Path(settings.delivery.routing_file))
    files = tuple(path for path in candidates if path is not None and path.is_file())
    findings = list(examine(Installation(settings, files, hosts)))
    state = worst(found for _, found in findings)
    if as_json:
        print_json([{"check": name, "state": found.state, "text": found.text} for name, found in findings])
    else:
        for name, found in findings:
            line = Text.assemble((f"{found.state:<8}", COLOURS[found.state]), f" {name:<12} ", plain(found.text))
            console.print(line, soft_wrap=True)
    sys.exit(MONITORING[state] if monitoring else state is FindingState.PROBLEM)
