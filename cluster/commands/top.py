"""``postray top``: the sites that have work and what holds each back, live."""

import time

import click
from rich.console import Group, RenderableType
from rich.live import Live
from rich.text import Text

from cluster.commands.instance import Instance, Json
from cluster.commands.output import NAME, FiniteRange, console, number, plain, table
from cluster.commands.sparkline import sparkline
from cluster.policy.limits.quantities import duration_text

WHOLE_S = 600
"""Of the charts above the table."""


@click.command()
@click.argument("pattern", required=False, type=NAME)
@click.option("--every", "every_s", default=2.0, show_default=True, type=FiniteRange(0.5, 60), help="Seconds.")
@click.option("--limit", default=25, show_default=True, type=click.IntRange(1, 200), help="Sites shown.")
@click.option("--once", is_flag=True, help="Show it once, and return.")
@click.pass_obj
def top(config: str | None, pattern: str | None, every_s: float, limit: int, once: bool) -> None:
    """The sites that have work, the deepest first, and what holds each back, until Ctrl-C; PATTERN as for postray
    sites."""
    instance = Instance.of(config)
    if once:
        console.print(_page(instance, pattern, limit))
        return
    with Live(console=console, screen=console.is_terminal, auto_refresh=False) as live:
        while True:
            try:
                page = _page(instance, pattern, limit)
            except click.ClickException as error:
                # It goes on when postray is back.
                page = Text(error.format_message(), style="red")
            live.update(page, refresh=True)
            time.sleep(every_s)


def _page(instance: Instance, pattern: str | None, limit: int) -> RenderableType:
    sites = instance.get("sites", pattern=pattern, limit=limit)
    whole = instance.get("history", since_s=WHOLE_S)["whole"]
    parts: list[RenderableType] = [*_whole(whole)] if whole else []
    parts.append(_sites(sites["sites"]))
    parts += [Text(f"{name} did not answer", style="red") for name in sites["silent"]]
    return Group(*parts)


def _whole(points: list[Json]) -> list[RenderableType]:
    last = points[-1]
    age = duration_text(round(last["oldest_s"])) if last["unfinished"] else "none"
    line = (
        f"{number(last['unfinished'])} unfinished, the oldest {age}; {number(last['connections'])} connections to "
        f"{number(last['sites'])} sites; journal "
        f"{'away' if last['journal_ms'] is None else number(last['journal_ms']) + ' ms'}"
    )
    rates = table("", "=", ">now")
    rates.show_header = False
    for name, field in (("taken/s", "taken_per_s"), ("accepted/s", "accepted_per_s"), ("deferred/s", "deferred_per_s")):
        rates.add_row(name, sparkline([point[field] for point in points]), number(last[field]))
    return [Text(line, style="bold"), rates, Text()]


def _sites(sites: list[Json]) -> RenderableType:
    if not sites:
        return Text("no site holds anything")
    shown = table(
        "site", ">depth", ">in flight", ">conns", ">limit/s", ">ok/s", ">deferred", ">bounced", "held back by", "last"
    )
    for site in sites:
        reply = site["last_replies"][0] if site["last_replies"] else None
        shown.add_row(
            plain(f"{site['site']} from {site['source']}" if site["source"] else site["site"]),
            number(site["depth"]),
            number(site["in_flight"]),
            f"{site['connections']}/{site['connection_limit']}",
            number(site["message_rate"]) if site["message_rate"] else "-",
            number(site["accepted_per_s"]),
            number(site["deferred"]),
            number(site["bounced"]),
            Text(site["waits_for"], style="yellow"),
            plain(reply["text"] if reply is not None and reply["kind"] != "accepted" else ""),
        )
    return shown
