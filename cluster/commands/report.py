"""``postray report``: how mail went, as one page with pictures."""

from datetime import UTC, datetime, timedelta
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


@click.command()
@click.option(
    "--since", type=SinceType(), required=True, help="From then on: a time (UTC), or how long ago, such as 7d."
)
@click.option("--until", type=SinceType(), help="Before then. Default: now.")
@click.option("--tenant", type=NAME, help="Only of this tenant: its name or its id.")
@click.option(
    "--html",
    "path",
    required=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="The file to write; one that is there is replaced.",
)
@click.pass_obj
def report(config: str | None, since: datetime, until: datetime | None, tenant: str | None, path: Path) -> None:
    """Write a page about the mail of a time: volumes, delivery by site, times, bounces, opens and clicks. It needs
    nothing but a browser."""
    end = until or datetime.now(UTC)
    if end <= since:
        raise click.UsageError("--until must be after --since")
    if end - since > timedelta(days=MOST_DAYS):
        raise click.UsageError(f"a report covers at most {MOST_DAYS} days")
    make = load(PAGES, "report")
    settings = settings_of(config)
    door, instance = SqlDoor(settings), Instance.of(config)
    found = find_tenant(instance, tenant) if tenant else None
    names = {} if found else {one["id"]: one["name"] for one in all_tenants(instance)}
    with Progress(
        SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn(), console=errors, transient=True
    ) as progress:
        task = progress.add_task("", total=None)
        page = make(
            door.rows,
            since,
            end,
            tenant_id=found["id"] if found else "",
            tenant_name=found["name"] if found else "",
            name_of=lambda id: names.get(id, id),
            tell=lambda about: progress.update(task, description=about),
        )
    try:
        write_whole(path, page.encode())
    except OSError as error:
        raise click.ClickException(f"{path}: {error.strerror}") from error
    console.print(f"{path}  {len(page.encode()):,} bytes", markup=False, soft_wrap=True)
