"""The sections of a tenant's settings that have routes of their own. Pure."""

from collections.abc import Iterable, Mapping
from typing import Any

from msgspec import Struct

from cluster.tenancy.settings import (
    AddressWhitelist,
    BouncePurge,
    ClickTracking,
    DefaultFooter,
    Forwarding,
    GoogleAnalytics,
    OpenTracking,
    SubscriptionTracking,
)


class Section(Struct, frozen=True, kw_only=True):
    """A section of ``TenantSettings``."""

    name: str
    """Its attribute there, and the last part of its path."""
    title: str
    description: str
    kind: type[Struct]
    """As it is stored and answered."""
    example: Mapping[str, Any]
    """A change of it."""
    forwards: bool = False
    """Whether it is about reports that are sent on, which an installation may not do."""


TRACKING = (
    Section(
        name="click",
        title="Click tracking",
        description="Links lead through the tracking host, which records each click.",
        kind=ClickTracking,
        example={"enabled": False},
    ),
    Section(
        name="google_analytics",
        title="Google Analytics",
        description="Campaign parameters are added to the targets of links.",
        kind=GoogleAnalytics,
        example={"enabled": True, "utm_source": "newsletter"},
    ),
    Section(
        name="open",
        title="Open tracking",
        description="An invisible image records that a message was opened.",
        kind=OpenTracking,
        example={"enabled": False},
    ),
    Section(
        name="subscription",
        title="Subscription tracking",
        description="Each message ends with an unsubscribe link.",
        kind=SubscriptionTracking,
        example={"enabled": False, "plain_content": "Unsubscribe: <% %>"},
    ),
)
MAIL = (
    Section(
        name="address_whitelist",
        title="Address whitelist",
        description="Addresses and domains that no suppression list holds back.",
        kind=AddressWhitelist,
        example={"enabled": True, "list": ["ada@example.com", "example.net"]},
    ),
    Section(
        name="bounce_purge",
        title="Bounce purge",
        description="Entries leave the bounce list after some days.",
        kind=BouncePurge,
        example={"enabled": True, "soft_bounces": 5, "hard_bounces": 30},
    ),
    Section(
        name="footer",
        title="Footer",
        description="A text at the end of each message.",
        kind=DefaultFooter,
        example={"enabled": True, "plain_content": "Acme, Main Street 1"},
    ),
    Section(
        name="forward_bounce",
        title="Forward bounces",
        description="A copy of each bounce goes to an address.",
        kind=Forwarding,
        example={"enabled": True, "email": "bounces@example.com"},
        forwards=True,
    ),
    Section(
        name="forward_spam",
        title="Forward spam reports",
        description="A copy of each spam report goes to an address.",
        kind=Forwarding,
        example={"enabled": True, "email": "abuse@example.com"},
        forwards=True,
    ),
)


def in_vain(section: Section, given: Mapping[str, Any], enabled: bool, *, forwards_reports: bool) -> Iterable[str]:
    """The fields of a change that nothing is done by, as this installation sends no reports on. What is off, and what
    switches something off, is honoured."""
    if not section.forwards or forwards_reports or not enabled:
        return []
    return [name for name, value in given.items() if value]
