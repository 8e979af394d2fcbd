"""Destinations: how they are, what was done to them, halting and ending what goes to them."""

from typing import Any

import click

from cluster.commands.instance import Instance, Json
from cluster.commands.output import DURATION, console, json_option, moment, number, plain, print_json, table


@click.command()
@click.argument("pattern", default="")
@click.option("--source", default="", help="Only what is sent from this source.")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 1000))
@click.option("--actions", "show_actions", is_flag=True, help="What was done to the site PATTERN names, instead.")
@json_option
@click.pass_obj
def sites(config: str | None, pattern: str, source: str, limit: int, show_actions: bool, as_json: bool) -> None:
    """The sites that hold something, the deepest first; PATTERN is part of a name, or a whole one with * and ?."""
    if show_actions:
        _actions(Instance.of(config), pattern or None, limit, as_json)
        return
    answer = Instance.of(config).get("sites", pattern=pattern, source=source, limit=limit)
    if as_json:
        print_json(answer)
        return
    for name in answer["silent"]:
        console.print(f"{name} did not answer: what it holds is missing here")
    if not answer["sites"]:
        console.print("no site holds anything" + (f" that is like {pattern}" if pattern else ""), markup=False)
        return
    numbers = table("site", ">depth", ">in flight", ">conns", ">limit/s", ">ok/s", ">ok/deferred/bounced")
    states = table("site", "state")
    for site in answer["sites"]:
        name = plain(f"{site['site']} from {site['source']}" if site["source"] else site["site"])
        numbers.add_row(name, *_numbers(site))
        for words in _state(site):
            states.add_row(name, plain(words))
    console.print(numbers)
    if states.row_count:
        console.print()
        console.print(states)


def _numbers(site: Json) -> tuple[str, ...]:
    return (
        number(site["depth"]),
        number(site["in_flight"]),
        f"{site['connections']}/{site['connection_limit']}",
        number(site["message_rate"]) if site["message_rate"] else "-",
        number(site["accepted_per_s"]),
        "/".join(number(site[name]) for name in ("accepted", "deferred", "bounced")),
    )


def _state(site: Json) -> list[str]:
    said = [f"suspended: {words}" for words in site["suspended"]]
    if site["waits_for"]:
        until = f" until {moment(site['until'])}" if site["until"] else ""
        said.append(f"waits: {site['waits_for']}{until}")
    said += site["adjustments"]
    if site["last_replies"]:
        reply = site["last_replies"][0]
        said.append(f"last: {reply['host']}: {reply['text']}" if reply["host"] else f"last: {reply['text']}")
    return said


@click.command()
@click.argument("site", required=False)
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 1000))
@json_option
@click.pass_obj
def actions(config: str | None, site: str | None, limit: int, as_json: bool) -> None:
    """What automation and operators did to sites (or to SITE), the newest first."""
    _actions(Instance.of(config), site, limit, as_json)


def _actions(instance: Instance, site: str | None, limit: int, as_json: bool) -> None:
    answer = instance.get("actions", site=site, limit=limit)
    if as_json:
        print_json(answer)
        return
    if not answer["actions"]:
        console.print("nothing was done" + (f" to {site}" if site else ""), markup=False)
        return
    shown = table("=at (UTC)", "site", "source", "tenant", "=action", "detail", "by")
    for action in answer["actions"]:
        detail = action["detail"] + (f" ({action['reply']})" if action["reply"] else "")
        shown.add_row(
            moment(action["at"]),
            plain(action["site"] or "every site"),
            plain(action["source"]),
            plain(action["tenant_id"]),
            plain(action["action"]),
            plain(detail),
            plain(action["made_by"]),
        )
    console.print(shown)


@click.command()
@click.option("--site", help="A site's name, as postray sites shows it.")
@click.option("--tenant", "tenant_id", help="A tenant's id.")
@click.option("--for", "for_s", type=DURATION, default="1h", show_default=True, help="How long, such as 30m or 2d.")
@click.option("--reason", default="", help="For people to read.")
@json_option
@click.pass_obj
def suspend(
    config: str | None, site: str | None, tenant_id: str | None, for_s: float, reason: str, as_json: bool
) -> None:
    """Send nothing to a site, for a tenant, or for a tenant to a site, for a time. Without either: list suspensions."""
    instance = Instance.of(config)
    if site is None and tenant_id is None:
        answer = instance.get("suspensions")
    else:
        made = instance.post("suspensions", site=site, tenant_id=tenant_id, for_s=for_s, reason=reason)
        answer = {"suspensions": [made]}
    _suspensions(answer, as_json, "nothing is suspended")


@click.command()
@click.option("--site", help="End the suspensions of this site.")
@click.option("--tenant", "tenant_id", help="End the suspensions of this tenant.")
@json_option
@click.pass_obj
def resume(config: str | None, site: str | None, tenant_id: str | None, as_json: bool) -> None:
    """End all suspensions of a site, of a tenant, or of one at the other; says which there were."""
    answer = Instance.of(config).delete("suspensions", site=site, tenant_id=tenant_id)
    _suspensions(answer, as_json, "nothing of it was suspended")


def _suspensions(answer: Json, as_json: bool, none: str) -> None:
    if as_json:
        print_json(answer)
        return
    if not answer["suspensions"]:
        console.print(none)
        return
    shown = table("site", "tenant", "=until (UTC)", "by", "reason")
    for suspension in answer["suspensions"]:
        shown.add_row(
            plain(suspension["site"] or "every site"),
            plain(suspension["tenant_id"] or "all tenants"),
            moment(suspension["until"]),
            plain(suspension["made_by"]),
            plain(suspension["reason"]),
        )
    console.print(shown)


@click.command()
@click.option("--domain", help="Of the recipient.")
@click.option("--site", help="A site's name.")
@click.option("--tenant", "tenant_id", help="A tenant's id.")
@click.option("--batch", "batch_id", help="A batch's id.")
@click.option("--pool", help="The pool that the message names.")
@click.option("--older-than", "older_than_s", type=DURATION, help="Accepted longer ago than this, such as 2d.")
@click.option("--reason", default="", help="For the message's events.")
@click.option("--dry-run", is_flag=True, help="Count what matches, and end nothing.")
@json_option
@click.pass_obj
def bounce(config: str | None, /, as_json: bool, **query: Any) -> None:
    """End queued deliveries that match every option given (at least one). What is being sent is left alone."""
    instance = Instance.of(config)
    totals = {"matched": 0, "ended": 0, "being_sent": 0}
    after: str | None = ""
    with console.status("searching the queue") as status:
        while after is not None:
            answer = instance.post("bounce", **query, after=after)
            after = answer["next"]
            for name in totals:
                totals[name] += answer[name]
            status.update(f"{totals['matched']} matched, {totals['ended']} ended")
    if as_json:
        print_json(totals)
        return
    ended = "nothing was ended (--dry-run)" if query["dry_run"] else f"{totals['ended']} ended"
    console.print(f"{totals['matched']} matched, {ended}, {totals['being_sent']} are being sent")
