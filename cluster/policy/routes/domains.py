"""The normalised spelling of domains: A-labels, lower case (RFC 5890 §2.3.2.1; UTS 46 maps what people type).

Every domain name passes through this module: addresses at acceptance, filters, settings, commands, values stored by
older versions. Text that is normalised already costs two checks; other results are cached, up to a limit.
"""

import re
from functools import lru_cache

import idna

LONGEST_DOMAIN = 255
"""RFC 5321 §4.5.3.1.2, octets. A longer text is not a domain."""

_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
MAIL_DOMAIN = rf"(?:{_LABEL}\.)+(?![0-9]+\Z){_LABEL}"
"""At least two labels (RFC 5321 §2.3.5: fully qualified), and the last is not a number: that would be an IP address."""
_match_mail_domain = re.compile(MAIL_DOMAIN, re.ASCII).fullmatch


def a_labels(name: str) -> str | None:
    """A DNS name in the normalised spelling, or None when it has none. The content of ASCII labels is not checked."""
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
    """A domain in A-labels as people read it; unchanged when it has no such form."""
    return _u_labels(domain) if len(domain) <= LONGEST_DOMAIN else domain


@lru_cache(maxsize=1024)
def _u_labels(domain: str) -> str:
    try:
        return idna.decode(domain)
    except UnicodeError:
        return domain


def mail_domain(text: str) -> str | None:
    """The domain in the normalised spelling, or None when it is not valid in a mail address."""
    domain = a_labels(text)
    return domain if domain and len(domain) <= LONGEST_DOMAIN and _match_mail_domain(domain) else None


def parents(domain: str) -> list[str]:
    """The domains above a domain, the closest first: example.co.uk, co.uk and uk of a.example.co.uk."""
    labels = domain.split(".")
    return [".".join(labels[first:]) for first in range(1, len(labels))]


def domain_of(email: str) -> str:
    """The domain of an address, normalised. For other text: the part after the last @, in lower case."""
    domain = email[email.rfind("@") + 1 :]
    return a_labels(domain) or domain.lower()


def spelled(email: str) -> str:
    """An address with its domain normalised. The local part stays as it is: it is case-sensitive (RFC 5321 §2.4)."""
    if email.isascii() and email.islower():
        return email
    local_part, at, domain = email.rpartition("@")
    return f"{local_part}@{a_labels(domain) or domain.lower()}" if at else email


def stored_spellings(email: str) -> list[str]:
    """The spellings under which an address may be stored, ASCII letters in lower case: this version's, and those of
    older versions, which kept the domain as written."""
    domain = domain_of(email)
    local_part = email.rpartition("@")[0]
    found = {email, f"{local_part}@{domain}", f"{local_part}@{u_labels(domain)}"}
    return sorted({text.encode().lower().decode() for text in found})  # bytes: lower only ASCII letters


def spelled_names(text: str) -> str:
    """A name of hosts, normalised label by label: a site (``a.example,b.example``), a relay (``host:25``) or a pattern
    (``*.example``). A label without a normalised spelling stays as it is."""
    if text.isascii():
        return text.lower()
    return "".join(a_labels(label) or label for label in re.split(r"([.,:])", text))
