"""What a request's messages are tracked by, as decided at acceptance: its own settings over the tenant's. Pure."""

from msgspec import Struct


class Analytics(Struct, frozen=True, array_like=True):
    """Parameters that are added to the targets of links; "" adds none."""

    utm_source: str = ""
    utm_medium: str = ""
    utm_term: str = ""
    utm_content: str = ""
    utm_campaign: str = ""


class UnsubscribeText(Struct, frozen=True, array_like=True):
    """What ends a message with subscription tracking. ``<% %>`` in it stands for the URL; html ``<% words %>`` becomes
    a link of these words. "" takes the usual text. ``tag``: takes the place of the text in the message."""

    text: str = ""
    html: str = ""
    tag: str = ""


class Tracking(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How the messages of a request are tracked (``Content.tracking``; None: in no way)."""

    base_url: str
    """What its URLs begin with, such as ``https://links.example.com``; without a slash at the end."""
    tenant_number: int
    opens: bool = False
    open_tag: str = ""
    """The pixel takes its place; "" puts the pixel at the end of the html."""
    clicks: bool = False
    text_clicks: bool = False
    """Also the links of plain text."""
    analytics: Analytics | None = None
    subscription: UnsubscribeText | None = None
    group_id: int | None = None
    """The unsubscribe group (``asm.group_id``)."""
    shown_groups: tuple[int, ...] = ()
    """Groups that the preferences page shows (``asm.groups_to_display``); empty: all of the tenant."""

    @property
    def changes_links(self) -> bool:
        """Whether links of html change."""
        return self.clicks or self.analytics is not None

    @property
    def changes_text_links(self) -> bool:
        """Whether links of plain text change."""
        return self.text_clicks or self.analytics is not None

    @property
    def has_unsubscribe(self) -> bool:
        """Whether each message has an unsubscribe address, and so the header fields of RFC 8058."""
        return self.subscription is not None or self.group_id is not None
