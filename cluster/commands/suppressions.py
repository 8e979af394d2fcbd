"""Suppression lists: undoing what a wrong bounce rule has put on them."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import click

from cluster.commands.instance import Instance
from cluster.commands.output import NAME, console, json_option, print_json
from cluster.policy.limits.quantities import duration

LISTS = ("bounces", "blocks", "invalid_emails")
"""The lists that bounces feed."""


class SinceType(click.ParamType[datetime]):
    """A time (UTC where it names no zone), or how long ago."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        if isinstance(value, datetime):
            return value
        try:
            at = datetime.fromisoformat(value)
            return at if at.tzinfo else at.replace(tzinfo=UTC)
        except ValueError:
            pass
        try:
            return datetime.now(UTC) - timedelta(seconds=duration(value))
        except ValueError:
            self.fail(f"{value!r} is neither a time such as 2026-04-23T10:00 nor a duration such as 2d", param, ctx)


@click.group()
def suppressions() -> None:
    """The lists of addresses that get no mail."""


@suppressions.command()
@click.option("--rule", type=NAME, required=True, help="The bounce rule that made the entries.")
@click.option("--since", type=SinceType(), required=True, help="A time (UTC), or how long ago, such as 2d.")
@click.option("--list", "list_", type=click.Choice(LISTS), help="Only of this list.")
@click.option("--dry-run", is_flag=True, help="Count what matches, and delete nothing.")
@json_option
@click.pass_obj
def purge(config: str | None, rule: str, since: datetime, list_: str | None, dry_run: bool, as_json: bool) -> None:
    """Delete the entries, of all tenants, that a bounce rule has made since a time: the rule was wrong."""
    instance = Instance.of(config)
    totals, by_list, more = Counter[str](matched=0, deleted=0), Counter[str](), True
    while more:
        part = instance.post("suppressions/purge", rule=rule, since=since.isoformat(), list=list_, dry_run=dry_run)
        totals.update(matched=part["matched"], deleted=part["deleted"])
        by_list.update(part["by_list"])
        more = part["more"]
    if as_json:
        print_json({**totals, "by_list": dict(by_list)})
        return
    done = f"{totals['matched']} matched, {totals['deleted']} deleted"
    each = ", ".join(f"{count} of {name}" for name, count in by_list.items())
    console.print(f"{done} ({each})" if each else done, markup=False)
