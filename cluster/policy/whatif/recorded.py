"""What is recorded of an attempt, as far as policies decide by it."""

from typing import Literal

from msgspec import Struct

EXPIRED = "expired after "
"""What the reason begins with where a deferral ended a delivery, because its lifetime did."""


class Reply(Struct, frozen=True, kw_only=True):
    """An attempt that did not succeed."""

    at: float
    """Seconds since the epoch."""
    event: Literal["deferred", "bounce", "blocked"]
    site: str
    source: str
    """The name of the source; "" for the address that the system chose."""
    tenant_id: str
    domain: str
    attempt: int
    text: str
    """The reply as received; "" when there was none."""
    reason: str
    bounce_class: str
    age_s: float
    """Since the message was accepted."""

    @property
    def has_expired(self) -> bool:
        return self.reason.startswith(EXPIRED)

    @property
    def code(self) -> int:
        """0 when there was no reply."""
        return int(self.text[:3]) if self.text[:3].isascii() and self.text[:3].isdecimal() else 0


class Accepted(Struct, frozen=True, kw_only=True):
    """Deliveries of one second that hosts of a site accepted, for one domain."""

    at: float
    site: str
    source: str
    domain: str
    count: int
