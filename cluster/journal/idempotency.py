"""The values of idempotency keys: what names a request, and what was answered to the first with a name."""

from datetime import timedelta

from msgspec import Struct

KEPT = timedelta(hours=24)
"""A key is free again after this time, whether it is purged yet or not."""


class IdempotencyKey(Struct, frozen=True, kw_only=True):
    """A client's name for a request that it may send again, and what the repeat must be answered with."""

    text: str
    sandbox: bool
    """Whether an API key of the sandbox sent it: those keys have a space of their own."""
    body_sha256: bytes
    """Of the inflated body."""
    ignored: str = ""
    """The value of X-Postray-Ignored."""


class FirstAnswer(Struct, frozen=True, kw_only=True):
    """The answer to the first request with a key, and the request's body as its SHA-256."""

    body_sha256: bytes
    message_ids: list[str]
    ignored: str
    """The value of X-Postray-Ignored."""
