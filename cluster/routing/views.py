"""Where mail would go and what it would leave from, as operators read it: plain data.

Made by whoever places deliveries, handed on by the API. Nothing here decides.
"""

from msgspec import Struct

from cluster.policy.limits.shaping import Setting


class MxHost(Struct, frozen=True, kw_only=True):
    """One mail exchanger of a domain."""

    preference: int
    host: str
    addresses: tuple[str, ...]


class SourceChoice(Struct, frozen=True, kw_only=True):
    """A source that the pool may choose."""

    source: str
    """The name; "" is the system's choice of address."""
    weight: float
    owner: str
    """The delivery actor that would send from it; "" when none can."""


class TlsView(Struct, frozen=True, kw_only=True):
    """What is asked of TLS towards a domain."""

    level: str
    mta_sts_mode: str = ""
    """enforce, testing or none (RFC 8461 §3.2); "" when the domain has no policy."""
    mta_sts_mx: tuple[str, ...] = ()
    """The patterns that a host must match."""
    dane: str = ""
    """What TLSA records (RFC 7672) say, in words; "" when there are none that count."""


class SiteOfDomain(Struct, frozen=True, kw_only=True):
    """The site of a domain's mail."""

    site: str
    problem: str = ""
    """Why no mail gets to the domain now, in words."""


class RouteDescription(Struct, frozen=True, kw_only=True):
    """The way of mail for a domain, as it would be taken now."""

    domain: str
    via: str
    """direct, capture, discard, or the relay."""
    mx: tuple[MxHost, ...] = ()
    """In the order of trying, which is shuffled anew among equals; empty where there is no need to ask."""
    site: str = ""
    hosts_site: str = ""
    """The site of the hosts, where a rule makes the domain a site of its own: what is shipped for it lies beneath."""
    pool: str = ""
    """"" is the default pool."""
    sources: tuple[SourceChoice, ...] = ()
    destination: str = ""
    """Name of the source → site (and its share) that owns limits and queue, of the source chosen first."""
    owner: str = ""
    """The delivery actor that owns it."""
    shaping: tuple[Setting, ...] = ()
    tls: TlsView | None = None
    problem: str = ""
    """Why mail for the domain cannot be sent; "" when it can."""


class PoolShare(Struct, frozen=True, kw_only=True):
    """A pool that a source belongs to, and its weight in it."""

    pool: str
    weight: float


class WarmUpUse(Struct, frozen=True, kw_only=True):
    """What a source in warm-up has been granted for a site today (UTC)."""

    site: str
    granted: int
    cap: int


class SourceState(Struct, frozen=True, kw_only=True):
    """A source, and where it can be used."""

    name: str
    addresses: tuple[str, ...]
    helo: str
    actors: tuple[str, ...]
    """The live delivery actors whose machine has the addresses."""
    passed_over: bool = False
    """No machine has them: mail of its pools leaves from their other sources, or waits where they have none."""
    pools: tuple[PoolShare, ...]
    waiting_pools: tuple[str, ...] = ()
    """Those of its pools that have no source which a machine has: their mail waits."""
    warm_up_day: int = 0
    """The day of its warm-up plan, from 1; 0 when it is not in warm-up."""
    warm_up: tuple[WarmUpUse, ...] = ()
