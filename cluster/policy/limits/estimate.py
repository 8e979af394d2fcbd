"""When a batch will be done: a range, from limits, depths and measured rates. Plain arithmetic; times are in seconds
from now.

The earliest end assumes that the batch's mail is first at its site, and goes as fast as the limits allow; the latest,
that all that waits at the site goes before it, at a part of the rate that was measured. What hosts put off is tried
again, by the schedule, as long as they go on putting off the share that they did lately. So the end is between the two
as long as nothing changes; what a host will do tomorrow cannot be known.
"""

from collections.abc import Sequence
from math import ceil, inf, log

from msgspec import Struct

from cluster.policy.forms import Form
from cluster.policy.limits.binding import Bound
from cluster.policy.limits.quantities import duration_text

DAY_S = 86_400.0
HASTE = 1.25
"""A measured rate, or the speed of transactions, may rise by this factor: both are of one minute."""
CAUTION = 0.7
"""And fall to this part."""
RATE_KEPT = 0.8
"""Part of a message rate that is reached at least where it alone limits: 95 % of it is used (throttle), and claims and
connections take their time."""
SHORTEST_S = 0.001
"""No transaction is shorter."""
SLACK_S = 10.0
"""What claims, connections and commits may add to the end."""
MOVING_S = 60.0
"""How long mail may take from a source that may send no more today to another: it goes back to its lane, and is paged
in anew."""
LIKELY_LEFT = 0.05
"""Rounds of attempts are counted until fewer than so many deliveries are expected to be left."""
LONG_JITTER = 1.25
"""A wait of the schedule may be so much longer."""
HARDLY = 0.001
"""A smaller share of deferrals is none."""
HOPELESS = 0.95
"""With a greater share, when the mail is taken cannot be told: only that its lifetime ends."""


class SiteStanding(Form, frozen=True, kw_only=True):
    """How a source → site stands, by the last samples of the flight recorder."""

    site: str
    source: str
    waiting: int
    """Deliveries of all batches and tenants: queued, parked and in flight."""
    connections: int
    connection_limit: int
    message_rate: float
    """0 sets no limit."""
    binds: str
    measured: int
    """Deliveries attempted in the intervals of the last minute in which it had mail all the time."""
    measured_s: float
    """The length of these intervals."""
    attempted: int
    """In the whole minute; so the next three."""
    deferred: int
    transactions: int
    spent_s: float
    """What the transactions took, summed."""


class Remaining(Struct, frozen=True, kw_only=True):
    """What is left of a batch for one source → site."""

    count: int
    """Deliveries."""
    deferred: int = 0
    """Those of ``count`` that wait for another attempt."""
    last_due_s: float = 0.0
    """Until the last of what is deferred or scheduled is due."""
    moves: bool = False
    """Whether a part of it is still with another source of the pool, which may send no more today."""


class Terms(Struct, frozen=True, kw_only=True):
    """What the policies say of one source → site."""

    connections: int
    message_rate: float
    """0 sets no limit."""
    retry_schedule_s: tuple[float, ...]
    lifetime_s: float
    tenant_rate: float = 0.0
    """Messages a second of the batch's tenant at the site; 0 sets no limit."""
    suspended_s: float = 0.0
    """Until a suspension ends."""
    allowances: tuple[int | None, ...] = ()
    """What the warm-up of the source still allows today and on each of the next days; None is no limit. Empty: the
    source has no warm-up. After the last day there is no limit."""
    midnight_s: float = DAY_S
    """Until the day of warm-ups ends."""


class SiteEstimate(Struct, frozen=True, kw_only=True):
    """When a batch's mail for one source → site will be done."""

    earliest_s: float | None
    latest_s: float | None
    """None with ``unknown``, where it cannot be told."""
    binds: Bound
    limit: str
    """The limit that binds, with its value, in words: "20 connections". Where none does, but mail is due later, that
    is said; else ""."""
    wait_for_days: int
    """Deliveries that wait for tomorrow's warm-up, or a later day's."""
    unknown: str = ""


def estimate(mail: Remaining, terms: Terms, standing: SiteStanding | None) -> SiteEstimate:
    """``standing`` is None where the site has no sample: nothing has been sent there lately."""
    binds = _binds(terms, standing)
    if unknown := _cannot_be_told(binds, terms, standing):
        return SiteEstimate(
            earliest_s=None,
            latest_s=None,
            binds=binds,
            limit=_words(binds, terms, standing),
            wait_for_days=0,
            unknown=unknown,
        )
    fastest, slowest = _rates(terms, standing)
    waiting = max(mail.count, standing.waiting if standing is not None else 0)
    first_day = terms.allowances[0] if terms.allowances else None
    over = 0 if first_day is None else max(0, mail.count - first_day)
    if over and binds is not Bound.SUSPENSION:
        binds = Bound.WARM_UP
    start_s = terms.suspended_s
    now = mail.count - mail.deferred
    earliest = max(start_s + _sent_s(now, fastest, terms, start_s), mail.last_due_s)
    ready_s = max(start_s, mail.last_due_s)
    all_sent_s = start_s + _sent_s(waiting, slowest, terms, start_s)
    latest = max(all_sent_s, ready_s + mail.deferred / slowest)
    latest += SLACK_S + (MOVING_S if mail.moves else 0.0) + _again_s(mail, terms, standing)
    limit = _words(binds, terms, standing)
    if mail.last_due_s > all_sent_s:
        binds, limit = Bound.NOTHING, "its next attempts" if mail.deferred else "its send time"
    return SiteEstimate(
        earliest_s=min(earliest, latest),
        latest_s=min(latest, max(terms.lifetime_s, earliest) + SLACK_S),
        binds=binds,
        limit=limit,
        wait_for_days=over,
    )


def _binds(terms: Terms, standing: SiteStanding | None) -> Bound:
    """What holds the site back now or, where nothing does, what will as soon as there is more mail."""
    if terms.suspended_s:
        return Bound.SUSPENSION
    found = Bound.read(standing.binds) if standing is not None else Bound.NOTHING
    limit = _rate(terms, standing)
    if found in (Bound.NOTHING, Bound.MESSAGE_RATE) and 0 < terms.tenant_rate < (limit or inf):
        return Bound.TENANT_LIMITS
    if found is not Bound.NOTHING:
        return found
    return Bound.MESSAGE_RATE if limit else Bound.CONNECTIONS


def _cannot_be_told(binds: Bound, terms: Terms, standing: SiteStanding | None) -> str:
    if terms.suspended_s == inf:
        return "it is suspended, and nothing says until when"
    if binds in (Bound.DNS, Bound.TLS, Bound.BACK_OFF, Bound.SILENT_HOSTS, Bound.NO_MACHINE):
        return binds.words
    if _deferred_share(standing) > HOPELESS:
        return "its hosts put off nearly all mail"
    if terms.allowances and not any(one is None or one for one in terms.allowances):
        return "the warm-up of the source allows nothing on any day"
    if not _rate(terms, standing) and not terms.tenant_rate and _transaction_s(standing) is None:
        unknown = "nothing has been sent there lately from which its speed could be told"
        return f"suspended for {about(terms.suspended_s)}, and {unknown}" if terms.suspended_s else unknown
    return ""


def _rate(terms: Terms, standing: SiteStanding | None) -> float:
    """The message rate in force; 0 sets no limit. Automation may have lowered it."""
    return standing.message_rate if standing is not None and standing.connection_limit else terms.message_rate


def _connections(terms: Terms, standing: SiteStanding | None) -> int:
    return (standing.connection_limit if standing is not None else 0) or terms.connections


def _transaction_s(standing: SiteStanding | None) -> float | None:
    if standing is None or not standing.transactions or standing.spent_s <= 0:
        return None
    return max(SHORTEST_S, standing.spent_s / standing.transactions)


def _together(standing: SiteStanding | None) -> float:
    """Deliveries in a transaction."""
    if standing is None or not standing.transactions:
        return 1.0
    return max(1.0, standing.attempted / standing.transactions)


def _deferred_share(standing: SiteStanding | None) -> float:
    if standing is None or not standing.attempted:
        return 0.0
    return min(1.0, standing.deferred / standing.attempted)


def _rates(terms: Terms, standing: SiteStanding | None) -> tuple[float, float]:
    """Deliveries a second at most, and at least. Both are above zero."""
    limit, transaction_s = _rate(terms, standing), _transaction_s(standing)
    together = _together(standing)
    fastest = limit * together if limit else inf
    slowest = limit * RATE_KEPT if limit else inf
    if transaction_s is not None:
        carried = _connections(terms, standing) / transaction_s
        fastest = min(fastest, carried * together * HASTE)
        # Connections are opened as they are needed, and are closed again: not all are in use all the time.
        slowest = min(slowest, carried * CAUTION)
    if standing is not None and standing.measured_s > 0 and standing.measured:
        measured = standing.measured / standing.measured_s
        slowest = min(slowest, measured * CAUTION)
        if Bound.read(standing.binds) in (Bound.CONNECTIONS, Bound.CONNECTIONS_PER_IP, Bound.TENANT_LIMITS):
            fastest = min(fastest, measured * HASTE)
    if terms.tenant_rate:
        fastest = min(fastest, terms.tenant_rate * together)
        slowest = min(slowest, terms.tenant_rate * RATE_KEPT)
    return max(fastest, slowest), slowest


def _sent_s(count: int, rate: float, terms: Terms, start_s: float) -> float:
    """How long it takes to send so many from ``start_s`` on, at a rate within the allowances of each day."""
    left, now, midnight = count, start_s, terms.midnight_s
    for allowed in terms.allowances:
        if now >= midnight:
            midnight += DAY_S
            continue
        today = left if allowed is None else min(left, allowed)
        sent = min(float(today), (midnight - now) * rate)
        if sent >= left:
            return now + left / rate - start_s
        left -= int(sent)
        now, midnight = midnight, midnight + DAY_S
    return now + left / rate - start_s


def _again_s(mail: Remaining, terms: Terms, standing: SiteStanding | None) -> float:
    """What further attempts at what is put off may add: as many rounds of the schedule as leave next to nothing."""
    share = _deferred_share(standing)
    if mail.deferred and share < HARDLY:
        share = HARDLY  # what was put off once may be put off again
    if share < HARDLY or not mail.count:
        return 0.0
    rounds = max(1, ceil(log(mail.count / LIKELY_LEFT) / -log(share))) if share < 1 else len(terms.retry_schedule_s)
    schedule = terms.retry_schedule_s or (0.0,)
    waits = [schedule[min(number, len(schedule) - 1)] for number in range(min(rounds, 1000))]
    return sum(waits) * LONG_JITTER


def _words(binds: Bound, terms: Terms, standing: SiteStanding | None) -> str:
    match binds:
        case Bound.MESSAGE_RATE:
            return f"{_rate(terms, standing):g} messages/s"
        case Bound.TENANT_LIMITS if terms.tenant_rate:
            return f"the tenant's {terms.tenant_rate:g} messages/s"
        case Bound.CONNECTIONS:
            connections = _connections(terms, standing)
            return f"{connections:,} connection{'s' if connections != 1 else ''}"
        case Bound.SUSPENSION if terms.suspended_s < inf:
            return f"suspended for {duration_text(ceil(terms.suspended_s))}"
        case Bound.WARM_UP if terms.allowances and terms.allowances[0] is not None:
            return f"the source's warm-up: {terms.allowances[0]:,} more today"
    return binds.words


def in_all(sites: Sequence[SiteEstimate]) -> tuple[float | None, float | None]:
    """When all of it will be done: the earliest is known where that of one site is, the latest with those of all."""
    earliest = max((one.earliest_s for one in sites if one.earliest_s is not None), default=None)
    if any(one.latest_s is None for one in sites):
        return earliest, None
    return earliest, max((one.latest_s for one in sites if one.latest_s is not None), default=None)


def about(seconds: float) -> str:
    """A duration as people say it: 14m, 2h10m, 3d."""
    for grain, least in ((3600, DAY_S), (60, 600.0), (1, 0.0)):
        if seconds >= least:
            return duration_text(max(1, round(seconds / grain)) * grain)
    raise AssertionError("not negative")
