"""Explains the state of a message in plain sentences, from facts that the caller has collected. Pure.

The sentences answer a reader's questions in order: where is it, why, and what happens next and when.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

from msgspec import Struct

from analytics.queries import TimelineEvent
from api.admin.site_views import SiteView, kept_by_source
from cluster.journal.fates import Fate, RecipientState
from cluster.journal.suppressions import SuppressedBy
from cluster.journal.suspensions import Suspension
from cluster.message.composable import NOT_COMPOSED
from cluster.policy.lifecycle import FINISHED, Status
from cluster.policy.limits.quantities import duration_text
from cluster.policy.limits.strikes import STRIKES
from cluster.policy.routes.destinations import parse
from cluster.policy.routes.routing import DEFAULT_POOL
from cluster.routing.site_state import Held
from cluster.routing.views import SourceState


class HeldBy(Struct, frozen=True, kw_only=True):
    """A delivery in an actor's memory."""

    actor: str
    held: Held


class MessageFacts(Struct, frozen=True, kw_only=True):
    """The facts about a message."""

    now: datetime
    message_id: str
    fate: Fate
    recipients: tuple[str, ...]
    """All recipients, as they were accepted."""
    standings: tuple[RecipientState, ...]
    held: Mapping[int, HeldBy]
    """By the recipient's number."""
    sites: Mapping[int, str]
    """The site of each unfinished recipient's mail, where it is known."""
    tried_until: Mapping[int, datetime]
    """By the recipient's number: when its retries end, by its own lifetime or the shorter one of shaping."""
    views: Mapping[str, SiteView]
    """The state of these sites, by name."""
    suspensions: tuple[Suspension, ...]
    sources: Mapping[str, SourceState] = {}
    """The sources of the active routing, by name."""
    live: tuple[str, ...]
    """The live delivery actors."""
    silent: tuple[str, ...]
    """The live actors that did not answer."""
    events: Sequence[TimelineEvent] | None
    """None when the event store could not be queried."""
    suppressed: Mapping[int, SuppressedBy] = {}
    """By the recipient's number: what suppresses it now."""


class RecipientExplained(Struct, frozen=True, kw_only=True):
    """One recipient of an unfinished message."""

    recipient: str
    status: Status
    attempts: int
    next_at: datetime | None
    """When the next step is due; null when that does not depend on the clock."""
    expires_at: datetime
    """When it expires: by its own lifetime or, once it was tried, by the shorter one of shaping."""
    site: str
    sentences: tuple[str, ...]


class Explained(Struct, frozen=True, kw_only=True):
    """Where a message is, why, and what next."""

    message_id: str
    tenant_id: str
    status: Status
    sentences: tuple[str, ...]
    """About the message as a whole."""
    recipients: tuple[RecipientExplained, ...]
    """Present while the message is not finished."""
    events: tuple[TimelineEvent, ...]
    """The last events."""
    then: tuple[str, ...] = ()
    """How the message and its site were at a moment of the past, where one was asked for."""


EVENTS_SHOWN = 10
SUPPRESSED_SHOWN = 3
"""Suppressed recipients of a finished message."""
GRAINS = ((86_400, 3600), (3600, 60))
"""(least, grain) in seconds: a distance of at least ``least`` is rounded to ``grain``."""


def explain(facts: MessageFacts) -> Explained:
    """The sentences about a message."""
    fate = facts.fate
    unfinished = [standing.status for standing in facts.standings if standing.status not in FINISHED]
    # An unfinished message has deliveries. A message that ends during the query may show neither them nor an outcome.
    status = fate.status or (min(unfinished, key=list(Status).index) if unfinished else Status.PROCESSING)
    return Explained(
        message_id=facts.message_id,
        tenant_id=fate.tenant_id,
        status=status,
        sentences=tuple(_message(facts)),
        recipients=tuple(_recipient(facts, standing) for standing in facts.standings),
        events=tuple((facts.events or ())[-EVENTS_SHOWN:]),
    )


def clock(moment: datetime, now: datetime) -> str:
    """A time with its distance: "2026-11-21 15:00:00 UTC (in 5m)"."""
    away = round((moment - now).total_seconds())
    # A distance of days does not need seconds.
    grain = next((grain for least, grain in GRAINS if abs(away) >= least), 1)
    away = round(away / grain) * grain
    distance = f"in {duration_text(away)}" if away > 0 else f"{duration_text(-away)} ago"
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC ({distance if away else 'now'})"


def _message(facts: MessageFacts) -> Iterator[str]:
    fate, now = facts.fate, facts.now
    to = ", ".join(facts.recipients[:3]) + (
        f" and {len(facts.recipients) - 3} more" if len(facts.recipients) > 3 else ""
    )
    yield f"Accepted {clock(fate.created_at, now)} for {to}" + (
        f", in batch {fate.batch_id}." if fate.batch_id else "."
    )
    if fate.status is not None:
        yield _ended(facts)
        if fate.status in (Status.BOUNCED, Status.FAILED):
            yield from (_suppressed(facts, number) for number in sorted(facts.suppressed)[:SUPPRESSED_SHOWN])
    elif not facts.standings:
        yield "It is ending just now: ask again in a moment."
    else:
        finished = sum(standing.status in FINISHED for standing in facts.standings)
        if finished:
            yield f"{finished} of its {len(facts.standings)} recipients are finished; it ends with the last."
        if fate.batch_paused:
            yield f"Its batch {fate.batch_id} is paused: nothing of it is sent until the batch goes on."
        if fate.send_at is not None and fate.send_at > now:
            yield f"It is to be sent at {clock(fate.send_at, now)}."
        if not facts.live:
            yield "No delivery actor is alive: nothing is being sent at all."
        elif facts.silent:
            yield f"Did not answer, so that what they hold is not known: {', '.join(facts.silent)}."
    if facts.events is None:
        yield "The event store does not answer: the last events are not shown."


def _suppressed(facts: MessageFacts, number: int) -> str:
    """On which list a recipient is, since when and why."""
    by = facts.suppressed[number]
    rule = f" by the rule {by.rule}" if by.rule else ""
    reason = f": {by.reason}" if by.reason else ""
    return (
        f"{facts.recipients[number]} is suppressed by {by.name} since {clock(by.created_at, facts.now)}{rule}{reason}."
    )


def _ended(facts: MessageFacts) -> str:
    fate, now = facts.fate, facts.now
    at = clock(fate.finished_at, now) if fate.finished_at else "at an unknown time"
    said = f": {fate.error_message}" if fate.error_message else ""
    match fate.status:
        case Status.DELIVERED:
            return f"Delivered {at}: the recipient's mail exchanger took it."
        case Status.SENT:
            return f"Sent {at}: a smarthost took it, and the rest of its way is not ours to see."
        case Status.BOUNCED:
            return f"Bounced {at}{said}."
        case Status.FAILED:
            if (fate.error_message or "").startswith(NOT_COMPOSED):
                return f"Failed {at}{said}. No message can be made of it: a retry does not help."
            if len(facts.suppressed) == len(facts.recipients):
                return f"Failed {at}{said}. A retry sends nothing while its recipients are suppressed."
            return f"Failed {at}{said}. A retry queues it once more."
        case Status.CANCELLED:
            return f"Cancelled {at}, before it was sent."
        case _:
            return f"Accepted by a sandbox, and finished at once {at}: it was never to be sent."


def _recipient(facts: MessageFacts, standing: RecipientState) -> RecipientExplained:
    site = facts.sites.get(standing.recipient_no, "")
    finished = standing.status in FINISHED
    sentences = [*_where(facts, standing)]
    if not finished:
        if standing.recipient_no in facts.suppressed:
            sentences.append(f"{_suppressed(facts, standing.recipient_no)} It is dropped when its turn comes.")
        sentences += _why(facts, standing, site)
        sentences.append(_ending(facts, standing))
    return RecipientExplained(
        recipient=standing.recipient,
        status=standing.status,
        attempts=standing.attempts,
        next_at=_next_at(facts, standing),
        expires_at=_expires_at(facts, standing),
        site=site,
        sentences=tuple(sentences),
    )


def _expires_at(facts: MessageFacts, standing: RecipientState) -> datetime:
    if not standing.attempts:
        return standing.expires_at  # shaping's shorter lifetime applies only to deferred deliveries
    return facts.tried_until.get(standing.recipient_no, standing.expires_at)


def _ending(facts: MessageFacts, standing: RecipientState) -> str:
    """What happens if no host accepts it."""
    own, shaped = standing.expires_at, facts.tried_until.get(standing.recipient_no, standing.expires_at)
    if shaped < own and shaped <= facts.now:
        return f"The lifetime that shaping gives it ended {clock(shaped, facts.now)}: if put off again, it bounces."
    if standing.attempts:
        return f"If it is not delivered by then, it bounces {clock(shaped, facts.now)}."
    said = f"If it is not delivered by then, it fails {clock(own, facts.now)}"
    if shaped < own:
        return f"{said}; put off after {clock(shaped, facts.now)}, it bounces, as shaping gives it no longer."
    return f"{said}."


def _where(facts: MessageFacts, standing: RecipientState) -> Iterator[str]:
    """Where it is, and what happens next."""
    if standing.status in FINISHED:
        said = f": {standing.error_message}" if standing.error_message else ""
        yield f"Finished: {standing.status}{said}."
    elif standing.status is Status.QUEUED:
        yield _queued(facts, standing)
    else:
        yield _in_hands(facts, standing)


def _queued(facts: MessageFacts, standing: RecipientState) -> str:
    """The state of a delivery that is in the journal and has no owner."""
    if standing.paused or facts.fate.batch_paused:
        return "It is put aside while its batch is paused."
    if standing.lane is not None:
        why = _why_parked(facts, standing.lane, standing.pool)
        return f"It is parked in the journal, in the lane {standing.lane}: {why}."
    due = standing.due_at
    if due is None or due <= facts.now:
        late = f", since {clock(due, facts.now)}" if due else ""
        return f"It is due{late}: the scheduler hands it to the owner of its destination next."
    if standing.attempts:
        back = _comes_back(facts, facts.sites.get(standing.recipient_no, ""))
        late = f", but its site comes back only {clock(back, facts.now)}" if back is not None and back > due else ""
        return f"It waits in the journal for its next attempt, {clock(due, facts.now)}{late}."
    return f"It waits in the journal until it is due, {clock(due, facts.now)}."


def _why_parked(facts: MessageFacts, lane: str, pool: str) -> str:
    """Why the lane's mail waits, and what ends the wait."""
    place = parse(lane)
    site, source = (place.site, place.source) if place is not None else (lane, "")
    if suspensions := _suspensions(facts, site):
        until = clock(max(suspension.until for suspension in suspensions), facts.now)
        return f"sending there is suspended until {until}"
    if kept := kept_by_source(facts.sources.get(source), site):
        return f"{kept}; {_leaves_from(facts, source, pool)}"
    view = facts.views.get(site)
    if view is not None and view.source == source and view.until is not None and view.until > facts.now:
        return f"the site waits ({view.waits_for}) until {clock(view.until, facts.now)}"
    return "the owner of that destination has no room for more, and takes the oldest of each tenant as room comes"


def _leaves_from(facts: MessageFacts, source: str, pool: str) -> str:
    """How a pool's mail can leave when it waits for ``source``."""
    pools: dict[str, list[SourceState]] = {}
    for state in facts.sources.values():
        for share in state.pools:
            pools.setdefault(share.pool, []).append(state)
    name = pool if pool in pools else DEFAULT_POOL
    own = pools.get(name, [])
    others = [state.name for state in own if state.name != source and state.actors]
    if facts.sources[source].actors:
        return f"it leaves as soon as it may, from there{' or from another source of its pool' if others else ''}"
    if others:
        return f"it goes to another source of its pool {name}: {', '.join(others)}"
    if not own:
        return "its pool has no sources: it goes to the address that the system chooses"
    return (
        f"no other source of its pool {name} is on any machine: it waits until one is, or until postray reroute moves "
        f"it to another pool"
    )


def _suspensions(facts: MessageFacts, site: str) -> list[Suspension]:
    """The suspensions of a site that apply to the message's tenant."""
    tenants = ("", facts.fate.tenant_id)
    return [one for one in facts.suspensions if one.site in ("", site) and one.tenant_id in tenants]


def _comes_back(facts: MessageFacts, site: str) -> datetime | None:
    """When sending to a waiting site resumes; None when that is not known."""
    moments = [suspension.until for suspension in _suspensions(facts, site)]
    view = facts.views.get(site)
    if view is not None and view.waits_for and view.until is not None:
        moments.append(view.until)
    return max(moments, default=None)


def _in_hands(facts: MessageFacts, standing: RecipientState) -> str:
    """The state of a delivery that is leased to an actor or claimed by one."""
    by = facts.held.get(standing.recipient_no)
    lease = clock(standing.due_at, facts.now) if standing.due_at else "soon"
    sending = standing.status is Status.SENDING
    if by is not None:
        towards = f"{by.held.site}" + (f" from {by.held.source}" if by.held.source else "")
        if sending or by.held.state != "waiting":
            return f"{by.actor} is at it, towards {towards}: {by.held.state}."
        ahead = f"{by.held.ahead} of its tenant before it" if by.held.ahead else "next of its tenant"
        return f"It waits in the memory of {by.actor} for its turn at {towards}, {ahead}."
    back = f"it goes back into the queue when the lease ends, {lease}"
    if standing.actor is None:
        return f"The actor that had it is gone; {back}."
    if standing.actor not in facts.live:
        return f"{standing.actor}, which has it, has not been seen lately; {back}, or earlier."
    if standing.actor in facts.silent:
        return f"{standing.actor} has it, and did not answer; {back} at the latest."
    if sending:
        return f"{standing.actor} has claimed it and no longer has it: its outcome is being committed; else {back}."
    return f"It is on its way to {standing.actor}; if it does not arrive, {back}."


def _why(facts: MessageFacts, standing: RecipientState, site: str) -> Iterator[str]:
    """An operator's changes, earlier failures, and the reasons for the wait."""
    if standing.accepted_pool not in (None, standing.pool):
        former = f"the pool {standing.accepted_pool}" if standing.accepted_pool else "the default pool"
        yield f"An operator has moved it from {former} to the pool {standing.pool}."
    if standing.route:
        yield f"An operator has moved it to the route {standing.route}."
    if standing.strikes:
        yield (
            f"Delivery processes that ended while at work on it: {standing.strikes}; with {STRIKES} it is set aside, "
            f"as failed."
        )
    if standing.attempts and standing.error_message:
        times = "1 attempt" if standing.attempts == 1 else f"{standing.attempts} attempts"
        host = _answered_last(facts, standing.recipient)
        yield f"After {times}, the last answer{f' of {host}' if host else ''} was: {standing.error_message}"
    for suspension in _suspensions(facts, site):
        yield _suspended(suspension, facts.now)
    view = facts.views.get(site)
    if view is None:
        if site:
            yield f"Its site is {site}, which no delivery actor has in memory now."
        return
    if view.connection_limit:
        yield (
            f"Its site {site} has {view.depth} waiting, {view.in_flight} in flight, {view.connections} of "
            f"{view.connection_limit} connections, and took {view.accepted_per_s:g} a second in the last minute."
        )
    if view.put_off:
        yield f"Of the mail of its site {site}, {view.put_off} wait for another attempt."
    if view.tenants > 1:
        yield f"{view.tenants} tenants have mail waiting there, and take turns."
    if view.waits_for:
        until = f", until {clock(view.until, facts.now)}" if view.until else ""
        yield f"The site waits: {view.waits_for}{until}."
    for adjustment in view.adjustments:
        yield f"Automation: {adjustment}."
    if view.last_replies:
        reply = view.last_replies[0]
        yield f"The site's last reply, {clock(reply.at, facts.now)} from {reply.host} ({reply.kind}): {reply.text}"


def _answered_last(facts: MessageFacts, recipient: str) -> str:
    """The host that the last attempt for a recipient ended at; "" when it is not known."""
    hosts = (
        str(event.metadata.get("mx_host", ""))
        for event in reversed(facts.events or ())
        if event.recipient_email == recipient and event.event_type == "deferred"
    )
    return next(hosts, "")


def _suspended(suspension: Suspension, now: datetime) -> str:
    whose = f"for tenant {suspension.tenant_id}" if suspension.tenant_id else "for all tenants"
    where = f"to {suspension.site}" if suspension.site else "everywhere"
    why = f": {suspension.reason}" if suspension.reason else ""
    until = clock(suspension.until, now)
    return f"Sending {where} is suspended {whose} by {suspension.made_by} until {until}{why}."


def _next_at(facts: MessageFacts, standing: RecipientState) -> datetime | None:
    """The time of the next step; None when it depends on room, an actor or a person."""
    if standing.status in FINISHED or standing.paused or facts.fate.batch_paused or standing.lane is not None:
        return None
    if standing.status is Status.QUEUED or standing.recipient_no not in facts.held:
        return standing.due_at
    return None
