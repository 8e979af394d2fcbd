"""How an HTTP server ends."""

from msgspec import Struct


class Ending(Struct, frozen=True, kw_only=True):
    """In seconds from the beginning of the end, but for ``leaving_s``."""

    listens_s: float
    """Connections that clients have begun are still accepted: a round trip, since a client sends as soon as it knows
    that the connection is open."""
    quiet_s: float
    """A connection without a request in progress may still bring one, which is answered: it may be on its way."""
    grace_s: float
    """Then requests in progress are cut off."""
    leaving_s: float
    """After the last request: how long what the application does at its end may take, such as the last commit."""


AT_ONCE = Ending(listens_s=0.05, quiet_s=0.3, grace_s=3.0, leaving_s=2.0)
"""The process ends."""
IN_ORDER = Ending(listens_s=0.5, quiet_s=2.0, grace_s=12.0, leaving_s=5.0)
"""The process goes on and nothing waits for its port: its node drains."""
