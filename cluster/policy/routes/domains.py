"""The one spelling that domains have inside: A-labels, lower case (RFC 5890 §2.3.2.1; UTS 46 maps what people type).

Whatever names a domain comes through here: addresses as they are accepted, filters, settings, commands, what older
versions stored. Text that has the spelling already costs two looks at it; the rest is remembered, up to a bound.
"""

import re
from functools import lru_cache

import idna

LONGEST_DOMAIN = 255
"""RFC 5321 §4.5.3.1.2, octets. Longer text is no domain."""

_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
MAIL_DOMAIN = rf"(?:{_LABEL}\.)+(?![0-9]+\Z){_LABEL}"
"""At least two labels (RFC 5321 §2.3.5: fully qualified), and the last is not a number: that would be an IP address."""
_match_mail_domain = re.compile(MAIL_DOMAIN, re.ASCII).fullmatch


def a_labels(name: str) -> str | None:
    """A name of the DNS in the one spelling, or None when it has none. What ASCII labels may hold is not judged."""
    if name.isascii() and name.islower():
        return name
    return _a_labels(name) if len(name) <= LONGEST_DOMAIN else None


@lru_cache(maxsize=4096)
def _a_labels(name: str) -> str | None:
    if name.isascii():
        return name.lower()
    try:
        return idna.encode(name, uts46=True).decode("ascii")
    except UnicodeError:  # idna.IDNAError is one
        return None


def u_labels(domain: str) -> str:
    """A domain in A-labels as people read it; as it is where it has no such form."""
    return _u_labels(domain) if len(domain) <= LONGEST_DOMAIN else domain


@lru_cache(maxsize=1024)
def _u_labels(domain: str) -> str:
    try:
        return idna.decode(domain)
    except UnicodeError:
        return domain


def mail_domain(text: str) -> str | None:
    """The domain in the one spelling, or None when no mail address can have it."""
    domain = a_labels(text)
    return domain if domain and len(domain) <= LONGEST_DOMAIN and _match_mail_domain(domain) else None


def domain_of(email: str) -> str:
    """The domain of an address in the one spelling. Of what is no address: what follows the last @, in lower case."""
    domain = email[email.rfind("@") + 1 :]
    return a_labels(domain) or domain.lower()


def spelled(email: str) -> str:
    """An address with its domain in the one spelling. The local part is its owner's, and stays (RFC 5321 §2.4)."""
    if email.isascii() and email.islower():
        return email
    local_part, at, domain = email.rpartition("@")
    return f"{local_part}@{a_labels(domain) or domain.lower()}" if at else email


def stored_spellings(email: str) -> list[str]:
    """How an address may have been stored, ASCII letters in lower case: by this version, and by older ones, which kept
    the domain as it was written."""
    domain = domain_of(email)
    local_part = email.rpartition("@")[0]
    found = {email, f"{local_part}@{domain}", f"{local_part}@{u_labels(domain)}"}
    return sorted({text.encode().lower().decode() for text in found})  # bytes: no letters but ASCII's


def spelled_names(text: str) -> str:
    """What names hosts together, in the one spelling label by label: a site (``a.example,b.example``), a relay
    (``host:25``), a pattern of them (``*.example``). A label without such a spelling stays as it is."""
    if text.isascii():
        return text.lower()
    return "".join(a_labels(label) or label for label in re.split(r"([.,:])", text))
