"""``postray history``: how it went, by the flight recorder."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

import click

from cluster.commands.instance import Instance, Json
from cluster.commands.output import DURATION, NAME, console, json_option, number, plain, print_json, table
from cluster.commands.sparkline import sparkline, squeezed
from cluster.policy.limits.binding import Bound
from cluster.policy.limits.quantities import duration_text
from cluster.routing.site_state import SAMPLED_EVERY_S

WIDTH = 60
"""Columns of a chart."""

Value = Callable[[Json], float | None]


@click.command()
@click.argument("name", required=False, type=NAME)
@click.option("--source", type=NAME, help="Only what is sent from this source.")
@click.option("--since", "since_s", type=DURATION, default="1h", show_default=True, help="How far back, such as 2h.")
@click.option("--step", "step_s", type=DURATION, help="The time of one line; by default some 60 lines.")
@json_option
@click.pass_obj
def history(
    config: str | None, name: str | None, source: str | None, since_s: float, step_s: float | None, as_json: bool
) -> None:
    """How it went: of NAME, a site or a domain whose mail goes to one; without it, the whole. Times are UTC."""
    answer = Instance.of(config).get(
        "history",
        site=name,
        source=source,
        since_s=max(1, round(since_s)),
        step_s=None if step_s is None else max(SAMPLED_EVERY_S, round(step_s)),
    )
    if as_json:
        print_json(answer)
        return
    points = answer["sites"] if name else answer["whole"]
    what = answer["site"] if name else "postray as a whole"
    step = duration_text(answer["step_s"])
    if not points:
        console.print(plain(f"The flight recorder has no sample of {what} in that time"))
        return
    console.print(plain(f"{what}, a line for {step}"), style="bold")
    console.print()
    _print_charts(answer, points, SITE_CHARTS if name else WHOLE_CHARTS)
    console.print()
    (_print_site if name else _print_whole)(points)


def waiting(point: Json) -> float:
    """What waits at a site."""
    total: float = point["queued"] + point["parked"]
    return total


def _field(name: str) -> Value:
    return lambda point: point[name]


SITE_CHARTS: Sequence[tuple[str, Value]] = (
    ("waiting", waiting),
    ("connections", _field("connections")),
    ("accepted/s", _field("accepted_per_s")),
    ("deferred/s", _field("deferred_per_s")),
    ("bounced/s", _field("bounced_per_s")),
    ("ms a message", _field("transaction_ms")),
)
WHOLE_CHARTS: Sequence[tuple[str, Value]] = (
    ("unfinished", _field("unfinished")),
    ("taken/s", _field("taken_per_s")),
    ("accepted/s", _field("accepted_per_s")),
    ("deferred/s", _field("deferred_per_s")),
    ("oldest, s", _field("oldest_s")),
    ("overdue, s", _field("overdue_s")),
    ("journal, ms", _field("journal_ms")),
)


def _print_charts(answer: Json, points: Sequence[Json], charts: Sequence[tuple[str, Value]]) -> None:
    first, until = datetime.fromisoformat(answer["since"]), datetime.fromisoformat(answer["until"])
    step = timedelta(seconds=answer["step_s"])
    found = {(datetime.fromisoformat(point["at"]) - first) // step: point for point in points}
    steps = range(-(-(until - first) // step))
    shown = table("", "=", ">most")
    shown.show_header = False
    for name, value in charts:
        values = [value(found[number]) if number in found else None for number in steps]
        most = max((one for one in values if one is not None), default=0.0)
        shown.add_row(name, sparkline(squeezed(values, WIDTH)), number(most))
    console.print(shown)


def bound_words(binds: Json) -> str:
    """What held a site back, the longest first, each with its part of the time."""
    shares = sorted(binds.items(), key=lambda one: -one[1])
    return ", ".join(f"{Bound.read(name).words or name} {share:.0%}" for name, share in shares)


def _print_site(points: Sequence[Json]) -> None:
    shown = table(
        *("=at", ">waiting", ">in flight", ">conns", ">limit/s", ">ok/s", ">deferred/s", ">bounced/s", ">ms"),
        *("held back by", "last reply"),
    )
    for point in points:
        shown.add_row(
            _at(point),
            number(waiting(point)),
            number(point["in_flight"]),
            f"{point['connections']:.0f}/{point['connection_limit']:.0f}",
            number(point["message_rate"]) if point["message_rate"] else "-",
            *(number(point[name]) for name in ("accepted_per_s", "deferred_per_s", "bounced_per_s")),
            "-" if point["transaction_ms"] is None else number(point["transaction_ms"]),
            plain(bound_words(point["binds"])),
            plain(point["reply"] if point["reply_kind"] != "accepted" else ""),
        )
    console.print(shown)


def _print_whole(points: Sequence[Json]) -> None:
    shown = table(
        *("=at", ">unfinished", ">in memory", ">in flight", ">conns", ">sites", ">taken/s", ">ok/s", ">deferred/s"),
        *(">bounced/s", ">oldest", ">overdue", ">journal ms", "not answering"),
    )
    for point in points:
        away = ["journal"] if point["journal_away"] else []
        shown.add_row(
            _at(point),
            *(number(point[name]) for name in ("unfinished", "queued", "in_flight", "connections", "sites")),
            *(number(point[name]) for name in ("taken_per_s", "accepted_per_s", "deferred_per_s", "bounced_per_s")),
            *(duration_text(round(point[name])) for name in ("oldest_s", "overdue_s")),
            "-" if point["journal_ms"] is None else number(point["journal_ms"]),
            plain(", ".join([*away, *point["silent"]])),
        )
    console.print(shown)


def _at(point: Json) -> str:
    return f"{datetime.fromisoformat(point['at']):%m-%d %H:%M:%S}"
