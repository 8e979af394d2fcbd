"""Finds the known names that a typed text may mean: sites, tenants, pools, keys of settings."""

from collections.abc import Collection, Iterable
from difflib import get_close_matches

LEAST_LIKENESS = 0.5
"""Least similarity of two spellings, as difflib measures it; equal spellings have 1."""


def beginning_with(text: str, names: Iterable[str]) -> list[str]:
    """The names that begin with this text, sorted; an exact match is returned alone."""
    found = sorted({name for name in names if text and name.startswith(text)})
    return [text] if text in found else found


def nearest(text: str, names: Collection[str], most: int) -> tuple[str, ...]:
    """At most ``most`` names that the text may mean, the likeliest first: names that contain it, then names with a
    similar spelling."""
    within = sorted((name for name in names if text and text in name), key=lambda name: (len(name), name))
    alike = get_close_matches(text, sorted(names), n=most, cutoff=LEAST_LIKENESS)
    return tuple(dict.fromkeys([*within, *alike]))[:most]
