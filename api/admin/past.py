"""How a message and its sites were at a moment of the past, in plain sentences, from the flight recorder. Pure."""

from collections.abc import Iterator, Mapping
from datetime import datetime

from analytics.history import History, SitePoint, WholePoint
from analytics.queries import TimelineEvent
from api.admin.explanation import MessageFacts, clock
from cluster.policy.limits.binding import Bound
from cluster.policy.limits.quantities import duration_text

RECIPIENTS_SHOWN = 5
SAID = {
    "processed": "was accepted",
    "deferred": "was put off",
    "delivered": "was delivered",
    "bounce": "bounced",
    "blocked": "was blocked",
    "dropped": "was dropped",
}
"""What events about the delivery say; the others are about its reading."""


def sites_then(facts: MessageFacts, at: datetime) -> list[str]:
    """The sites of the message around that moment: those of its attempts, otherwise the present ones."""
    attempts = [event for event in facts.events or () if event.metadata.get("site")]
    before = [event for event in attempts if _moment(event) <= at]
    of_attempts = [str(event.metadata["site"]) for event in (*before, *attempts)]
    return list(dict.fromkeys(site for site in (*of_attempts, *facts.sites.values()) if site))


def explain_then(
    facts: MessageFacts, at: datetime, histories: Mapping[str, History], whole: History | None
) -> Iterator[str]:
    """``histories`` has the samples of each site in the time until the moment, ``whole`` those of the whole."""
    yield f"At {clock(at, facts.now)}:"
    if at > facts.now:
        yield "That moment is yet to come."
        return
    if at < facts.fate.created_at:
        yield f"It was accepted only {clock(facts.fate.created_at, facts.now)}."
        return
    yield from _events(facts, at)
    for site, history in histories.items():
        if not history.sites:
            yield f"The flight recorder has no sample of {site} then: it had no work, or was not sampled."
        else:
            yield from _site(site, history.sites[-1])
    if whole is not None and whole.whole:
        yield from _whole(whole.whole[-1])
    else:
        yield "The flight recorder has no sample of that time."


def _moment(event: TimelineEvent) -> datetime:
    return datetime.fromisoformat(event.timestamp)


def _events(facts: MessageFacts, at: datetime) -> Iterator[str]:
    if facts.events is None:
        yield "The event store does not answer: what had happened to it by then is not known."
        return
    last: dict[str, TimelineEvent] = {}
    for event in facts.events:
        if event.event_type in SAID and _moment(event) <= at:
            last[event.recipient_email] = event
    for email in facts.recipients[:RECIPIENTS_SHOWN]:
        found = last.get(email)
        if found is None:
            yield f"{email} had not been tried."
            continue
        said = found.bounce_reason or found.smtp_response or str(found.metadata.get("reason", ""))
        yield f"{email} {SAID[found.event_type]} {_moment(found):%H:%M:%S}{': ' + said if said else ''}."


def _site(site: str, point: SitePoint) -> Iterator[str]:
    parked = f" and {point.parked:,.0f} parked" if point.parked else ""
    limit = f" of {point.connection_limit:.0f}" if point.connection_limit else ""
    yield (
        f"Its site {site} had {point.queued:,.0f} waiting{parked}, {point.in_flight:,.0f} in flight, "
        f"{point.connections:.0f}{limit} connections, and took {point.accepted_per_s:g} a second"
        f"{f', {point.deferred_per_s:g} were put off' if point.deferred_per_s else ''}."
    )
    bound = max(point.binds, key=lambda name: point.binds[name], default="")
    if bound:
        yield f"What held it back: {Bound.read(bound).words}{_limit(Bound.read(bound), point)}."
    else:
        yield "No limit held it back."
    if point.adjustments:
        yield f"Automation: {', '.join(point.adjustments)}."
    if point.reply_at is not None:
        yield f"Its last reply, {point.reply_at:%H:%M:%S} from {point.reply_host} ({point.reply_kind}): {point.reply}"


def _limit(bound: Bound, point: SitePoint) -> str:
    """The value of the limit that binds."""
    match bound:
        case Bound.MESSAGE_RATE:
            return f", {point.message_rate:g} a second"
        case Bound.CONNECTION_RATE:
            return f", {point.connection_rate:g} a second"
        case Bound.CONNECTIONS_PER_IP:
            return f", {point.connections_per_ip:g}"
        case Bound.WARM_UP if point.warm_up_cap is not None:
            return f", {point.warm_up_cap:,}"
    return ""


def _whole(point: WholePoint) -> Iterator[str]:
    journal = "the journal did not answer" if point.journal_ms is None else f"the journal took {point.journal_ms:g} ms"
    oldest = f", the oldest {duration_text(round(point.oldest_s))} old" if point.unfinished else ""
    yield (
        f"postray as a whole had {point.unfinished:,.0f} unfinished{oldest}, took {point.taken_per_s:g} messages a "
        f"second, and delivered {point.accepted_per_s:g}; {journal}."
    )
    if point.silent:
        yield f"Did not answer: {', '.join(point.silent)}."
