"""Sites: their state, the actions on them, and suspending them."""

import sys

import click

from cluster.commands.instance import Instance, Json
from cluster.commands.output import DURATION, NAME, console, json_option, moment, number, plain, print_json, table

FAR_OFF = "9999"
"""The year in which the suspension of a suspended tenant ends."""


@click.command()
@click.argument("pattern", required=False, type=NAME)
@click.option("--domain", type=NAME, help="Only the site of this domain's mail.")
@click.option("--source", type=NAME, help="Only what is sent from this source.")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 1000))
@click.option("--actions", "show_actions", is_flag=True, help="What was done to the site PATTERN names, instead.")
@json_option
@click.pass_obj
def sites(
    config: str | None,
    pattern: str | None,
    domain: str | None,
    source: str | None,
    limit: int,
    show_actions: bool,
    as_json: bool,
) -> None:
    """The sites that hold something, the deepest first; PATTERN is part of a name, or a whole one with * and ?. Exit 1
    when no site is known with such a name."""
    if show_actions:
        _actions(Instance.of(config), pattern, domain, limit, as_json)
        return
    answer = Instance.of(config).get("sites", pattern=pattern, domain=domain, source=source, limit=limit)
    is_unknown = bool(pattern) and not answer["sites"] and not answer["idle"]
    if as_json:
        print_json(answer)
        sys.exit(is_unknown)
    for name in answer["silent"]:
        console.print(f"{name} did not answer: what it holds is missing here")
    if is_unknown:
        near = f"; the nearest names: {', '.join(answer['near'])}" if answer["near"] else ""
        raise click.ClickException(f"no site is known that is like {pattern}{near}")
    if not answer["sites"]:
        idle = f"; known, and empty: {', '.join(answer['idle'])}" if answer["idle"] else ""
        console.print(f"no site holds anything{idle}", markup=False, soft_wrap=True)
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
@click.argument("site", type=NAME, required=False)
@click.option("--domain", type=NAME, help="Instead of SITE: one whose mail goes there.")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 1000))
@json_option
@click.pass_obj
def actions(config: str | None, site: str | None, domain: str | None, limit: int, as_json: bool) -> None:
    """What automation and operators did to sites (or to SITE), the newest first."""
    _actions(Instance.of(config), site, domain, limit, as_json)


def _actions(instance: Instance, site: str | None, domain: str | None, limit: int, as_json: bool) -> None:
    answer = instance.get("actions", site=site, domain=domain, limit=limit)
    if as_json:
        print_json(answer)
        return
    if not answer["actions"]:
        console.print("nothing was done" + (f" to {site or domain}" if site or domain else ""), markup=False)
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
@click.option("--site", type=NAME, help="A site's name, as postray sites shows it, or an unambiguous beginning of it.")
@click.option("--domain", type=NAME, help="Instead of the site: one whose mail goes there.")
@click.option("--all", "all_", is_flag=True, help="Every site.")
@click.option("--tenant", "tenant_id", type=NAME, help="A tenant's id or name, or an unambiguous beginning.")
@click.option("--for", "for_s", type=DURATION, default="1h", show_default=True, help="How long, such as 30m or 2d.")
@click.option("--reason", default="", help="For people to read.")
@json_option
@click.pass_obj
def suspend(config: str | None, /, all_: bool, for_s: float, reason: str, as_json: bool, **names: str | None) -> None:
    """Send nothing to a site, for a tenant, or for a tenant to a site, for a time. Without any: list suspensions."""
    instance = Instance.of(config)
    if not all_ and all(name is None for name in names.values()):
        answer = instance.get("suspensions")
    else:
        made = instance.post("suspensions", **names, all=all_, for_s=for_s, reason=reason)
        answer = {"suspensions": [made]}
    _suspensions(answer, as_json, "nothing is suspended")


@click.command()
@click.option("--site", type=NAME, help="End the suspensions of this site: its name, or a beginning of it.")
@click.option("--domain", type=NAME, help="Instead of the site: one whose mail goes there.")
@click.option("--all", "all_", is_flag=True, help="End every suspension.")
@click.option("--tenant", "tenant_id", type=NAME, help="End those of this tenant: its id or name, or a beginning.")
@json_option
@click.pass_obj
def resume(config: str | None, /, all_: bool, as_json: bool, **names: str | None) -> None:
    """End all suspensions of a site, of a tenant, or of one at the other; says which there were."""
    answer = Instance.of(config).delete("suspensions", **names, all="true" if all_ else None)
    _suspensions(answer, as_json, "nothing of it was suspended")
    if answer["still"] and not as_json:
        console.print("still suspended, by wider suspensions:")
        _show_suspensions(answer["still"])


def _suspensions(answer: Json, as_json: bool, none: str) -> None:
    if as_json:
        print_json(answer)
    elif answer["suspensions"]:
        _show_suspensions(answer["suspensions"])
    else:
        console.print(none)


def _show_suspensions(suspensions: list[Json]) -> None:
    shown = table("site", "tenant", "=until (UTC)", "by", "reason")
    for suspension in suspensions:
        shown.add_row(
            plain(suspension["site"] or "every site"),
            plain(suspension["tenant_id"] or "all tenants"),
            "resumed by postray tenants" if suspension["until"] > FAR_OFF else moment(suspension["until"]),
            plain(suspension["made_by"]),
            plain(suspension["reason"]),
        )
    console.print(shown)
