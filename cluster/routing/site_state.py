"""What a delivery actor tells of its sites to whoever operates them: facts of this moment, plain data."""

from msgspec import Struct


class LastReply(Struct, frozen=True, kw_only=True):
    """What a host of the site said last to a message, or how the connection failed."""

    at: float
    """Seconds since the epoch."""
    host: str
    text: str
    kind: str
    """accepted, deferred or bounced."""


class SiteState(Struct, frozen=True, kw_only=True):
    """One share of a site on one delivery actor."""

    actor: str
    source: str
    """The source it is sent from; "" is the system's choice of address."""
    site: str
    share: int
    shares: int
    waiting: int
    """Deliveries in memory that wait for their turn."""
    in_flight: int
    """Claimed: being composed, waiting for a connection, or on the wire."""
    connections: int
    connection_limit: int
    message_rate: float
    """Messages a second that it may have now; 0 sets no limit."""
    accepted: int
    """Recipients since the site was last idle; so deferred and bounced."""
    deferred: int
    bounced: int
    accepted_per_s: float
    """Over the last minute."""
    waits_for: str
    """Why no more is sent just now, in words; "" when nothing holds it back."""
    until: float
    """Until when that lasts, seconds since the epoch; 0 when it is not known."""
    adjustments: tuple[str, ...]
    """What automation has changed, and hosts have said of their connections, in words."""
    last_replies: tuple[LastReply, ...]
    """The newest first."""


class TraceLine(Struct, frozen=True, kw_only=True):
    """One line of a live SMTP dialogue."""

    number: int
    """Rises by one with each line of the trace; what is missing was dropped for want of room."""
    at: float
    connection: str
    """#n: which connection, or attempt at one; its first line says to whom."""
    direction: str
    """"C" from us, "S" from the host, "*" what happened to the connection."""
    text: str
    """A command or reply line; of a message's content only its size."""


class Held(Struct, frozen=True, kw_only=True):
    """Where a delivery of a message is in a delivery actor's memory."""

    recipient_no: int
    site: str
    source: str
    state: str
    """waiting, claimed, or on the wire."""
    ahead: int
    """Deliveries of the same tenant that go before it; 0 when it does not wait."""
