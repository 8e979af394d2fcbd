"""The decoded body of POST /v3/mail/send.

Decoding checks only JSON types (422). Validation checks required fields, lengths and counts (400), so that it finds
every fault of a request; therefore no field is required here. ``null`` means absent. JSON values have no reference
cycles, so the garbage collector does not track them (``gc``).
"""

from typing import Any

from msgspec import Struct, field


class Mailbox(Struct, gc=False):
    """An address and its display name."""

    email: str | None = None
    name: str | None = None


class Personalization(Struct, kw_only=True, gc=False):
    """One message: its recipients, and what it has of its own."""

    to: list[Mailbox] | None = None
    cc: list[Mailbox] | None = None
    bcc: list[Mailbox] | None = None
    from_: Mailbox | None = field(name="from", default=None)
    subject: str | None = None
    headers: dict[str, str] | None = None
    substitutions: dict[str, str] | None = None
    dynamic_template_data: dict[str, Any] | None = None
    custom_args: dict[str, Any] | None = None
    send_at: int | None = None


class ContentPart(Struct, kw_only=True, gc=False):
    """One alternative of the body."""

    type: str | None = None
    value: str | None = None


class AttachmentPart(Struct, kw_only=True, gc=False):
    """An attached or inline file; ``content`` is base64."""

    content: str | None = None
    filename: str | None = None
    type: str | None = None
    disposition: str | None = None
    content_id: str | None = None


class Asm(Struct, kw_only=True, omit_defaults=True, gc=False):
    """Unsubscribe groups."""

    group_id: int | None = None
    groups_to_display: list[int] | None = None


class Switch(Struct, kw_only=True, gc=False):
    """A setting that is on or off."""

    enable: bool | None = None


class FooterSetting(Struct, kw_only=True, gc=False):
    enable: bool | None = None
    text: str | None = None
    html: str | None = None


class MailSettings(Struct, kw_only=True, gc=False):
    sandbox_mode: Switch | None = None
    bypass_list_management: Switch | None = None
    bypass_spam_management: Switch | None = None
    bypass_bounce_management: Switch | None = None
    bypass_unsubscribe_management: Switch | None = None
    footer: FooterSetting | None = None
    bcc: Switch | None = None
    """Refused when it is on, like ``spam_check``: these settings of SendGrid are not supported."""
    spam_check: Switch | None = None


class ClickTracking(Struct, kw_only=True, omit_defaults=True, gc=False):
    enable: bool | None = None
    enable_text: bool | None = None


class OpenTracking(Struct, kw_only=True, omit_defaults=True, gc=False):
    enable: bool | None = None
    substitution_tag: str | None = None


class SubscriptionTracking(Struct, kw_only=True, omit_defaults=True, gc=False):
    enable: bool | None = None
    text: str | None = None
    html: str | None = None
    substitution_tag: str | None = None


class GoogleAnalytics(Struct, kw_only=True, omit_defaults=True, gc=False):
    enable: bool | None = None
    utm_source: str | None = None
    utm_medium: str | None = None
    utm_term: str | None = None
    utm_content: str | None = None
    utm_campaign: str | None = None


class TrackingSettings(Struct, kw_only=True, omit_defaults=True, gc=False):
    click_tracking: ClickTracking | None = None
    open_tracking: OpenTracking | None = None
    subscription_tracking: SubscriptionTracking | None = None
    ganalytics: GoogleAnalytics | None = None


class MailSend(Struct, kw_only=True, gc=False):
    """A request to send: each personalization becomes one message."""

    personalizations: list[Personalization] | None = None
    from_: Mailbox | None = field(name="from", default=None)
    reply_to: Mailbox | None = None
    reply_to_list: list[Mailbox] | None = None
    subject: str | None = None
    content: list[ContentPart] | None = None
    template_id: str | None = None
    attachments: list[AttachmentPart] | None = None
    headers: dict[str, str] | None = None
    sections: dict[str, Any] | None = None
    """Refused when there are any. In SendGrid, substitutions refer to these texts."""
    categories: list[str] | None = None
    custom_args: dict[str, Any] | None = None
    send_at: int | None = None
    lifetime: int | None = None
    """The lifetime of a message in seconds after its send time. SendGrid has no such field."""
    batch_id: str | None = None
    asm: Asm | None = None
    ip_pool_name: str | None = None
    mail_settings: MailSettings | None = None
    tracking_settings: TrackingSettings | None = None

    @property
    def sandboxed(self) -> bool:
        """Whether the request is only checked and not sent."""
        settings = self.mail_settings
        return bool(settings and settings.sandbox_mode and settings.sandbox_mode.enable)

    @property
    def scheduled(self) -> bool:
        """Whether the request has any send time, past or future."""
        return self.send_at is not None or any(p.send_at is not None for p in self.personalizations or ())

    @property
    def recipients(self) -> int:
        """The number of recipients in all personalizations."""
        return sum([len(p.to or ()) + len(p.cc or ()) + len(p.bcc or ()) for p in self.personalizations or ()])
