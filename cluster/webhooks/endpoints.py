"""Endpoints: where a tenant's events are posted to, in which dialect, and which of them."""

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from urllib.parse import urlsplit

from cluster.policy.forms import Form

EVENT_NAMES = (
    "processed",
    "deferred",
    "delivered",
    "bounce",
    "blocked",
    "dropped",
    "open",
    "click",
    "spam_report",
    "unsubscribe",
    "group_unsubscribe",
    "group_resubscribe",
)
"""The names of events of messages, as endpoints choose them."""
ALL = "*"


class Dialect(StrEnum):
    """The shape of what is posted."""

    POSTRAY = "postray"
    SENDGRID = "sendgrid"


class Endpoint(Form, frozen=True, kw_only=True):
    """An endpoint as its owner set it up."""

    id: str
    tenant_id: str
    dialect: Dialect
    name: str = ""
    url: str
    events: frozenset[str] = frozenset((ALL,))
    """Names of events; ``*`` stands for all."""
    categories: frozenset[str] = frozenset()
    """Only events of messages with one of these; empty: of all."""
    key_ids: frozenset[str] = frozenset()
    """Only events of messages that one of these API keys sent; empty: of all."""
    is_batch: bool = False
    """Whether a post is an array of events. In SendGrid's dialect it always is."""
    is_standard: bool = False
    """Whether posts also have the header fields of Standard Webhooks."""
    is_enabled: bool = True
    """By its owner. Nothing is owed for the time in which it is not."""
    is_paused: bool = False
    """By its owner: events wait."""
    sealed_secret: bytes | None = None
    """Of HMAC, or the private key of ECDSA (cluster.vault); None: its posts are not signed."""
    sealed_former: bytes | None = None
    """The secret before the last rotation, valid until ``former_until``."""
    former_until: datetime | None = None
    public_key: str = ""
    """Of ECDSA: SubjectPublicKeyInfo in DER, in base64."""
    sealed_oauth: bytes | None = None
    """What access tokens are asked for with (``cluster.webhooks.oauth``)."""
    notify_email: str = ""
    """Who is told when it is disabled because it fails."""
    created_at: datetime
    updated_at: datetime

    def wants(self, name: str, categories: Sequence[str], key_id: str) -> bool:
        """Whether an event of this name is posted to it. ``key_id``: of the API key that sent the message; "" where
        none did."""
        return (
            (ALL in self.events or name in self.events)
            and (not self.categories or not self.categories.isdisjoint(categories))
            and (not self.key_ids or key_id in self.key_ids)
        )

    @property
    def is_array(self) -> bool:
        """Whether a post has several events."""
        return self.is_batch or self.dialect is Dialect.SENDGRID


def origin(url: str) -> str:
    """Scheme, host and port of a URL: all of it that anyone but its owner sees, since path and query may hold secrets.
    "" for what is no URL."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
