"""Suppression lists of tenants: reading and changing them, CSV files, and undoing what a wrong bounce rule did."""

import sys
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any, BinaryIO

import click

from cluster.commands.instance import Instance, path_part
from cluster.commands.output import NAME, console, json_option, moment, plain, print_json, table
from cluster.policy.limits.quantities import duration
from cluster.policy.replies.bounce_rules import RULES
from cluster.settings_words import nearest_names

LISTS = ("bounces", "blocks", "invalid_emails")
"""The lists that bounces feed."""
ALL_LISTS = (*LISTS, "spam_reports", "unsubscribes")
LOOK_S = 0.5
LIST = click.Choice(ALL_LISTS)


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
    names = {known.name for known in RULES.rules}
    if not totals["matched"] and rule not in names:  # a rule of an earlier version may have made entries
        console.print(f"No bounce rule has the name {rule}{nearest_names(rule, names)}", markup=False, soft_wrap=True)


@suppressions.command("list")
@click.argument("tenant", type=NAME)
@click.argument("list_", type=LIST, metavar="LIST")
@click.option("--email", type=NAME, help="Only addresses that begin with this; % stands for any text.")
@click.option("--limit", default=100, show_default=True, type=click.IntRange(1, 500))
@json_option
@click.pass_obj
def listing(config: str | None, tenant: str, list_: str, email: str | None, limit: int, as_json: bool) -> None:
    """The newest addresses on a LIST of TENANT (its id or its name); export has all of them."""
    found = Instance.of(config).get(_path(tenant, list_), email=email, limit=limit)
    if as_json:
        print_json(found)
        return
    if not found:
        console.print("there is no such address on the list")
        return
    shown = table("email", "=since (UTC)", "status", "reason")
    for one in found:
        shown.add_row(plain(one["email"]), moment(one["created_at"]), plain(one["status"]), plain(one["reason"]))
    console.print(shown)


@suppressions.command()
@click.argument("tenant", type=NAME)
@click.argument("list_", type=LIST, metavar="LIST")
@click.argument("emails", type=NAME, metavar="EMAIL", nargs=-1, required=True)
@json_option
@click.pass_obj
def add(config: str | None, tenant: str, list_: str, emails: tuple[str, ...], as_json: bool) -> None:
    """Put addresses on a LIST of TENANT (its id or its name)."""
    answer = Instance.of(config).post(_path(tenant, list_), emails=list(emails))
    if as_json:
        print_json(answer)
    else:
        console.print(f"{answer['changed']} added")


@suppressions.command()
@click.argument("tenant", type=NAME)
@click.argument("list_", type=LIST, metavar="LIST")
@click.argument("emails", type=NAME, metavar="EMAIL", nargs=-1, required=True)
@json_option
@click.pass_obj
def remove(config: str | None, tenant: str, list_: str, emails: tuple[str, ...], as_json: bool) -> None:
    """Take addresses off a LIST of TENANT (its id or its name)."""
    instance = Instance.of(config)
    removed = sum(instance.delete(_path(tenant, list_), email=email)["changed"] for email in emails)
    if as_json:
        print_json({"changed": removed})
    else:
        console.print(f"{removed} removed")


@suppressions.command()
@click.argument("tenant", type=NAME)
@click.argument("list_", type=LIST, metavar="LIST")
@click.argument("file", type=click.File("wb"), default="-")
@click.pass_obj
def export(config: str | None, tenant: str, list_: str, file: BinaryIO) -> None:
    """Write a LIST of TENANT (its id or its name) to FILE as CSV; to the output when FILE is not given."""
    Instance.of(config).download(f"{_path(tenant, list_)}/export", file)


@suppressions.command("import")
@click.argument("tenant", type=NAME)
@click.argument("list_", type=LIST, metavar="LIST")
@click.argument("file", type=click.Path())
@click.option("--wait/--no-wait", default=True, help="Whether to return when all is worked in; it is by default.")
@json_option
@click.pass_obj
def import_(config: str | None, tenant: str, list_: str, file: str, wait: bool, as_json: bool) -> None:
    """Put the addresses of a CSV FILE on a LIST of TENANT (its id or its name). Exit 1 if lines were faulty."""
    instance = Instance.of(config)
    path = f"{_path(tenant, list_)}/import"
    try:
        with open(file, "rb") as content:
            job = instance.upload(path, content, "text/csv")
    except FileNotFoundError as error:
        raise click.FileError(file, "it does not exist") from error
    while wait and job["status"] in ("uploading", "pending"):
        time.sleep(LOOK_S)
        job = instance.get(f"{path}/{job['id']}")
    if as_json:
        print_json(job)
    else:
        counts = f"{job['added']} added, {job['known']} known, {job['faulty']} faulty"
        console.print(f"{job['id']} is {job['status']}: {counts}", markup=False, soft_wrap=True)
        for fault in job["faults"]:
            console.print(f"line {fault['line']}: {fault['message']}", markup=False, soft_wrap=True)
    sys.exit(job["status"] == "failed" or job["faulty"] > 0)


def _path(tenant: str, list_: str) -> str:
    return f"tenants/{path_part(tenant)}/suppressions/{list_}"
