"""``postray recipients erase``: what there is about recipients of a tenant is erased."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from cluster.commands.instance import Instance, path_part
from cluster.commands.output import NAME, console, errors, json_option, print_json
from cluster.journal.recipient_erasure import MOST_ADDRESSES

LOOK_S = 1.0


@click.group()
def recipients() -> None:
    """Those whom tenants send mail to."""


@recipients.command()
@click.argument("tenant", type=NAME)
@click.argument("emails", type=NAME, metavar="EMAIL", nargs=-1)
@click.option("--file", type=click.Path(dir_okay=False, path_type=Path), help="More addresses: one on each line.")
@click.option("--wait", is_flag=True, help="Return when all is erased: it waits for mail that is still to be sent.")
@json_option
@click.pass_obj
def erase(config: str | None, tenant: str, emails: Sequence[str], file: Path | None, wait: bool, as_json: bool) -> None:
    """Erase what there is about each EMAIL in what TENANT (its id or its name) has, in the background."""
    addresses = [*emails, *(_lines(file) if file else ())]
    if not addresses:
        raise click.UsageError("give an EMAIL, or a --file that has some")
    instance = Instance.of(config)
    path = f"tenants/{path_part(tenant)}/recipients/erasejob"
    jobs = [
        instance.post(path, email_addresses=addresses[start : start + MOST_ADDRESSES])["job_id"]
        for start in range(0, len(addresses), MOST_ADDRESSES)
    ]
    states = _until_done(instance, path, jobs) if wait else [instance.get(f"{path}/{job}") for job in jobs]
    if as_json:
        print_json({"jobs": states})
        return
    for state in states:
        console.print(f"{state['job_id']} is {state['status']}", markup=False)


def _lines(file: Path) -> list[str]:
    """The addresses in a file. Raises click.ClickException."""
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except FileNotFoundError as error:
        raise click.FileError(str(file), "it does not exist") from error
    except UnicodeDecodeError as error:
        raise click.FileError(str(file), "it is not in UTF-8") from error
    return [stripped for line in lines if (stripped := line.strip())]


def _until_done(instance: Instance, path: str, jobs: Sequence[str]) -> list[Any]:
    """The states of these jobs once they are done."""
    columns = (SpinnerColumn(), TextColumn("erasing"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    done = []
    with Progress(*columns, console=errors) as progress:
        task = progress.add_task("", total=len(jobs))
        for job in jobs:
            while (state := instance.get(f"{path}/{job}"))["status"] != "done":
                time.sleep(LOOK_S)
            done.append(state)
            progress.advance(task)
    return done
