"""Commands for queued deliveries that match: ending, retrying now, moving them. Each proceeds part by part."""

from collections.abc import Callable
from typing import Any

import click

from cluster.commands.instance import Instance, Json
from cluster.commands.output import DURATION, NAME, console, json_option, print_json

FILTERS = (
    click.option("--message", "message_id", type=NAME, help="A message's id."),
    click.option("--domain", type=NAME, help="Of the recipient, or an unambiguous beginning of it."),
    click.option("--site", type=NAME, help="A site's name, or an unambiguous beginning of it."),
    click.option("--tenant", "tenant_id", type=NAME, help="A tenant's id or name, or an unambiguous beginning."),
    click.option("--batch", "batch_id", type=NAME, help="A batch's id."),
    click.option("--pool", type=NAME, help="The pool that the message names; default: none, too."),
    click.option("--older-than", "older_than_s", type=DURATION, help="Accepted longer ago than this, such as 2d."),
    click.option("--all", is_flag=True, help="Everything that is queued."),
)


def filtered(command: Callable[..., None]) -> Callable[..., None]:
    """Adds the options that select deliveries."""
    for option in reversed(FILTERS):
        command = option(command)
    return command


@click.command()
@filtered
@click.option("--reason", default="", help="For the message's events.")
@click.option("--dry-run", is_flag=True, help="Count what matches, and end nothing.")
@json_option
@click.pass_obj
def bounce(config: str | None, /, as_json: bool, **query: Any) -> None:
    """End queued deliveries that match every option given (at least one). What is being sent is left alone."""
    totals = {"matched": 0, "ended": 0, "being_sent": 0}
    _through_queue(Instance.of(config), "bounce", query, totals, "ended")
    _print_done(totals, "ended", as_json=as_json, dry_run=query["dry_run"])


@click.command("send-now")
@filtered
@click.option("--dry-run", is_flag=True, help="Count what matches, and change nothing.")
@json_option
@click.pass_obj
def send_now(config: str | None, /, as_json: bool, **query: Any) -> None:
    """Make deferred deliveries that match every option given (at least one) due now. A later send time, a pause and a
    suspension stand."""
    counts = ("matched", "deferred", "made_due", "due", "scheduled", "paused", "being_sent", "suspended")
    totals = dict.fromkeys(counts, 0)
    _through_queue(Instance.of(config), "send-now", query, totals, "made_due")
    if as_json:
        print_json(totals)
        return
    made = f"{totals['deferred']} deferred (--dry-run)" if query["dry_run"] else f"{totals['made_due']} made due"
    left = {
        "due already": totals["due"],
        "being sent": totals["being_sent"],
        "left for their send time": totals["scheduled"],
        "left paused": totals["paused"],
    }
    said = [f"{totals['matched']} matched", made, *(f"{count} {words}" for words, count in left.items() if count)]
    console.print(", ".join(said))
    if totals["suspended"]:
        console.print(f"{totals['suspended']} of them wait for a suspension to end: postray suspend lists these")


@click.command()
@filtered
@click.option("--to-pool", type=NAME, help="The pool of sources that it is to leave from.")
@click.option("--to-route", type=NAME, help="direct, a relay (host:port) of routing.toml, or default: as that says.")
@click.option("--dry-run", is_flag=True, help="Count what matches, and move nothing.")
@json_option
@click.pass_obj
def reroute(config: str | None, /, as_json: bool, **query: Any) -> None:
    """Move what waits and matches every option given (at least one) to another pool or route. What is being sent is
    left alone."""
    totals = {"matched": 0, "moved": 0, "being_sent": 0}
    _through_queue(Instance.of(config), "reroute", query, totals, "moved")
    _print_done(totals, "moved", as_json=as_json, dry_run=query["dry_run"])


def _print_done(totals: dict[str, int], done: str, *, as_json: bool, dry_run: bool) -> None:
    """``done``: the key of the count of changes, which is also the word to print."""
    if as_json:
        print_json(totals)
        return
    changed = f"nothing was {done} (--dry-run)" if dry_run else f"{totals[done]} {done}"
    console.print(f"{totals['matched']} matched, {changed}, {totals['being_sent']} are being sent")


def _through_queue(instance: Instance, path: str, query: Json, totals: dict[str, int], done: str) -> None:
    """Call a path for each part of the queue, and add up its counts in ``totals``. ``done``: the count to show."""
    after: str | None = ""
    with console.status("searching the queue") as status:
        while after is not None:
            answer = instance.post(path, **query, after=after)
            after = answer["next"]
            query |= answer["names"]
            for name in totals:
                totals[name] += answer[name]
            status.update(f"{totals['matched']} matched, {totals[done]} {done}")
