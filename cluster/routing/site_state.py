"""The current state of a delivery actor's sites, as plain data for operators."""

from cluster.policy.forms import Form

SAMPLED_EVERY_S = 10
"""The flight recorder samples them as often."""


class LastReply(Form, frozen=True, kw_only=True):
    """A host's reply to a message, or how the connection failed."""

    at: float
    """Seconds since the epoch."""
    host: str
    text: str
    kind: str
    """accepted, deferred or bounced."""


TENANTS_SHOWN = 5
"""Of a site: those with the most that waits."""


class TenantWaiting(Form, frozen=True):
    """A tenant's deliveries in a site's memory that wait for their turn."""

    tenant_id: str
    waiting: int


class SiteState(Form, frozen=True, kw_only=True):
    """The state of one share of a site on one delivery actor."""

    actor: str
    source: str
    """The source of its mail; "" is the system's choice of address."""
    site: str
    share: int
    shares: int
    waiting: int
    """Deliveries in memory that wait for their turn."""
    in_flight: int
    """Claimed deliveries: being composed, waiting for a connection, or being sent."""
    connections: int
    connection_limit: int
    message_rate: float
    """Messages a second that it may send now; 0 sets no limit."""
    accepted: int
    """Recipients since the site was last idle; the same holds for deferred and bounced."""
    deferred: int
    bounced: int
    accepted_per_s: float
    """Average of the last minute."""
    waits_for: str
    """Why no more mail is sent now, in words; "" when there is no such reason."""
    until: float
    """When the wait ends, in seconds since the epoch; 0 when that is not known."""
    adjustments: tuple[str, ...]
    """Changes by automation, and limits that hosts have announced for their connections, in words."""
    last_replies: tuple[LastReply, ...]
    """The newest come first."""
    binds: str = ""
    """The limit that holds back what is sent: a value of ``Bound`` (cluster/policy/limits/binding.py)."""
    ready: int = 0
    """Those of ``waiting`` that no limit of their tenant holds back."""
    began: float = 0.0
    """When its counts began, in monotonic seconds of the actor: with the actor and the share it names these counts."""
    transactions: int = 0
    """Messages carried since then, whatever the host said to them."""
    spent_s: float = 0.0
    """What their transactions took, summed."""
    connections_per_ip: int = 0
    """To each address; 0 sets no limit."""
    connection_rate: float = 0.0
    """New connections a second; 0 sets no limit."""
    warm_up_cap: int | None = None
    """Messages that the source may send to the site today, from all actors; None sets no limit."""
    warm_up_left: int | None = None
    """Those of them that this actor has been granted, and has not sent."""
    put_off: int = 0
    """Deliveries that wait for another attempt, as far as this actor has put them off itself."""
    retry_at: float = 0.0
    """When the last of them is due, in seconds since the epoch; 0 when there are none."""
    turns: tuple[TenantWaiting, ...] = ()
    """Where several tenants wait and take turns: those with the most. Not in samples."""
    tenants: int = 0
    """How many tenants wait."""


class SiteEnded(Form, frozen=True, kw_only=True):
    """The counts of a share of a site that was dropped from a delivery actor's memory, as it had no more work."""

    source: str
    site: str
    share: int
    began: float
    """As in ``SiteState``."""
    accepted: int
    deferred: int
    bounced: int
    transactions: int
    spent_s: float
    last_reply: LastReply | None
    binds: str = ""
    """What held it back when it was dropped, as in ``SiteState``."""


class SitesSampled(Form, frozen=True, kw_only=True):
    """The sites of a delivery actor that have work, and those that ended since the last sample."""

    at: float
    """In monotonic seconds of the actor: what ended later belongs to the next sample."""
    policy_version: int
    sites: tuple[SiteState, ...]
    """The busiest."""
    ended: tuple[SiteEnded, ...]
    left_out: int = 0
    """Further sites that have work."""


class TraceLine(Form, frozen=True, kw_only=True):
    """One line of a live SMTP dialogue."""

    number: int
    """Rises by one with each line of the trace. Missing numbers are lines that did not fit into the buffer."""
    at: float
    connection: str
    """#n: the connection, or the attempt to connect. Its first line names the host."""
    direction: str
    """"C" for commands, "S" for replies, "*" for events of the connection."""
    text: str
    """A command or reply line. For a message's content, only its size."""


class Held(Form, frozen=True, kw_only=True):
    """A delivery of a message in a delivery actor's memory."""

    recipient_no: int
    site: str
    source: str
    state: str
    """waiting, claimed, or on the wire."""
    ahead: int
    """Number of the same tenant's deliveries before it; 0 when it does not wait."""
