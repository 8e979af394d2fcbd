"""Name patterns with ``*``: the sites, domains, sources and tenants that a rule applies to.

``*`` matches any number of characters, also none; every other character matches itself. This module owns the notation
and its limits.
"""

import re
from collections.abc import Sequence
from enum import Enum

from cluster.policy.routes.domains import spelled_names

MOST_STARS = 4
"""Matching time grows with each star; four are enough in practice."""
LONGEST = 300


class NameKind(Enum):
    """The kind of the names, with the characters that may be in them."""

    DNS = re.compile(r"[a-z0-9._,:*\[\]-]+")
    """Sites and domains, in their normalised spelling. A relay's site is host:port."""
    OWN = re.compile(r"[A-Za-z0-9._:@+*-]+")
    """Names that the operator has given: sources, tenants."""


class Patterns:
    """Compiled once. A match is one set look-up and one regular expression for all names with stars."""

    def __init__(self, names: Sequence[str], kind: NameKind) -> None:
        """Raises ValueError, which names the pattern, when a name is not a valid pattern."""
        self.names = tuple(spelled_names(name) if kind is NameKind.DNS else name for name in names)
        for name in self.names:
            _check(name, kind)
        starred = [_regex(name) for name in self.names if "*" in name]
        self._whole = frozenset(name for name in self.names if "*" not in name)
        self._starred = re.compile("|".join(starred)) if starred else None

    def matches(self, name: str) -> bool:
        return name in self._whole or (self._starred is not None and self._starred.fullmatch(name) is not None)

    def __str__(self) -> str:
        return ", ".join(self.names)


def _check(name: str, kind: NameKind) -> None:
    if not name.isascii():
        raise ValueError(f"{name!r} must be written as the DNS has it (xn--…), or without a * inside that label")
    if not kind.value.fullmatch(name) or len(name) > LONGEST:
        raise ValueError(f"{name!r} is not a name; only * stands for other characters")
    if name.count("*") > MOST_STARS:
        raise ValueError(f"{name!r} has more than {MOST_STARS} stars")
    if kind is NameKind.DNS and (name.startswith(".") or name.endswith(".")):
        raise ValueError(f"{name!r} must neither begin nor end with a dot")


def _regex(name: str) -> str:
    return ".*".join(re.escape(part) for part in name.split("*"))
