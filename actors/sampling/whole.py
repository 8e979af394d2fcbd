"""From the metrics of all actors to the sample of the whole. No I/O."""

from collections.abc import Iterable, Mapping, Sequence

from msgspec import Struct
from msgspec.structs import asdict

from actors.sampling.counting import NOTHING, Key, SiteCounts, summed
from analytics.samples import Sample
from cluster.metrics import Reading
from cluster.routing.site_state import SitesSampled

LONG_S = "1"
"""The bucket of histograms up to which a call, a post or a turn of an event loop is not a slow one: seconds."""
STARTED_TOLD_S = 600.0
"""That a process has begun is in all samples of so long: the first of them may be lacking, since the recorder or
ClickHouse was away with it."""
_LAG = "postray_process_loop_lag_seconds"
_Of = Mapping[str, Reading]
"""The readings of an actor, by their names."""


class Counts(Struct, frozen=True, kw_only=True):
    """What only grows, of one actor or of all. The fields are those of ``Sample``."""

    taken: float = 0
    refused: float = 0
    journal_failures: float = 0
    journal_slow: float = 0
    connections_failed: float = 0
    connections_lost: float = 0
    partitions: float = 0


class Whole(Struct, frozen=True, kw_only=True):
    """What of the whole is read from the metrics of all actors."""

    grown: Counts
    """In the interval."""
    started: Mapping[str, int]
    stood_s: Mapping[str, float]
    queued: int
    in_flight: int
    connections: int
    late_s: float
    nodes: int
    log_lag_s: float


class _Before(Struct, frozen=True, kw_only=True):
    """What an actor said at the sample before."""

    counts: Counts
    began: float
    long_turns: float
    late_s: float


class WholeCounting:
    """Keeps what each actor had counted at the sample before."""

    def __init__(self) -> None:
        self._before: dict[str, _Before] | None = None

    def of_interval(self, readings: Mapping[str, Sequence[Reading]], now: float = 0.0) -> Whole:
        """``readings`` is by actor; ``now``: seconds since the epoch. A count that is less than before is one of a
        process that began anew. What came before the first sample does not count."""
        actors = {actor: {one.name: one for one in some} for actor, some in readings.items()}
        told = {actor: _told(one) for actor, one in actors.items()}
        known = told if self._before is None else self._before
        grown = [_grown(one.counts, known[actor].counts if actor in known else None) for actor, one in told.items()]
        stood = {actor: _stood_s(one, known[actor]) for actor, one in told.items() if actor in known}
        self._before = {**known, **told}
        return Whole(
            grown=_all(grown),
            started={actor: round(one.began) for actor, one in told.items() if one.began > now - STARTED_TOLD_S},
            stood_s={actor: stood_s for actor, stood_s in stood.items() if stood_s},
            queued=int(_sum(actors, "postray_sites_queued_deliveries")),
            in_flight=int(_sum(actors, "postray_sites_in_flight_messages")),
            connections=int(_sum(actors, "postray_smtp_connections")),
            late_s=max((_value(one, "postray_delivery_late_seconds") for one in actors.values()), default=0.0),
            nodes=int(_sum(actors, "postray_nodes")),
            log_lag_s=max(
                (_value(one, "postray_event_log_lag_seconds", "recorder") for one in actors.values()), default=0
            ),
        )


def _told(of: _Of) -> _Before:
    return _Before(
        counts=Counts(
            taken=_value(of, "postray_intake_messages_total"),
            refused=sum(_value(of, f"postray_intake_{why}_total") for why in ("refused", "failed", "crowded_out")),
            journal_failures=_value(of, "postray_journal_failures_total"),
            journal_slow=_long(of, "postray_journal_call_seconds"),
            connections_failed=_value(of, "postray_smtp_openings_total", "failed"),
            connections_lost=_value(of, "postray_smtp_connections_lost_total"),
            partitions=_value(of, "postray_partitions_rewritten_total"),
        ),
        began=_value(of, "postray_process_start_time_seconds"),
        long_turns=_long(of, _LAG),
        late_s=of[_LAG].sum if _LAG in of else 0.0,
    )


def _value(of: _Of, name: str, label: str = "") -> float:
    """With a label, its value; without, the sum over all. 0 where it is not told."""
    values = of[name].values if name in of else {}
    return values.get(label, 0.0) if label else sum(values.values())


def _sum(actors: Mapping[str, _Of], name: str) -> float:
    return sum(_value(one, name) for one in actors.values())


def _long(of: _Of, name: str) -> float:
    """How many observations of a histogram are above LONG_S."""
    values = of[name].values if name in of else {}
    return values.get("+Inf", 0.0) - values.get(LONG_S, 0.0)


def _grown(now: Counts, before: Counts | None) -> Counts:
    then = asdict(before if before is not None else Counts())
    return Counts(**{name: count - then[name] if count >= then[name] else count for name, count in asdict(now).items()})


def _all(some: Iterable[Counts]) -> Counts:
    each = [asdict(one) for one in some]
    return Counts(**{name: sum(one[name] for one in each) for name in Counts.__struct_fields__})


def _stood_s(now: _Before, before: _Before) -> float:
    """How long its event loop stood still. While a process begins, it imports: that does not count."""
    if now.began != before.began or now.long_turns <= before.long_turns:
        return 0.0
    return max(0.0, now.late_s - before.late_s)


def _keys(answers: Iterable[SitesSampled]) -> set[Key]:
    """The sites that have work, or had some."""
    found: set[Key] = set()
    for answer in answers:
        found |= {(one.source, one.site) for one in answer.sites}
        found |= {(one.source, one.site) for one in answer.ended}
    return found


def whole_sample(
    whole: Whole,
    counts: Mapping[Key, SiteCounts],
    sampled: Mapping[str, SitesSampled],
    *,
    at: int,
    interval_s: float,
    left_out: int,
) -> Sample:
    """The sample of the whole, but for what the journal says and who was silent."""
    in_all = NOTHING
    for some in counts.values():
        in_all = summed(in_all, some)
    accepted, deferred, bounced, transactions, spent_s = in_all
    return Sample(
        at=at,
        interval_s=interval_s,
        accepted=accepted,
        deferred=deferred,
        bounced=bounced,
        transactions=transactions,
        spent_s=spent_s,
        queued=whole.queued,
        in_flight=whole.in_flight,
        connections=whole.connections,
        sites=len(_keys(sampled.values())),
        left_out=left_out,
        late_s=whole.late_s,
        policy_version=max((answer.policy_version for answer in sampled.values()), default=0),
        started=whole.started,
        stood_s=whole.stood_s,
        nodes=whole.nodes,
        log_lag_s=whole.log_lag_s,
        taken=int(whole.grown.taken),
        refused=int(whole.grown.refused),
        journal_failures=int(whole.grown.journal_failures),
        journal_slow=int(whole.grown.journal_slow),
        connections_failed=int(whole.grown.connections_failed),
        connections_lost=int(whole.grown.connections_lost),
        partitions=int(whole.grown.partitions),
    )
