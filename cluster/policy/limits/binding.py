"""Which limit holds back what a site sends: one answer for operators' lists, for a message's explanation, for the
flight recorder and for the estimate of a batch.

The first that applies is named. What stops everything comes before what only slows.
"""

from collections.abc import Iterable, Mapping
from enum import StrEnum

from msgspec import Struct


class Bound(StrEnum):
    """What binds. The values are stored (table ``site_samples`` of ClickHouse)."""

    NOTHING = ""
    SUSPENSION = "suspension"
    NO_MACHINE = "no_machine"
    """No machine has the source's addresses."""
    WARM_UP = "warm_up"
    DNS = "dns"
    """The DNS does not tell its hosts."""
    TLS = "tls"
    """No connection has the TLS that the mail requires."""
    BACK_OFF = "back_off"
    SILENT_HOSTS = "silent_hosts"
    DEFERRALS = "deferrals"
    """Its hosts put off most of what is tried."""
    TENANT_LIMITS = "tenant_limits"
    MESSAGE_RATE = "message_rate"
    CONNECTION_RATE = "connection_rate"
    CONNECTIONS_PER_IP = "connections_per_ip"
    CONNECTIONS = "connections"

    @property
    def words(self) -> str:
        """Why no more mail is sent now; "" when nothing binds."""
        return _WORDS[self]

    @classmethod
    def read(cls, value: str) -> "Bound":
        """The member with this value; ``NOTHING`` for one that another release may know."""
        return _MEMBERS.get(value, cls.NOTHING)


_WORDS = {
    Bound.NOTHING: "",
    Bound.SUSPENSION: "suspended",
    Bound.NO_MACHINE: "no machine has the source's addresses",
    Bound.WARM_UP: "the source's warm-up: no more today",
    Bound.DNS: "the DNS does not tell which hosts take its mail",
    Bound.TLS: "no connection with the TLS that its mail requires",
    Bound.BACK_OFF: "backing off: no connection could be made",
    Bound.SILENT_HOSTS: "its hosts do not answer",
    Bound.DEFERRALS: "its hosts put off most of what is tried",
    Bound.TENANT_LIMITS: "its tenants' limits",
    Bound.MESSAGE_RATE: "the message rate",
    Bound.CONNECTION_RATE: "the rate of new connections",
    Bound.CONNECTIONS_PER_IP: "its connections to each address are all in use",
    Bound.CONNECTIONS: "its connections are all in use",
}
_MEMBERS: Mapping[str, Bound] = {bound.value: bound for bound in Bound}
_ORDER: Mapping[Bound, int] = {bound: number for number, bound in enumerate(Bound)}


class SiteFacts(Struct, frozen=True, kw_only=True):
    """One share of a source → site, as its owner sees it now."""

    waiting: int
    """Deliveries that wait here for their turn."""
    ready: int
    """Those of tenants that no limit of their own holds back."""
    jobs_waiting: int = 0
    """Composed messages that wait for a connection or for the turn of their rate."""
    connections: int
    connection_limit: int
    message_rate: float
    """Messages a second; 0 sets no limit."""
    message_wait_s: float = 0.0
    """Until the rate allows the next one."""
    opening_wait_s: float = 0.0
    """Until the rate of new connections allows the next one."""
    addresses_full: bool = False
    """As many connections as allowed are open to each address that is in use."""
    is_suspended: bool = False
    is_used_up: bool = False
    """The warm-up of the source allows no more today."""
    backs_off_for: Bound = Bound.NOTHING
    """Why the last connection could not be made, while the site waits after it or sends a probe."""
    put_off_for: Bound = Bound.NOTHING
    """Why most of what was tried lately was put off."""
    is_stalled: bool = False
    """Nothing on the wire has ended for a long time."""


def binding(site: SiteFacts) -> Bound:
    """What binds now. What stops a site is named even while nothing waits; what slows it only when something does."""
    if site.is_suspended:
        return Bound.SUSPENSION
    if site.is_used_up:
        return Bound.WARM_UP
    if site.backs_off_for is not Bound.NOTHING:
        return site.backs_off_for
    if site.is_stalled:
        return Bound.SILENT_HOSTS
    if site.put_off_for is not Bound.NOTHING:
        return site.put_off_for
    if not site.waiting and not site.jobs_waiting:
        return Bound.NOTHING
    if site.waiting and not site.ready and not site.jobs_waiting:
        return Bound.TENANT_LIMITS
    if site.message_rate and site.message_wait_s > 0:
        return Bound.MESSAGE_RATE
    if site.connections >= site.connection_limit:
        return Bound.CONNECTIONS
    if site.addresses_full:
        return Bound.CONNECTIONS_PER_IP
    if site.opening_wait_s > 0:
        return Bound.CONNECTION_RATE
    return Bound.NOTHING


def binding_of_shares(shares: Iterable[tuple[Bound, int]]) -> Bound:
    """What binds a site as a whole: that which holds back the most of what waits, of equals the most severe.
    ``shares``: what binds each of its shares, and how much waits there."""
    held: dict[Bound, int] = {}
    for bound, waiting in shares:
        if bound is not Bound.NOTHING:
            held[bound] = held.get(bound, 0) + waiting
    return min(held, key=lambda bound: (-held[bound], _ORDER[bound]), default=Bound.NOTHING)
