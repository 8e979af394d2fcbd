"""``postray storage``: what takes how much of the disk, when it goes, and what the disk will be."""

import time
from collections import defaultdict
from datetime import datetime, timedelta
from uuid import uuid4

import click
from rich.table import Table

from cluster.commands.instance import Instance, Json
from cluster.commands.output import console, json_option, moment, number, plain, print_json, table
from cluster.sizes import size_text

PARTS = {
    "capture": "captured mail",
    "clickhouse": "events: the embedded ClickHouse",
    "ledger": "ledgers of delivery actors",
    "logs": "logs",
    "mail_in": "mail that is coming in",
    "postgres": "the journal: the embedded Postgres",
    "rejected": "events that could not be stored",
    "submission": "certificates of submission",
}
"""Of the data directory, in words."""
MOST_TABLES = 15
LOOK_S = 0.5


@click.group(invoke_without_command=True)
@json_option
@click.pass_context
def storage(context: click.Context, as_json: bool) -> None:
    """What takes how much of the disk, by part, table, day and tenant, when it goes, and what the disk will be at the
    present rate."""
    if context.invoked_subcommand is None:
        _show(context.obj, as_json=as_json)


@storage.command()
@click.option("--before", required=True, type=click.DateTime(["%Y-%m-%d"]), help="The first day (UTC) that stays.")
@click.option("--dry-run", is_flag=True, help="Only say what would go.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
@click.pass_obj
def prune(config: str | None, before: datetime, dry_run: bool, yes: bool, as_json: bool) -> None:
    """Delete the bodies and the records of all messages of the days before a day now. What is unfinished stays, with
    all that it needs; events and statistics stay as well."""
    instance, day = Instance.of(config), f"{before:%Y-%m-%d}"
    plan = instance.get("storage/prune", before=day)
    if dry_run:
        if as_json:
            print_json(plan)
        else:
            _print_plan(plan)
        return
    if not yes:
        _print_plan(plan)
        click.confirm("Delete it?", abort=True)
    name = f"prune-{uuid4().hex[:12]}"
    while (state := instance.post("storage/prune", name=name, before=day))["state"] == "running":
        time.sleep(LOOK_S)
    if state["state"] == "failed":
        raise click.ClickException(state["reason"])
    if as_json:
        print_json(state)
    else:
        console.print(f"{size(state['freed_bytes'])} are free now")


def _print_plan(plan: Json) -> None:
    if not plan["days"]:
        console.print(f"nothing is left of the days before {plan['before']}")
        return
    console.print(_days(plan["days"], with_end=False))
    unfinished = plan["unfinished"]
    at_least = "at least " if unfinished == plan["most_counted"] else ""
    console.print(
        f"{size(plan['bytes'])} at most go; {at_least}{unfinished:,} unfinished messages of these days stay, "
        "with all that they need"
    )


def _show(config: str | None, *, as_json: bool) -> None:
    answer = Instance.of(config).get("storage")
    if as_json:
        print_json(answer)
        return
    outlook = answer["outlook"]
    console.print(_disk(outlook))
    if outlook["warning"]:
        console.print(plain(outlook["warning"]), style="red")
    if outlook["parts"]:
        console.print()
        console.print(_parts(outlook["parts"], answer["wal_bytes"]))
    console.print()
    console.print(_journal(answer["journal"]))
    console.print()
    console.print(_days(outlook["days"], with_end=True))
    console.print()
    if answer["clickhouse_problem"]:
        console.print(plain(f"ClickHouse: {answer['clickhouse_problem']}"), style="yellow")
    console.print(_clickhouse(answer["clickhouse"]))
    console.print()
    if answer["tenants_problem"]:
        console.print(plain(answer["tenants_problem"]), style="yellow")
    console.print(_tenants(answer["tenants"]))


def size(bytes: int | None) -> str:
    return "-" if bytes is None else size_text(bytes)


def _disk(outlook: Json) -> Table:
    current, forecast = outlook["current"], outlook["forecast"]
    facts = table("", "")
    facts.show_header = False
    facts.add_row("stored", size(current["stored_bytes"]))
    if current["free_bytes"] is not None:
        facts.add_row(
            "free",
            f"{size(current['free_bytes'])} of {size(outlook['disk_bytes'])}; "
            f"mail is refused below {size(outlook['kept_free_bytes'])}",
        )
    if forecast["bytes_per_day"] is None:
        facts.add_row("forecast", "none yet: it takes an hour of measuring")
        return facts
    facts.add_row("added in a day", size(forecast["bytes_per_day"]))
    for name, key in (("in a day", "in_a_day"), ("in a week", "in_a_week")):
        expected = forecast[key]
        free = "" if expected["free_bytes"] is None else f", {size(expected['free_bytes'])} free"
        facts.add_row(name, f"{size(expected['stored_bytes'])}{free}")
    if forecast["full_at"]:
        facts.add_row("full", f"{moment(forecast['full_at'])} UTC, at the present rate")
    return facts


def _parts(parts: dict[str, int], wal_bytes: int | None) -> Table:
    shown = table("=in the data directory", "=name", ">size")
    for name, bytes in sorted(parts.items(), key=lambda part: -part[1]):
        if bytes:
            shown.add_row(PARTS.get(name, ""), plain(name), size(bytes))
    if wal_bytes is not None:
        shown.add_row("of it Postgres' write-ahead log", "", size(wal_bytes))
    return shown


def _journal(tables: list[Json]) -> Table:
    shown = table("=table of the journal", ">rows, about", ">size", ">indexes")
    for one in tables[:MOST_TABLES]:
        shown.add_row(plain(one["name"]), number(one["rows"]), size(one["bytes"]), size(one["index_bytes"]))
    if rest := tables[MOST_TABLES:]:
        bytes, indexes = (sum(one[key] for one in rest) for key in ("bytes", "index_bytes"))
        shown.add_row(f"{len(rest)} others", "", size(bytes), size(indexes))
    return shown


def _days(days: list[Json], *, with_end: bool) -> Table:
    """The partitions of all tables, a row for each span of days."""
    ends = ("=bodies go (UTC)", "=records go (UTC)") if with_end else ()
    shown = table("=day", ">size", *ends)
    by_span: dict[tuple[str, str], list[Json]] = defaultdict(list)
    for one in days:
        by_span[one["first"], one["until"]].append(one)
    for (first, until), some in sorted(by_span.items()):
        last = f"{datetime.fromisoformat(until) - timedelta(days=1):%Y-%m-%d}"
        row = [first if first == last else f"{first} to {last}", size(sum(one["bytes"] for one in some))]
        if with_end:
            bodies = [one["bodies_go_at"] for one in some if one["bodies_go_at"]]
            row += ["gone" if not bodies else moment(min(bodies)), moment(max(one["records_go_at"] for one in some))]
        shown.add_row(*(plain(text) for text in row))
    return shown


def _clickhouse(partitions: list[Json]) -> Table:
    shown = table("=table of ClickHouse", "=partition", ">rows", ">size", "=goes (UTC)")
    by_table: dict[str, list[Json]] = defaultdict(list)
    for one in partitions:
        by_table[one["table"]].append(one)
    for name, some in sorted(by_table.items(), key=lambda table: -sum(one["bytes"] for one in table[1])):
        for one in some:
            shown.add_row(
                plain(name), plain(one["partition"]), number(one["rows"]), size(one["bytes"]), moment(one["goes_at"])
            )
    return shown


def _tenants(tenants: list[Json]) -> Table:
    shown = table("=tenant", ">messages, estimated")
    for one in tenants:
        shown.add_row(plain(one["tenant_id"]), size(one["bytes"]))
    return shown
