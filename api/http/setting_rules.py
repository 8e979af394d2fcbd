"""The rules for the parts of a tenant's settings, wherever they are set. Pure."""

import re
from collections.abc import Callable, Mapping
from typing import Any, TypeVar
from urllib.parse import urlsplit

from msgspec import Struct, structs

from api.http.refusals import Fault
from api.http.texts import check_no_control, check_text
from cluster.message.addresses import bare, is_address
from cluster.policy.routes.domains import mail_domain, spelled
from cluster.tenancy.settings import (
    AddressWhitelist,
    BouncePurge,
    Forwarding,
    GoogleAnalytics,
    SubscriptionTracking,
    UnsubscribePage,
)
from cluster.tracking.choices import Analytics

LONGEST_TEXT = 10_000
"""Footers and pages: they are in the cached record of each tenant that has them."""
LONGEST_PAGE_TEXT = 1000
LONGEST_PARAMETER = 255
LONGEST_URL = 2000
MOST_WHITELISTED = 1000
MOST_FORWARDED = 10
MOST_DAYS = 3650

_COLOUR = re.compile(r"#[0-9A-Fa-f]{6}", re.ASCII)
_LONGEST = dict.fromkeys(("html_content", "plain_content", "landing", "replace"), LONGEST_TEXT) | {"url": LONGEST_URL}

Part = TypeVar("Part", bound=Struct)


def normalised(name: str, part: Part, faults: list[Fault]) -> Part:
    """The part of ``TenantSettings`` of this name as it is stored. Adds its faults, each with the name of its field."""
    checked: Part = _RULES.get(name, _texts)(part, faults)
    return checked


def _texts(section: Any, faults: list[Fault]) -> Any:
    for name in section.__struct_fields__:
        if isinstance(value := getattr(section, name), str):
            check_text(value, name, faults, longest=_LONGEST.get(name, LONGEST_PARAMETER))
    return section


def _analytics(section: GoogleAnalytics, faults: list[Fault]) -> GoogleAnalytics:
    for name in Analytics.__struct_fields__:
        value = getattr(section, name)
        if len(value) > LONGEST_PARAMETER:
            faults.append(Fault(f"At most {LONGEST_PARAMETER} characters", name))
        check_no_control(value, name, faults)
    return section


def _subscription(section: SubscriptionTracking, faults: list[Fault]) -> SubscriptionTracking:
    if section.url and not _is_url(section.url):
        faults.append(Fault("This is not an http or https URL", "url"))
    _texts(section, faults)
    return section


def _unsubscribe_page(section: UnsubscribePage, faults: list[Fault]) -> UnsubscribePage:
    if section.colour and not _COLOUR.fullmatch(section.colour):
        faults.append(Fault("A colour is written as #rrggbb, such as #2457c5", "colour"))
    check_text(section.text, "text", faults, longest=LONGEST_PAGE_TEXT)
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


_RULES: Mapping[str, Callable[[Any, list[Fault]], Any]] = {
    "google_analytics": _analytics,
    "subscription": _subscription,
    "unsubscribe_page": _unsubscribe_page,
    "address_whitelist": _whitelist,
    "bounce_purge": _bounce_purge,
    "forward_bounce": _forwarding,
    "forward_spam": _forwarding,
}
"""The rules of parts that have more than texts."""
