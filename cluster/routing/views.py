"""Views of routes and sources for operators: plain data.

``describe`` makes them, and the API returns them.
"""

from datetime import datetime

from msgspec import Struct

from cluster.policy.limits.binding import Bound
from cluster.policy.limits.shaping import Setting


class MxHost(Struct, frozen=True, kw_only=True):
    """One mail exchanger of a domain."""

    preference: int
    host: str
    addresses: tuple[str, ...]


class SourceChoice(Struct, frozen=True, kw_only=True):
    """A source of the pool, with its weight and owner."""

    source: str
    """The name; "" is the system's choice of address."""
    weight: float
    owner: str
    """The delivery actor that would send from it; "" when none can."""


class TlsView(Struct, frozen=True, kw_only=True):
    """The TLS requirements for a domain."""

    level: str
    mta_sts_mode: str = ""
    """enforce, testing or none (RFC 8461 §3.2); "" when the domain has no policy."""
    mta_sts_mx: tuple[str, ...] = ()
    """The patterns that a host must match."""
    dane: str = ""
    """Whether TLSA records (RFC 7672) are followed, in words; "" when they are not."""


class SiteOfDomain(Struct, frozen=True, kw_only=True):
    """The site of a domain's mail."""

    site: str
    problem: str = ""
    """Why no mail can be sent to the domain now, in words; "" when it can."""


class RouteDescription(Struct, frozen=True, kw_only=True):
    """The route that mail for a domain would take now."""

    domain: str
    via: str
    """direct, capture, discard, or the relay."""
    mx: tuple[MxHost, ...] = ()
    """The mail exchangers by preference; those of equal preference are shuffled. Empty without an MX look-up."""
    site: str = ""
    hosts_site: str = ""
    """The site of the hosts where a rule makes the domain its own site. Shipped rules for that site apply below it."""
    pool: str = ""
    """"" is the default pool."""
    sources: tuple[SourceChoice, ...] = ()
    destination: str = ""
    """The destination of the first source, which owns limits and queue, as "source → site" with its share."""
    owner: str = ""
    """The delivery actor that owns the destination."""
    shaping: tuple[Setting, ...] = ()
    tls: TlsView | None = None
    problem: str = ""
    """Why mail for the domain cannot be sent; "" when it can."""


class SiteOutlook(Struct, frozen=True, kw_only=True):
    """When a batch's mail for one site will be done."""

    site: str
    source: str
    """The source that it leaves from; "" is the system's choice of address."""
    recipients: int
    """Unfinished ones."""
    binds: Bound
    """The limit that decides."""
    earliest_at: datetime | None
    """Null, as ``latest_at``, where nothing can be said."""
    latest_at: datetime | None
    wait_for_tomorrow: int
    """Recipients for whom the source's warm-up leaves no room today."""
    said: str
    """In words: "google.com: 20 connections: 12m to 14m; 312 wait for tomorrow's warm-up"."""


class BatchEstimate(Struct, frozen=True, kw_only=True):
    """When a batch will be done, if nothing changes: the earliest and the latest."""

    earliest_at: datetime | None
    latest_at: datetime | None
    """Null where nothing can be said of some of its sites."""
    sites: tuple[SiteOutlook, ...]
    """The last to be done come first; at most 50."""
    not_estimated: int
    """Recipients of whose mail nothing can be said."""
    from_sample: bool
    """Whether what is left of the batch was estimated from a part of the queue."""


class PoolShare(Struct, frozen=True, kw_only=True):
    """A pool that a source belongs to, and its weight in it."""

    pool: str
    weight: float


class WarmUpUse(Struct, frozen=True, kw_only=True):
    """The messages that a source in warm-up may send to a site today (UTC): those granted so far, and the cap."""

    site: str
    granted: int
    cap: int


class SourceState(Struct, frozen=True, kw_only=True):
    """A source, and the delivery actors and pools that can use it."""

    name: str
    addresses: tuple[str, ...]
    helo: str
    actors: tuple[str, ...]
    """The live delivery actors whose machine has the addresses."""
    passed_over: bool = False
    """No machine has its addresses. Mail of its pools uses their other sources, or waits where they have no other."""
    pools: tuple[PoolShare, ...]
    waiting_pools: tuple[str, ...] = ()
    """Those of its pools for which no machine has any source; their mail waits."""
    warm_up_day: int = 0
    """The day of its warm-up plan, from 1; 0 when it is not in warm-up."""
    warm_up: tuple[WarmUpUse, ...] = ()
