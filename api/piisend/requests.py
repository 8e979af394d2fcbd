"""The decoded body of POST /api/v1/emails.

Decoding checks only JSON types (422); drafting.py and the check of all mail find the faults (400). ``null`` means
absent.
"""

from typing import Any

from msgspec import Struct, field


class EmailAttachment(Struct, kw_only=True, gc=False):
    """An attached file."""

    filename: str | None = None
    content_type: str | None = None
    content_b64: str | None = None


class EmailRequest(Struct, kw_only=True, gc=False):
    """An email to send: one message. An address may come with a name, as in ``Ada <ada@example.com>``."""

    to: list[str] | None = None
    cc: list[str] | None = None
    bcc: list[str] | None = None
    """Refused when there are any: an email has no bcc, and a client must not believe that these addresses get it."""
    from_: str | None = None
    sender: str | None = field(name="from", default=None)
    """Another name of ``from_``."""
    reply_to: list[str] | None = None
    subject: str | None = None
    html: str | None = None
    text: str | None = None
    template_id: str | None = None
    template_vars: dict[str, Any] | None = None
    domain_id: str | int | None = None
    """A verified sender domain: ``from_`` must be of it, or is only what stands before the @."""
    track_opens: bool | None = None
    track_clicks: bool | None = None
    enable_unsubscribe: bool | None = None
    scheduled_at: str | None = None
    """ISO-8601; UTC where it has no zone."""
    attachments: list[EmailAttachment] | None = None
