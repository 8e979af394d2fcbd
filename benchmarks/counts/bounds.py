"""Bounds of counts, read from TOML, and the verdict on a count. Pure.

A bound has two sides. A count above it is a regression. A count far below it is a gain, which the next regression would
use up unnoticed until the bound is tightened.
"""

import re
import tomllib
from collections.abc import Mapping
from enum import StrEnum

import msgspec
from msgspec import Struct

from benchmarks.counts.telling import Counts

LOOSE = 0.5
"""A count below this share of its bound makes the bound too loose."""
HEADROOM = 1.15
"""A tightened bound is this factor above its count: counts of calls vary a little."""
_BOUND = re.compile(r'^\["([^"\n]+)"\]\nat_most = ([0-9.]+)$(?!\nat_least)', re.MULTILINE)


class Bound(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The bound of one count."""

    at_most: float
    why: str
    at_least: float | None = None
    """Half of ``at_most`` by default; set it for counts that are small or vary by chance."""

    @property
    def floor(self) -> float:
        return self.at_most * LOOSE if self.at_least is None else self.at_least


class BoundVerdict(StrEnum):
    """The verdicts on a count."""

    WITHIN = "within"
    ABOVE = "above its bound"
    LOOSE = "so far below that its bound must be tightened"
    GONE = "not counted any more: its bound must go"
    UNBOUNDED = ""


BROKEN = frozenset({BoundVerdict.ABOVE, BoundVerdict.LOOSE, BoundVerdict.GONE})


class Judged(Struct, frozen=True):
    """A count with its bound and its verdict."""

    name: str
    count: float | None
    bound: Bound | None
    verdict: BoundVerdict


def read(text: str) -> dict[str, Bound]:
    """Bounds by the names of their counts. Raises tomllib.TOMLDecodeError, msgspec.ValidationError."""
    return msgspec.convert(tomllib.loads(text), dict[str, Bound])


def judge(counts: Counts, bounds: Mapping[str, Bound]) -> list[Judged]:
    """The verdict on every count, in order, then on every bound without a count."""
    found = [Judged(name, count, bounds.get(name), _verdict(count, bounds.get(name))) for name, count in counts.items()]
    gone = [Judged(name, None, bound, BoundVerdict.GONE) for name, bound in bounds.items() if name not in counts]
    return found + gone


def _verdict(count: float, bound: Bound | None) -> BoundVerdict:
    if bound is None:
        return BoundVerdict.UNBOUNDED
    if count > bound.at_most:
        return BoundVerdict.ABOVE
    return BoundVerdict.LOOSE if count < bound.floor else BoundVerdict.WITHIN


def tightened(text: str, counts: Counts) -> str:
    """The TOML of bounds, each lowered to just above its count. No bound is raised: that is a decision with a reason.
    A bound with at_least does not change, as its count may be low by chance."""

    def tight(match: re.Match[str]) -> str:
        name, at_most = match[1], float(match[2])
        lower = float(f"{counts.get(name, at_most) * HEADROOM:.3g}")
        return f'["{name}"]\nat_most = {lower:g}' if 0 < lower < at_most else match[0]

    return _BOUND.sub(tight, text)
