"""Which texts are e-mail addresses, and where they go. Pure.

RFC 5321 §4.1.2 (Mailbox; no address literals: mail goes to domains) and §4.5.3.1 (lengths), RFC 6531 §3.3
(internationalised addresses), RFC 5891 (A-labels). A domain has at least two labels and its last is not a number.
"""

import re
from functools import lru_cache

import idna

LONGEST_LOCAL_PART = 64
LONGEST_DOMAIN = 255
LONGEST_ADDRESS = 254
"""RFC 5321 §4.5.3.1.3: a path has 256 octets, two of them its angle brackets."""

_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_DOMAIN = rf"(?:{_LABEL}\.)+(?![0-9]+\Z){_LABEL}"
_ATEXT = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]"
_match_plain = re.compile(rf"(?=[^@]{{1,64}}@){_ATEXT}+(?:\.{_ATEXT}+)*@{_DOMAIN}", re.ASCII).fullmatch
_match_domain = re.compile(_DOMAIN, re.ASCII).fullmatch

# Atoms as RFC 6531 widens them, or a quoted string (RFC 5321 §4.1.2).
_UATEXT = r"(?:[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]|[^\x00-\x7f])"
_match_local_part = re.compile(
    rf'{_UATEXT}+(?:\.{_UATEXT}+)*|"(?:[^\x00-\x1f\x7f"\\]|\\[\x20-\x7e])*"', re.ASCII
).fullmatch


def is_address(email: str) -> bool:
    """Whether mail can be sent to this address. Quick for what nearly all addresses are: ASCII, and not quoted."""
    if _match_plain(email) is not None:
        return len(email) <= LONGEST_ADDRESS
    return _is_unusual_address(email)


def _is_unusual_address(email: str) -> bool:
    if len(email) > LONGEST_ADDRESS:
        return False
    local_part, at, domain = email.rpartition("@")
    if not at or not _match_local_part(local_part) or not local_part.isprintable():
        return False
    if len(local_part.encode()) > LONGEST_LOCAL_PART:
        return False
    ascii_domain = a_labels(domain)
    return ascii_domain is not None and len(local_part.encode()) + 1 + len(ascii_domain) <= LONGEST_ADDRESS


def domain_of(email: str) -> str:
    """The domain of a valid address: A-labels, lower case."""
    domain = email[email.rindex("@") + 1 :].lower()
    if domain.isascii():
        return domain
    ascii_domain = a_labels(domain)
    assert ascii_domain is not None
    return ascii_domain


@lru_cache(maxsize=4096)
def a_labels(domain: str) -> str | None:
    """The domain's A-labels in lower case, or None when it is not a domain name."""
    if len(domain) > LONGEST_DOMAIN:
        return None
    if not domain.isascii():
        try:
            domain = idna.encode(domain, uts46=True).decode("ascii")
        except UnicodeError:  # idna.IDNAError is one
            return None
    return domain.lower() if len(domain) <= LONGEST_DOMAIN and _match_domain(domain) else None
