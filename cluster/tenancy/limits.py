"""The limits of a tenant over the whole cluster, and how they are stored. Pure."""

import math
from enum import StrEnum
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

HIGHEST_RATE = 1e9
HIGHEST_QUOTA = 10**15
Rate = Annotated[float, Meta(ge=0, le=HIGHEST_RATE)]
Quota = Annotated[int, Meta(ge=0, le=HIGHEST_QUOTA)]


class Limit(StrEnum):
    """A rate under which requests are counted. The values are the names of the fields and of the settings."""

    MESSAGES = "messages_per_s"
    READS = "reads_per_s"
    CREATIONS = "creations_per_min"
    REQUESTS = "requests_per_s"

    __hash__ = str.__hash__
    """That of an Enum is written in Python, and each request pays for it."""

    @property
    def span_s(self) -> float:
        """The length of its window in seconds: so much is accepted at once after a pause."""
        return 60.0 if self is Limit.CREATIONS else 1.0

    @property
    def meaning(self) -> str:
        """What is counted, and for how long, as in "At most 5 …"."""
        return _MEANINGS[self]


_MEANINGS = {
    Limit.MESSAGES: "messages a second",
    Limit.READS: "searches of messages a second",
    Limit.CREATIONS: "new keys and webhooks a minute",
    Limit.REQUESTS: "requests a second",
}


class RequestLimits(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a tenant may ask for. A limit that is None is the one of the settings; 0 sets none."""

    messages_per_s: Rate | None = None
    """Messages of mail/send, and emails."""
    reads_per_s: Rate | None = None
    """Requests of GET /v3/messages and GET /api/v1/emails."""
    creations_per_min: Rate | None = None
    """New keys and webhooks."""
    requests_per_s: Rate | None = None
    """All other requests."""
    messages_per_day: Quota | None = None
    """Messages accepted in a day (UTC)."""

    def per_s(self, limit: Limit, default: "RequestLimits") -> float:
        """The rate in 1/s; 0 for none."""
        own: float | None = getattr(self, limit)
        return (getattr(default, limit) if own is None else own) / limit.span_s

    def quota(self, default: "RequestLimits") -> int:
        """The messages of a day; 0 for any number."""
        own = default.messages_per_day if self.messages_per_day is None else self.messages_per_day
        return own or 0


DEFAULTS = RequestLimits()

encode = msgspec.json.Encoder().encode
_decoder = msgspec.json.Decoder(RequestLimits)


def decode(stored: str | bytes | None) -> RequestLimits:
    """The limits as the journal stores them; None and ``{}`` are the defaults, which all tenants share."""
    return _decoder.decode(stored) if stored and stored not in ("{}", b"{}") else DEFAULTS


def lower_of(one: RequestLimits, other: RequestLimits) -> RequestLimits:
    """For each limit the lower of two; a limit that only one of them sets is that one's."""
    if other is DEFAULTS:
        return one
    return RequestLimits(
        **{name: _lower(getattr(one, name), getattr(other, name)) for name in RequestLimits.__struct_fields__}
    )


def _lower(one: float | None, other: float | None) -> Any:
    if one is None or other is None:
        return other if one is None else one
    return min(one or math.inf, other or math.inf) if one or other else 0
