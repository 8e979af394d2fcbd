"""Commands for details: a site's SMTP dialogues, one message, the route of a domain's mail, sources."""

from datetime import datetime

import click

from cluster.commands.instance import ANSWER_S, Instance, Json, path_part
from cluster.commands.output import (
    DOMAIN,
    NAME,
    PAST,
    FiniteRange,
    console,
    json_option,
    moment,
    number,
    plain,
    print_json,
    table,
)

ARROWS = {"C": "[cyan]→[/]", "S": "[green]←[/]", "*": "[yellow]*[/]"}


@click.command()
@click.argument("site", type=NAME, required=False)
@click.option("--domain", type=NAME, help="Instead of SITE: one whose mail goes there.")
@click.option("--seconds", default=30.0, show_default=True, type=FiniteRange(0.1, 3600))
@json_option
@click.pass_obj
def trace(config: str | None, site: str | None, domain: str | None, seconds: float, as_json: bool) -> None:
    """The SMTP dialogues with SITE (or an unambiguous beginning of its name) as they happen, without the contents of
    messages."""
    last: dict[str, int] = {}
    lines = Instance.of(config).lines("trace", seconds + ANSWER_S, site=site, domain=domain, seconds=seconds)
    for line in lines:
        if as_json:
            print_json(line)
            continue
        actor, place = line["actor"], line["number"]
        if (missed := place - last.get(actor, place - 1) - 1) > 0:
            console.print(f"  … {missed} lines of {actor} were dropped")
        last[actor] = place
        at = line["at"][11:23].rstrip("Z")
        console.print(
            f"{at} {ARROWS.get(line['direction'], '?')} ",
            plain(f"{line['connection']}  {line['text']}" if line["actor"] else line["text"]),
            soft_wrap=True,
        )


@click.command()
@click.argument("message", type=NAME)
@click.option("--at", type=PAST, help="How it and its site were then (UTC): 14:05, or 2026-11-30 14:05.")
@json_option
@click.pass_obj
def explain(config: str | None, message: str, at: datetime | None, as_json: bool) -> None:
    """Where MESSAGE (its id) is, why, what comes next and when."""
    answer = Instance.of(config).get(f"explain/{path_part(message)}", at=None if at is None else at.isoformat())
    if as_json:
        print_json(answer)
        return
    console.print(plain(f"{answer['message_id']} is {answer['status']}."), style="bold")
    for sentence in answer["sentences"]:
        console.print(plain(sentence))
    if answer["then"]:
        console.print()
        for sentence in answer["then"]:
            console.print(plain(sentence))
    for recipient in answer["recipients"]:
        console.print()
        console.print(plain(f"{recipient['recipient']}: {recipient['status']}"), style="bold")
        for sentence in recipient["sentences"]:
            console.print(plain(f"  {sentence}"))
    if answer["events"]:
        shown = table("=at (UTC)", "event", "recipient", "said")
        for event in answer["events"]:
            shown.add_row(
                moment(event["timestamp"]),
                plain(event["event_type"]),
                plain(event["recipient_email"]),
                plain(_said(event)),
            )
        console.print()
        console.print(shown)


def _said(event: Json) -> str:
    """The reply or the reason of an event, or where a click led."""
    reason: str | None = event.get("bounce_reason") or event.get("metadata", {}).get("reason")
    return reason or event.get("smtp_response") or event.get("url") or ""


@click.command()
@click.argument("domain", type=DOMAIN)
@click.option("--tenant", "tenant_id", type=NAME, help="As this tenant's mail would go.")
@click.option("--pool", type=NAME, help="From this pool of sources.")
@json_option
@click.pass_obj
def route(config: str | None, domain: str, tenant_id: str | None, pool: str | None, as_json: bool) -> None:
    """Where mail for DOMAIN would go: hosts, site, owner, source, limits, TLS."""
    answer = Instance.of(config).get(f"route/{path_part(domain)}", tenant_id=tenant_id, pool=pool)
    if as_json:
        print_json(answer)
        return
    if answer["problem"]:
        console.print(plain(answer["problem"]), style="red")
    facts = table("", "")
    facts.show_header = False
    for name in ("domain", "via", "site", "pool", "destination", "owner"):
        facts.add_row(name, plain(answer[name] or "-"))
    facts.add_row("tls", plain(_tls(answer["tls"])))
    for choice in answer["sources"]:
        said = (
            f"{choice['source'] or 'any address'}, weight {number(choice['weight'])}, {choice['owner'] or 'no owner'}"
        )
        facts.add_row("source", plain(said))
    for host in answer["mx"]:
        facts.add_row("mx", plain(f"{host['preference']} {host['host']} {', '.join(host['addresses'])}"))
    console.print(facts)
    console.print()
    print_settings(answer["shaping"])


def _tls(tls: Json) -> str:
    if tls is None:
        return "-"
    said = [tls["level"]]
    if tls["mta_sts_mode"]:
        said.append(f"MTA-STS {tls['mta_sts_mode']} for {', '.join(tls['mta_sts_mx'])}")
    if tls["dane"]:
        said.append(f"DANE {tls['dane']}")
    return "; ".join(said)


def print_settings(settings: list[Json]) -> None:
    """Print limits, and the rule that gave each."""
    shown = table("=limit", "value", "rule", "from", "reference")
    for setting in settings:
        shown.add_row(*(plain(setting[name]) for name in ("key", "value", "rule", "origin", "reference")))
    console.print(shown)


@click.command()
@json_option
@click.pass_obj
def sources(config: str | None, as_json: bool) -> None:
    """The sources that mail leaves from: addresses, pools and weights, who has them, warm-up today."""
    answer = Instance.of(config).get("sources")
    if as_json:
        print_json(answer)
        return
    if not answer["sources"]:
        console.print("no sources are named: the system chooses the address")
        return
    shown = table("source", "addresses", "helo", "pools", "on", "warm-up today")
    for source in answer["sources"]:
        pools = ", ".join(f"{share['pool']} ({number(share['weight'])})" for share in source["pools"])
        shown.add_row(
            plain(source["name"]),
            plain(", ".join(source["addresses"])),
            plain(source["helo"]),
            plain(pools),
            plain(_machines(source)),
            plain(_warm_up(source)),
        )
    console.print(shown)


def _machines(source: Json) -> str:
    said = ", ".join(source["actors"]) or "no node"
    if waiting := source["waiting_pools"]:
        return f"{said}: passed over; mail of {', '.join(waiting)} waits"
    return f"{said}: passed over" if source["passed_over"] else said


def _warm_up(source: Json) -> str:
    if not source["warm_up_day"]:
        return ""
    used = ", ".join(f"{use['site']} {use['granted']}/{use['cap']}" for use in source["warm_up"])
    return f"day {source['warm_up_day']}" + (f": {used}" if used else "")
