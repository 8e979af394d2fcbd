"""The limits of a tenant over the whole cluster, and how they are stored. Pure."""

import msgspec
from msgspec import Struct


class RequestLimits(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a tenant may ask for. A limit that is None is the one of the settings; 0 sets none."""

    messages_per_s: float | None = None
    """Messages of mail/send."""
    reads_per_s: float | None = None
    """Requests of GET /v3/messages."""
    creations_per_min: float | None = None
    """New keys and webhooks."""
    requests_per_s: float | None = None
    """All other requests."""
    messages_per_day: int | None = None
    """Messages accepted in a day (UTC)."""


DEFAULTS = RequestLimits()

encode = msgspec.json.Encoder().encode
_decoder = msgspec.json.Decoder(RequestLimits)


def decode(stored: str | bytes | None) -> RequestLimits:
    """The limits as the journal stores them; None and ``{}`` are the defaults, which all tenants share."""
    return _decoder.decode(stored) if stored and stored not in ("{}", b"{}") else DEFAULTS
