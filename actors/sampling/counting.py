"""From what the delivery actors say to samples of sites: the shares of a site are summed, and counts that only grow
become those of one interval. No I/O."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence

from analytics.samples import SiteSample, without_recipients
from cluster.policy.limits.binding import Bound, binding_of_shares
from cluster.policy.limits.estimate import SiteStanding
from cluster.policy.routes.destinations import parse
from cluster.routing.site_state import LastReply, SiteEnded, SitesSampled, SiteState

Key = tuple[str, str]
"""Source and site."""
SiteCounts = tuple[int, int, int, int, float]
"""Accepted, deferred, bounced, transactions, and what these took."""
NOTHING: SiteCounts = (0, 0, 0, 0, 0.0)


def _counts(one: SiteState | SiteEnded) -> SiteCounts:
    return one.accepted, one.deferred, one.bounced, one.transactions, one.spent_s


def _less(counts: SiteCounts, before: SiteCounts) -> SiteCounts:
    return tuple(max(0, now - then) for now, then in zip(counts, before, strict=True))  # type: ignore[return-value]  # of the same length


class SiteCounting:
    """Keeps the counts of the sample before, by actor, share and when they began."""

    def __init__(self) -> None:
        self._before: dict[tuple[str, str, str, int, float], SiteCounts] = {}
        self._at: dict[str, float] = {}

    def since(self) -> Mapping[str, float]:
        """When each actor was last sampled, in its own time."""
        return self._at

    def of_interval(self, sampled: Mapping[str, SitesSampled]) -> dict[Key, SiteCounts]:
        """The counts of each site since the sample before. Those of an actor that was not sampled before begin now, but
        for sites that have begun since. An actor that did not answer this time keeps its place."""
        found: dict[Key, SiteCounts] = defaultdict(lambda: NOTHING)
        kept = {key: counts for key, counts in self._before.items() if key[0] not in sampled}
        for actor, answer in sampled.items():
            told: list[SiteState | SiteEnded] = [*answer.sites, *answer.ended]
            for one in told:
                key = (actor, one.source, one.site, one.share, one.began)
                began_since = actor in self._at and one.began > self._at[actor]
                if key in self._before or began_since:
                    grown = _less(_counts(one), self._before.get(key, NOTHING))
                    found[one.source, one.site] = summed(found[one.source, one.site], grown)
            kept |= {(actor, one.source, one.site, one.share, one.began): _counts(one) for one in answer.sites}
            self._at[actor] = answer.at
        self._before = kept
        return dict(found)

    def forget(self, living: Collection[str]) -> None:
        """Only these actors are left."""
        self._at = {actor: at for actor, at in self._at.items() if actor in living}
        self._before = {key: counts for key, counts in self._before.items() if key[0] in living}


def summed(one: SiteCounts, other: SiteCounts) -> SiteCounts:
    return tuple(a + b for a, b in zip(one, other, strict=True))  # type: ignore[return-value]  # of the same length


def site_samples(
    sampled: Mapping[str, SitesSampled],
    counts: Mapping[Key, SiteCounts],
    parked: Mapping[str, int],
    suspended: Collection[str],
    *,
    at: int,
    interval_s: float,
    most: int,
) -> list[SiteSample]:
    """A sample of each site that has work, or had some in the interval; at most ``most``, the busiest. ``parked`` is by
    lane; ``suspended`` are sites, "" among them where all are."""
    shares: dict[Key, list[SiteState]] = defaultdict(list)
    replies: dict[Key, list[LastReply]] = defaultdict(list)
    bounds: dict[Key, list[tuple[Bound, int]]] = defaultdict(list)
    for answer in sampled.values():
        for state in answer.sites:
            shares[state.source, state.site].append(state)
            replies[state.source, state.site] += state.last_replies[:1]
            bounds[state.source, state.site].append((Bound.read(state.binds), state.waiting))
        for ended in answer.ended:
            if ended.last_reply is not None:
                replies[ended.source, ended.site].append(ended.last_reply)
            bounds[ended.source, ended.site].append((Bound.read(ended.binds), 0))
    in_lanes: dict[Key, int] = defaultdict(int)
    for lane, count in parked.items():
        if (place := parse(lane)) is not None:
            in_lanes[place.source, place.site] += count
    version = max((answer.policy_version for answer in sampled.values()), default=0)
    keys = {*shares, *in_lanes, *(key for key, some in counts.items() if any(some))}
    samples = [
        _sample(
            key,
            shares[key],
            counts.get(key, NOTHING),
            in_lanes[key],
            replies[key],
            Bound.SUSPENSION if key[1] in suspended or "" in suspended else binding_of_shares(bounds[key]),
            at,
            interval_s,
            version,
        )
        for key in keys
    ]
    samples.sort(key=_busyness)
    return samples[:most]


def _busyness(sample: SiteSample) -> tuple[int, int, str, str]:
    return (
        -(sample.queued + sample.parked + sample.in_flight),
        -(sample.accepted + sample.deferred + sample.bounced),
        sample.site,
        sample.source,
    )


def _sample(
    key: Key,
    shares: Sequence[SiteState],
    counts: SiteCounts,
    parked: int,
    replies: Iterable[LastReply],
    binds: Bound,
    at: int,
    interval_s: float,
    version: int,
) -> SiteSample:
    source, site = key
    accepted, deferred, bounced, transactions, spent_s = counts
    last = max(replies, key=lambda reply: reply.at, default=None)
    return SiteSample(
        site=site,
        source=source,
        at=at,
        interval_s=interval_s,
        queued=sum(share.waiting for share in shares),
        held_back=sum(share.waiting - share.ready for share in shares),
        parked=parked,
        in_flight=sum(share.in_flight for share in shares),
        connections=sum(share.connections for share in shares),
        accepted=accepted,
        deferred=deferred,
        bounced=bounced,
        transactions=transactions,
        spent_s=spent_s,
        connection_limit=sum(share.connection_limit for share in shares),
        connections_per_ip=sum(share.connections_per_ip for share in shares),
        message_rate=sum(share.message_rate for share in shares),
        connection_rate=sum(share.connection_rate for share in shares),
        warm_up_cap=max((share.warm_up_cap for share in shares if share.warm_up_cap is not None), default=None),
        binds=binds,
        adjustments=tuple(dict.fromkeys(words for share in shares for words in share.adjustments)),
        reply_at=None if last is None else int(last.at),
        reply_host="" if last is None else last.host,
        reply_kind="" if last is None else last.kind,
        reply="" if last is None else without_recipients(last.text, last.kind),
        policy_version=version,
    )


def standings(history: Sequence[Mapping[Key, SiteSample]], wanted: Collection[Key]) -> list[SiteStanding]:
    """How these sites stand by the samples of the last minute, in their order; those that are in none are left out."""
    found: list[SiteStanding] = []
    for key in wanted:
        samples = [(number, some[key]) for number, some in enumerate(history) if key in some]
        if not samples:
            continue
        at, newest = samples[-1]
        last = newest if at == len(history) - 1 else None
        # An interval counts where there was mail at both of its ends.
        busy = {number for number, sample in samples if _waiting(sample)}
        measured = [sample for number, sample in samples if {number - 1, number} <= busy]
        found.append(
            SiteStanding(
                site=newest.site,
                source=newest.source,
                waiting=_waiting(last) if last is not None else 0,
                connections=last.connections if last is not None else 0,
                connection_limit=last.connection_limit if last is not None else 0,
                message_rate=last.message_rate if last is not None else 0.0,
                binds=last.binds if last is not None else Bound.NOTHING,
                measured=sum(map(_attempted, measured)),
                measured_s=sum(sample.interval_s for sample in measured),
                attempted=sum(_attempted(sample) for _, sample in samples),
                deferred=sum(sample.deferred for _, sample in samples),
                transactions=sum(sample.transactions for _, sample in samples),
                spent_s=sum(sample.spent_s for _, sample in samples),
            )
        )
    return found


def _waiting(sample: SiteSample) -> int:
    return sample.queued + sample.parked + sample.in_flight


def _attempted(sample: SiteSample) -> int:
    return sample.accepted + sample.deferred + sample.bounced
