"""The sections of a tenant's settings that have routes of their own, and the rules for their values. Pure."""

from collections.abc import Callable, Iterable, Mapping
from types import NoneType
from typing import Any, get_args
from urllib.parse import urlsplit

import msgspec
from msgspec import UNSET, Struct, UnsetType, structs

from api.http.addresses import bare, is_address
from api.http.refusals import Fault
from api.http.texts import check_text
from cluster.policy.routes.domains import mail_domain, spelled
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

LONGEST_TEXT = 10_000
"""Footers and pages: they are in the cached record of each tenant that has them."""
LONGEST_PARAMETER = 255
LONGEST_URL = 2000
MOST_WHITELISTED = 1000
MOST_FORWARDED = 10
MOST_DAYS = 3650

_LONGEST = dict.fromkeys(("html_content", "plain_content", "landing", "replace"), LONGEST_TEXT) | {"url": LONGEST_URL}

Normalise = Callable[[Any, list[Fault]], Any]
"""Adds the faults of a section, and returns it as it is stored."""


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
    normalise: Normalise
    acts: bool = False
    """Whether anything is done by it yet."""


def change_of(kind: type[Struct]) -> type[Struct]:
    """The body of a change: each field may be absent. ``null`` means absent, but for a field that may be null."""
    fields: list[Any] = []
    for one in structs.fields(kind):
        nullable = NoneType in get_args(one.type)
        fields.append((one.name, one.type | UnsetType, UNSET) if nullable else (one.name, one.type | None, None))
    return msgspec.defstruct(f"{kind.__name__}Change", fields, kw_only=True, frozen=True, module=kind.__module__)


def given_in(change: Struct) -> dict[str, Any]:
    """The fields that a change names, with their values."""
    named = {one.name: (getattr(change, one.name), one.default) for one in structs.fields(change)}
    return {name: value for name, (value, default) in named.items() if value is not default}


def _texts(section: Any, faults: list[Fault]) -> Any:
    for name in section.__struct_fields__:
        if isinstance(value := getattr(section, name), str):
            check_text(value, name, faults, longest=_LONGEST.get(name, LONGEST_PARAMETER))
    return section


def _subscription(section: SubscriptionTracking, faults: list[Fault]) -> SubscriptionTracking:
    if section.url and not _is_url(section.url):
        faults.append(Fault("This is not an http or https URL", "url"))
    _texts(section, faults)
    return section


def _is_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and text.isprintable() and " " not in text
    except ValueError:
        return False


def _whitelist(section: AddressWhitelist, faults: list[Fault]) -> AddressWhitelist:
    if len(section.list) > MOST_WHITELISTED:
        faults.append(Fault(f"At most {MOST_WHITELISTED} addresses and domains", "list"))
        return section
    entries: dict[str, None] = {}
    for index, text in enumerate(section.list):
        entry = bare(text)
        spelling = spelled(entry) if is_address(entry) else mail_domain(entry)
        if spelling is None:
            faults.append(Fault("This is neither an email address nor a domain", f"list[{index}]"))
        else:
            entries[spelling] = None
    return structs.replace(section, list=tuple(entries))


def _bounce_purge(section: BouncePurge, faults: list[Fault]) -> BouncePurge:
    for name in ("soft_bounces", "hard_bounces"):
        days = getattr(section, name)
        if days is not None and not 1 <= days <= MOST_DAYS:
            faults.append(Fault(f"A number of days from 1 to {MOST_DAYS}; null means never", name))
    return section


def _forwarding(section: Forwarding, faults: list[Fault]) -> Forwarding:
    emails = [bare(email) for email in section.email.split(",")] if section.email else []
    if len(emails) > MOST_FORWARDED:
        faults.append(Fault(f"At most {MOST_FORWARDED} addresses", "email"))
    elif not all(map(is_address, emails)):
        faults.append(Fault("This is not a valid email address, or several with commas between them", "email"))
    elif section.enabled and not emails:
        faults.append(Fault("An address is required while this is enabled", "email"))
    return structs.replace(section, email=",".join(dict.fromkeys(map(spelled, emails))))


TRACKING = (
    Section(
        name="click",
        title="Click tracking",
        description="Links lead through the tracking host, which records each click.",
        kind=ClickTracking,
        example={"enabled": False},
        normalise=_texts,
    ),
    Section(
        name="google_analytics",
        title="Google Analytics",
        description="Campaign parameters are added to the targets of links.",
        kind=GoogleAnalytics,
        example={"enabled": True, "utm_source": "newsletter"},
        normalise=_texts,
    ),
    Section(
        name="open",
        title="Open tracking",
        description="An invisible image records that a message was opened.",
        kind=OpenTracking,
        example={"enabled": False},
        normalise=_texts,
    ),
    Section(
        name="subscription",
        title="Subscription tracking",
        description="Each message ends with an unsubscribe link.",
        kind=SubscriptionTracking,
        example={"enabled": False, "plain_content": "Unsubscribe: <% %>"},
        normalise=_subscription,
    ),
)
MAIL = (
    Section(
        name="address_whitelist",
        title="Address whitelist",
        description="Addresses and domains that no suppression list holds back.",
        kind=AddressWhitelist,
        example={"enabled": True, "list": ["ada@example.com", "example.net"]},
        normalise=_whitelist,
    ),
    Section(
        name="bounce_purge",
        title="Bounce purge",
        description="Entries leave the bounce list after some days.",
        kind=BouncePurge,
        example={"enabled": True, "soft_bounces": 5, "hard_bounces": 30},
        normalise=_bounce_purge,
    ),
    Section(
        name="footer",
        title="Footer",
        description="A text at the end of each message.",
        kind=DefaultFooter,
        example={"enabled": True, "plain_content": "Acme, Main Street 1"},
        normalise=_texts,
        acts=True,
    ),
    Section(
        name="forward_bounce",
        title="Forward bounces",
        description="A copy of each bounce goes to an address.",
        kind=Forwarding,
        example={"enabled": True, "email": "bounces@example.com"},
        normalise=_forwarding,
    ),
    Section(
        name="forward_spam",
        title="Forward spam reports",
        description="A copy of each spam report goes to an address.",
        kind=Forwarding,
        example={"enabled": True, "email": "abuse@example.com"},
        normalise=_forwarding,
    ),
)


def in_vain(section: Section, given: Mapping[str, Any], enabled: bool) -> Iterable[str]:
    """The fields of a change that nothing is done by yet. What is off, and what switches something off, is honoured."""
    return [name for name, value in given.items() if value] if enabled and not section.acts else []
