"""The current state of a delivery actor's sites, as plain data for operators."""

from cluster.policy.forms import Form


class LastReply(Form, frozen=True, kw_only=True):
    """A host's reply to a message, or how the connection failed."""

    at: float
    """Seconds since the epoch."""
    host: str
    text: str
    kind: str
    """accepted, deferred or bounced."""


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
