"""``postray report``: how mail went, or what went wrong, as one page with pictures."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path

import click
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from cluster.commands.instance import Instance, settings_of
from cluster.commands.output import NAME, console, errors
from cluster.commands.sql_door import SqlDoor
from cluster.commands.suppressions import SinceType
from cluster.commands.tenants import all_tenants, find_tenant
from cluster.entry_points import PAGES, load
from cluster.installation.private_files import write_whole

MOST_DAYS = 3660
"""The longest range: ten years."""
MOST_DAYS_OF_TROUBLES = 7
"""The same of troubles: with more, a step of the report is longer than what goes wrong."""


class About(StrEnum):
    """What a report is about."""

    MAIL = "mail"
    TROUBLES = "troubles"


@click.command()
@click.option(
    "--since", type=SinceType(), required=True, help="From then on: a time (UTC), or how long ago, such as 7d."
)
@click.option("--until", type=SinceType(), help="Before then. Default: now.")
@click.option(
    "--about",
    type=click.Choice([about.value for about in About]),
    default=About.MAIL.value,
    show_default=True,
    help="troubles: when something was not as usual, and what that did to mail; of at most 7 days.",
)
@click.option("--tenant", type=NAME, help="Only of this tenant: its name or its id.")
@click.option(
    "--html",
    "path",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The file to write; one that is there is replaced.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the troubles for programs.")
@click.pass_obj
def report(
    config: str | None,
    since: datetime,
    until: datetime | None,
    about: str,
    tenant: str | None,
    path: Path | None,
    as_json: bool,
) -> None:
    """Write a page about a time. Its mail: volumes, delivery by site, times, bounces, opens and clicks. Its troubles,
    by the flight recorder: when, what they looked like, and what they did to mail. It needs nothing but a browser."""
    end = until or datetime.now(UTC)
    of_troubles = about == About.TROUBLES
    most_days = MOST_DAYS_OF_TROUBLES if of_troubles else MOST_DAYS
    if end <= since:
        raise click.UsageError("--until must be after --since")
    if end - since > timedelta(days=most_days):
        raise click.UsageError(f"a report covers at most {most_days} days")
    if of_troubles and tenant:
        raise click.UsageError("troubles are those of all tenants")
    if as_json and not of_troubles:
        raise click.UsageError("--json is of troubles")
    if path is None and not as_json:
        raise click.UsageError("--html says which file to write")
    if of_troubles:
        page, found = _troubles(config, since, end)
    else:
        page, found = _mail(config, since, end, tenant), b""
    if as_json:
        sys.stdout.buffer.write(found + b"\n")
        sys.stdout.flush()
    if path is None:
        return
    try:
        write_whole(path, page.encode())
    except OSError as error:
        raise click.ClickException(f"{path}: {error.strerror}") from error
    if not as_json:
        console.print(f"{path}  {len(page.encode()):,} bytes", markup=False, soft_wrap=True)


def _mail(config: str | None, since: datetime, until: datetime, tenant: str | None) -> str:
    make = load(PAGES, "report")
    door, instance = SqlDoor(settings_of(config)), Instance.of(config)
    found = find_tenant(instance, tenant) if tenant else None
    names = {} if found else {one["id"]: one["name"] for one in all_tenants(instance)}
    with _telling() as tell:
        page: str = make(
            door.rows,
            since,
            until,
            tenant_id=found["id"] if found else "",
            tenant_name=found["name"] if found else "",
            name_of=lambda id: names.get(id, id),
            tell=tell,
        )
    return page


def _troubles(config: str | None, since: datetime, until: datetime) -> tuple[str, bytes]:
    make = load(PAGES, "troubles")
    door = SqlDoor(settings_of(config))
    with _telling() as tell:
        made: tuple[str, bytes] = make(door.rows, since, until, tell=tell)
    return made


@contextmanager
def _telling() -> Iterator[Callable[[str], None]]:
    """Shows what is asked."""
    with Progress(
        SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn(), console=errors, transient=True
    ) as progress:
        task = progress.add_task("", total=None)
        yield lambda about: progress.update(task, description=about)
