"""Checks whether a text is an e-mail address. Pure.

RFC 5321 §4.1.2 (Mailbox; no address literals: mail goes to domains) and §4.5.3.1 (lengths), RFC 6531 §3.3
(internationalised addresses). The rules for domains and their spelling are in cluster/policy/routes/domains.py.
"""

import re

from cluster.policy.routes.domains import MAIL_DOMAIN, mail_domain

LONGEST_LOCAL_PART = 64
LONGEST_ADDRESS = 254
"""RFC 5321 §4.5.3.1.3: a path has at most 256 octets, including its two angle brackets."""

_ATEXT = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]"
_match_plain = re.compile(rf"(?=[^@]{{1,64}}@){_ATEXT}+(?:\.{_ATEXT}+)*@{MAIL_DOMAIN}", re.ASCII).fullmatch

# Atoms with the extension of RFC 6531, or a quoted string (RFC 5321 §4.1.2).
_UATEXT = r"(?:[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]|[^\x00-\x7f])"
_match_local_part = re.compile(
    rf'{_UATEXT}+(?:\.{_UATEXT}+)*|"(?:[^\x00-\x1f\x7f"\\]|\\[\x20-\x7e])*"', re.ASCII
).fullmatch


_JOINERS = "\u200c\u200d"
"""The invisible characters that a domain's label may contain (RFC 5892 §A.1 and §A.2)."""
_AROUND = " \t\r\n\u00a0\u2028\u2029\u200b\u200c\u200d\u2060\u3000\ufeff"
"""White space and invisible characters, which often come with copied text."""


def bare(email: str) -> str:
    """``email`` without surrounding white space."""
    return email.strip(_AROUND)


def is_address(email: str) -> bool:
    """Whether mail can be sent to this address. It is fast for nearly all addresses, which are ASCII and not quoted."""
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
    if any(not character.isprintable() and character not in _JOINERS for character in domain):
        return False
    ascii_domain = mail_domain(domain)
    return ascii_domain is not None and len(local_part.encode()) + 1 + len(ascii_domain) <= LONGEST_ADDRESS
