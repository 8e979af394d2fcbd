"""Times as the HTTP API and the posts of webhooks tell them."""

from datetime import datetime, timedelta

_EPOCH = datetime(1970, 1, 1)  # UTC, as all here


def milliseconds(at: float) -> int:
    """Seconds since the epoch in milliseconds, in which events are stored. Raises ValueError or OverflowError when
    ``at`` is not finite."""
    return round(at * 1000)


def iso(milliseconds: int) -> str:
    """Milliseconds since the epoch as ``2026-04-23T10:00:02.120Z``."""
    return (_EPOCH + timedelta(milliseconds=milliseconds)).isoformat(timespec="milliseconds") + "Z"
