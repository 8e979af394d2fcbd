"""Which known names a text may mean that somebody typed: sites, tenants, pools, keys of settings."""

from collections.abc import Collection, Iterable
from difflib import get_close_matches

LEAST_LIKENESS = 0.5
"""Of two spellings, as difflib measures it: 1 is the same."""


def beginning_with(text: str, names: Iterable[str]) -> list[str]:
    """The names with this beginning, in order; one that is the text itself is alone."""
    found = sorted({name for name in names if text and name.startswith(text)})
    return [text] if text in found else found


def nearest(text: str, names: Collection[str], most: int) -> tuple[str, ...]:
    """At most so many names that a text may have been meant for, the likeliest first: those that have it in them, then
    those that are spelled alike."""
    within = sorted((name for name in names if text and text in name), key=lambda name: (len(name), name))
    alike = get_close_matches(text, sorted(names), n=most, cutoff=LEAST_LIKENESS)
    return tuple(dict.fromkeys([*within, *alike]))[:most]
