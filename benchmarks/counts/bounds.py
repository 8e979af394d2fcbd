"""Bounds of counts, read from TOML, and what a count is by its bound. Pure.

A bound has two sides. A count above it is a regression; one far below it is a gain that the next regression would eat
up unseen, until somebody tightens the bound.
"""

import re
import tomllib
from collections.abc import Mapping
from enum import StrEnum

import msgspec
from msgspec import Struct

from benchmarks.counts.telling import Counts

LOOSE = 0.5
"""A count below this share of its bound leaves the bound too loose."""
HEADROOM = 1.15
"""What a bound is given above its count when it is tightened: counts of calls move a little by themselves."""
_BOUND = re.compile(r'^\["([^"\n]+)"\]\nat_most = ([0-9.]+)$(?!\nat_least)', re.MULTILINE)


class Bound(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Of one count."""

    at_most: float
    why: str
    at_least: float | None = None
    """Half of ``at_most`` where nothing is said: for counts that are small or depend on how things fall."""

    @property
    def floor(self) -> float:
        return self.at_most * LOOSE if self.at_least is None else self.at_least


class Verdict(StrEnum):
    """What a count is by its bound."""

    WITHIN = "within"
    ABOVE = "above its bound"
    LOOSE = "so far below that its bound must be tightened"
    GONE = "not counted any more: its bound must go"
    UNBOUNDED = ""


BROKEN = frozenset({Verdict.ABOVE, Verdict.LOOSE, Verdict.GONE})


class Judged(Struct, frozen=True):
    """A count, its bound, and what it is by that."""

    name: str
    count: float | None
    bound: Bound | None
    verdict: Verdict


def read(text: str) -> dict[str, Bound]:
    """Bounds by the names of their counts. Raises tomllib.TOMLDecodeError, msgspec.ValidationError."""
    return msgspec.convert(tomllib.loads(text), dict[str, Bound])


def judge(counts: Counts, bounds: Mapping[str, Bound]) -> list[Judged]:
    """Every count and every bound, in the order of the counts."""
    found = [Judged(name, count, bounds.get(name), _verdict(count, bounds.get(name))) for name, count in counts.items()]
    gone = [Judged(name, None, bound, Verdict.GONE) for name, bound in bounds.items() if name not in counts]
    return found + gone


def _verdict(count: float, bound: Bound | None) -> Verdict:
    if bound is None:
        return Verdict.UNBOUNDED
    if count > bound.at_most:
        return Verdict.ABOVE
    return Verdict.LOOSE if count < bound.floor else Verdict.WITHIN


def tightened(text: str, counts: Counts) -> str:
    """The TOML of bounds with each as low as its count allows. None is raised, which takes somebody with a reason; nor
    is one changed that says at_least, for its count may be low by chance."""

    def tight(match: re.Match[str]) -> str:
        name, at_most = match[1], float(match[2])
        lower = float(f"{counts.get(name, at_most) * HEADROOM:.3g}")
        return f'["{name}"]\nat_most = {lower:g}' if 0 < lower < at_most else match[0]

    return _BOUND.sub(tight, text)
