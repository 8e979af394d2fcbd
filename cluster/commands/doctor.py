"""Whether all is well with an installation, running or not."""

import sys
from pathlib import Path

import click
from rich.text import Text

from cluster.commands.instance import settings_file, settings_of
from cluster.commands.output import console, json_option, plain, print_json
from cluster.installation.doctor import FindingState, Installation, examine

COLOURS = {FindingState.OK: "green", FindingState.WARNING: "yellow", FindingState.PROBLEM: "red"}


@click.command()
@json_option
@click.pass_obj
def doctor(config: str | None, as_json: bool) -> None:
    """Look at permissions, secrets, damaged events, leftovers and room; say what to do. Exit 1 on a problem.

    Works whether postray runs or not, and changes nothing.
    """
    settings = settings_of(config)
    candidates = (settings_file(config), Path(settings.delivery.shaping_file), Path(settings.delivery.routing_file))
    files = tuple(path for path in candidates if path is not None and path.is_file())
    findings = list(examine(Installation(settings, files)))
    if as_json:
        print_json([{"check": name, "state": found.state, "text": found.text} for name, found in findings])
    else:
        for name, found in findings:
            line = Text.assemble((f"{found.state:<8}", COLOURS[found.state]), f" {name:<10}", plain(found.text))
            console.print(line, soft_wrap=True)
    sys.exit(any(found.state is FindingState.PROBLEM for _, found in findings))
