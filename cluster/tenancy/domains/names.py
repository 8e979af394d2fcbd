"""Which names may be sender domains, return paths and DKIM selectors. Pure."""

import re
from functools import cache

from publicsuffixlist import PublicSuffixList

from cluster.policy.routes.domains import mail_domain

DEFAULT_SUBDOMAIN = "bounces"
DEFAULT_SELECTOR = "postray"
"""Of the first key; further ones are "postray2", "postray3" and so on."""
LONGEST_SELECTOR = 20
_LONGEST_NAME = 253
_LABELS = re.compile(r"(?!-)[a-z0-9-]{1,63}(?<!-)(?:\.(?!-)[a-z0-9-]{1,63}(?<!-))*", re.ASCII)
_SELECTOR = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?", re.ASCII)


class BadName(Exception):
    """The name cannot be used; the message says why."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def sender_domain(text: str) -> str:
    """A sender domain in A-labels. Raises BadName for what is not a domain of mail addresses, and for a public suffix,
    such as co.uk, under which others register theirs."""
    name = mail_domain(text.strip(" ").removesuffix("."))
    if name is None:
        raise BadName(f"{text[:80]!r} is not a domain such as example.com")
    if is_public_suffix(name):
        raise BadName(f"{name} is a public suffix: others register their domains below it")
    return name


def subdomain_label(text: str, domain: str) -> str:
    """The label, or the labels, of a return path below ``domain``. Raises BadName."""
    label = text.strip(" ").lower()
    if not _LABELS.fullmatch(label):
        raise BadName(f"{text[:80]!r} is not a label of letters, digits and hyphens, such as bounces")
    if len(label) + 1 + len(domain) > _LONGEST_NAME:
        raise BadName("the host of the return path is longer than 253 characters")
    return label


def selector(text: str) -> str:
    """The first selector of a domain. Raises BadName."""
    name = text.strip(" ").lower()
    if len(name) > LONGEST_SELECTOR or not _SELECTOR.fullmatch(name):
        raise BadName(f"a selector is 1 to {LONGEST_SELECTOR} letters and digits")
    return name


def next_selectors(taken: list[str], count: int) -> list[str]:
    """Further selectors of a domain: the first of ``taken``, the oldest, with the lowest numbers that are free."""
    stem = taken[0]
    numbered = (f"{stem}{number}" for number in range(2, 2 + len(taken) + count))
    return [name for name in numbered if name not in taken][:count]


def organisational_domain(domain: str) -> str:
    """The domain that was registered (RFC 7489 §3.2): example.co.uk of a.b.example.co.uk. A public suffix is its
    own."""
    found = _suffixes().privatesuffix(domain)
    return str(found) if found else domain


def is_public_suffix(domain: str) -> bool:
    """Whether a registry runs the domain for others. The owner of a name of the list's private part, such as github.io,
    may send from it. The first call reads the list, which takes 0.1 s."""
    return bool(_registries().publicsuffix(domain, accept_unknown=False) == domain)


@cache
def _suffixes() -> PublicSuffixList:
    return PublicSuffixList()


@cache
def _registries() -> PublicSuffixList:
    return PublicSuffixList(only_icann=True)
