"""Which sites an operator means."""

import re
from fnmatch import fnmatchcase


def matches(pattern: str, site: str) -> bool:
    """Whether a site is meant: "" means all, with ``*`` or ``?`` it is matched as a whole, else it has this in it."""
    pattern, site = pattern.lower(), site.lower()
    if "*" in pattern or "?" in pattern:
        return fnmatchcase(site, pattern)
    return pattern in site


def literal(pattern: str) -> str:
    """The longest part of a pattern that every site it means has in its name."""
    return max(re.split(r"[*?\[\]]", pattern.lower()), key=len)
