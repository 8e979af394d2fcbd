"""``postray shaping diff``: what other policies would have made of recorded replies."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click
import msgspec
from msgspec import Struct
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from cluster.commands.instance import Json, settings_of
from cluster.commands.output import console, errors, json_option, moment, number, plain, print_json, table
from cluster.commands.sql_door import SqlDoor
from cluster.commands.suppressions import SinceType
from cluster.ids import moment_ms
from cluster.policies import BadPolicies, parse_files, shaping_of
from cluster.policy.limits.quantities import duration_text
from cluster.policy.limits.rules import ShapingError
from cluster.policy.replies.bounce_rules import RULES, BounceRules
from cluster.policy.routes.routing import Routing
from cluster.policy.whatif.difference import Tally
from cluster.policy.whatif.recorded import Accepted, Reply
from cluster.policy.whatif.replay import Policy, Replay

SLICE = timedelta(hours=1)
"""What is asked for at once: ClickHouse sorts so much, and not all of it."""
SHOWN = 20
"""Lines of each table; --json has all."""
CANNOT_KNOW = (
    "how a host would have answered another rate, fewer connections, or an attempt at another time: the replies are "
    "those to the mail as it was sent",
    "what would have become of mail that a suspension would have held: it counts as held, and automation hears nothing "
    "of it",
    "replies that an attempt went past, to the next host or with fewer recipients: recorded is how each attempt ended",
    "limits of connections: how many were open is not recorded, so only which sites' limits change is told",
    "when a scheduled message was due: lifetimes count from when it was accepted",
)

QUERY = """
SELECT * FROM (
    SELECT toUnixTimestamp64Milli(at) AS ms, event, site, source_ip, tenant_id, recipient_domain, attempt,
        smtp_response, reason, bounce_class, message_id, 1 AS number
    FROM events_once
    WHERE at >= {since:DateTime64(3, 'UTC')} AND at < {until:DateTime64(3, 'UTC')}
        AND event IN ('deferred', 'bounce', 'blocked') AND attempt > 0
    UNION ALL
    SELECT toInt64(toUnixTimestamp(at)) * 1000 AS ms, event, site, source_ip, '', recipient_domain, 1,
        '', '', '', '', count()
    FROM events_once
    WHERE at >= {since:DateTime64(3, 'UTC')} AND at < {until:DateTime64(3, 'UTC')} AND event = 'delivered'
    GROUP BY ms, event, site, source_ip, recipient_domain
)
ORDER BY ms
"""

OLDEST = "SELECT count(), toUnixTimestamp64Milli(min(at)) FROM events"
"""ClickHouse knows it without reading the events."""


class Row(Struct, array_like=True, frozen=True):
    ms: int
    event: str
    site: str
    source_ip: str
    tenant_id: str
    domain: str
    attempt: int
    text: str
    reason: str
    bounce_class: str
    message_id: str
    number: int


_decoder = msgspec.json.Decoder(Row, strict=False)  # ClickHouse may write large integers as texts


class Lines:
    """Hands on each line of what is written to it, and keeps no more than the beginning of one."""

    def __init__(self, take: Callable[[bytes], None]) -> None:
        self._take = take
        self._begun = b""

    def write(self, data: bytes) -> None:
        *whole, self._begun = (self._begun + data).split(b"\n")
        for line in whole:
            self._take(line)

    def flush(self) -> None:
        """The last line has its end like the others."""


@click.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--since", type=SinceType(), default="7d", show_default=True, help="Replies from then on.")
@click.option("--until", type=SinceType(), help="Before then. Default: now.")
@click.option(
    "--bounce-rules",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Other bounce rules, as in cluster/policy/replies/bounce_rules.toml; default: this release's.",
)
@json_option
@click.pass_obj
def diff(
    config: str | None, file: Path, since: datetime, until: datetime | None, bounce_rules: Path | None, as_json: bool
) -> None:
    """Replay recorded replies with FILE as shaping.toml, beside the shaping.toml of the settings: what would have been
    judged, retried or slowed otherwise. Changes nothing."""
    end = until or datetime.now(UTC)
    if end <= since:
        raise click.UsageError("--until must be after --since")
    settings = settings_of(config)
    try:
        shaping, routing = parse_files(settings.delivery)
        other = shaping_of(_text(file), settings.delivery)
    except BadPolicies as error:
        raise click.ClickException(str(error)) from error
    except ShapingError as error:
        raise click.ClickException(f"{file}: {error}") from error
    replay = Replay(Policy(shaping, RULES), Policy(other, _rules(bounce_rules)))
    _run(replay, SqlDoor(settings), routing, since, end)
    found = told(replay, since, end)
    if as_json:
        print_json(found)
    else:
        _show(found)


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise click.ClickException(f"{file}: cannot be read: {error}") from error


def _rules(file: Path | None) -> BounceRules:
    if file is None:
        return RULES
    try:
        rules = BounceRules.parse(_text(file))
    except ValueError as error:  # includes msgspec.ValidationError
        raise click.ClickException(f"{file}: {error}") from error
    last = rules.rules[-1] if rules.rules else None
    if last is None or last.codes or last.status or last.stages or last.says:
        raise click.ClickException(f"{file}: the last rule must match every reply, so it has no conditions")
    return rules


def _run(replay: Replay, door: SqlDoor, routing: Routing, since: datetime, until: datetime) -> None:
    """Slice by slice, and row by row within one: memory does not grow with the replies."""
    names = {
        address: one.name for one in routing.sources.values() for address in (one.address, one.address6) if address
    }

    def take(line: bytes) -> None:
        row = _decoder.decode(line)
        source = names.get(row.source_ip, "")
        if row.event == "delivered":
            replay.on_accepted(
                Accepted(at=row.ms / 1000, site=row.site, source=source, domain=row.domain, count=row.number)
            )
        else:
            replay.on_reply(_reply(row, source))

    with Progress(
        SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn(), console=errors, transient=True
    ) as progress:
        task = progress.add_task("", total=None)
        for begin, end in _slices(max(since, _oldest(door) or until), until):
            progress.update(task, description=f"{begin:%Y-%m-%d %H:%M}  {replay.replies:,} replies")
            parameters = {"since": _moment(begin), "until": _moment(end)}
            door.ask(QUERY, "JSONCompactEachRow", Lines(take), parameters)


def _oldest(door: SqlDoor) -> datetime | None:
    """When the first recorded event happened; None: there is none."""
    ((count, ms),) = door.rows(OLDEST, {})
    return datetime.fromtimestamp(int(ms) / 1000, UTC) if int(count) else None


def _slices(since: datetime, until: datetime) -> Iterator[tuple[datetime, datetime]]:
    while since < until:
        end = min(since + SLICE, until)
        yield since, end
        since = end


def _moment(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S}.{at.microsecond // 1000:03}"


def _reply(row: Row, source: str) -> Reply:
    made_ms = moment_ms(row.message_id)
    return Reply(
        at=row.ms / 1000,
        event=row.event,  # type: ignore[arg-type]  # the query asks for these three
        site=row.site,
        source=source,
        tenant_id=row.tenant_id,
        domain=row.domain,
        attempt=row.attempt,
        text=row.text,
        reason=row.reason,
        bounce_class=row.bounce_class,
        age_s=max(0.0, (row.ms - made_ms) / 1000) if made_ms is not None else 0.0,
    )


def told(replay: Replay, since: datetime, until: datetime) -> Json:
    """All that was found, for programs."""
    before, after = replay.acted()
    kinds = {**before.kinds, **after.kinds}
    counts = {kind: (_count(before, kind), _count(after, kind)) for kind in kinds}
    changed = sorted((one for one in counts.items() if one[1][0] != one[1][1]), key=lambda one: -max(one[1]))
    return {
        "since": since.isoformat(),
        "until": until.isoformat(),
        "replies": replay.replies,
        "accepted": replay.accepted,
        "judged": [
            {"before": str(kind.before), "after": str(kind.after), "count": one.count, "examples": _plain(one.examples)}
            for kind, one in replay.judged.most()
        ],
        "retried": [
            {
                **msgspec.to_builtins(kind),
                "count": one.count,
                "wait_before_s": one.before / one.count,
                "wait_after_s": one.after / one.count,
                "examples": _plain(one.examples),
            }
            for kind, one in replay.retried.most()
        ],
        "slowed": [
            {**msgspec.to_builtins(kind), "before": numbers[0], "after": numbers[1]} for kind, numbers in changed
        ],
        "paced": msgspec.to_builtins(replay.paced()),
        "limits": [msgspec.to_builtins(kind) for kind, _ in replay.limits.most()],
        "not_told_apart": sum(one.others for one in (replay.judged, replay.retried, replay.limits, before, after)),
        "cannot_know": CANNOT_KNOW,
    }


def _count(tally: Tally[Any], kind: Any) -> int:
    counted = tally.kinds.get(kind)
    return counted.count if counted is not None else 0


def _plain(examples: list[Any]) -> Json:
    return [{**msgspec.to_builtins(one), "at": datetime.fromtimestamp(one.at, UTC).isoformat()} for one in examples]


def _show(found: Json) -> None:
    console.print(
        f"{found['replies']:,} replies that were no acceptance and {found['accepted']:,} deliveries, from "
        f"{moment(found['since'])} to {moment(found['until'])} UTC",
        markup=False,
        soft_wrap=True,
    )
    _table("judged otherwise", found["judged"], (">number", "before", "after"), ("count", "before", "after"))
    _table(
        "retried otherwise",
        [
            {**one, "wait": f"{duration_text(one['wait_before_s'])} → {duration_text(one['wait_after_s'])}"}
            for one in found["retried"]
        ],
        (">number", "site", "class", "=change", "=wait, on average"),
        ("count", "site", "bounce_class", "change", "wait"),
    )
    _table(
        "actions of automation",
        found["slowed"],
        ("site", "source", "=action", "trigger", ">before", ">after"),
        ("site", "source", "kind", "trigger", "before", "after"),
    )
    _table(
        "held back by rates and suspensions",
        [
            {
                **one,
                **{
                    f"{side}_{name}": one[side][name]
                    for side in ("before", "after")
                    for name in ("count", "longest_s", "suspended")
                },
            }
            for one in found["paced"]
        ],
        ("site", "source", ">rate before", ">longest s", ">rate after", ">longest s", ">suspended before", ">after"),
        (
            "site",
            "source",
            "before_count",
            "before_longest_s",
            "after_count",
            "after_longest_s",
            "before_suspended",
            "after_suspended",
        ),
    )
    _table(
        "limits of sites that mail went to",
        found["limits"],
        ("site", "source", "=key", "before", "after"),
        ("site", "source", "key", "before", "after"),
    )
    if found["not_told_apart"]:
        console.print(f"\n{found['not_told_apart']:,} more differences are of too many kinds to be told apart")
    console.print("\nThis cannot be known from what is recorded:")
    for line in found["cannot_know"]:
        console.print(f"- {line}", markup=False)


def _table(title: str, rows: list[Json], columns: tuple[str, ...], keys: tuple[str, ...]) -> None:
    console.print(f"\n{title}" + ("" if rows else ": nothing"), style="bold")
    if not rows:
        return
    shown = table(*columns)
    for row in rows[:SHOWN]:
        values = (row[key] for key in keys)
        shown.add_row(*(plain(value if isinstance(value, str) else number(value)) for value in values))
    console.print(shown)
    for row in rows[:SHOWN]:
        for example in row.get("examples", ())[:1]:
            where = f"{example['site']}  {example['domain']}  attempt {example['attempt']}"
            console.print(plain(f"  {moment(example['at'])}  {where}: {example['said']}"), soft_wrap=True)
    if len(rows) > SHOWN:
        console.print(f"  and {len(rows) - SHOWN} more (--json)")
