"""Texts with holes: what stands between the holes, and what goes into them. Pure."""

from collections.abc import Callable, Hashable, Sequence
from operator import itemgetter
from typing import Any


def joined(literals: Sequence[str], values: Sequence[str]) -> str:
    """The literals with the values between them: one value less than there are literals."""
    pieces = [""] * (len(literals) + len(values))
    pieces[::2] = literals
    pieces[1::2] = values
    return "".join(pieces)


def getter(keys: Sequence[Hashable]) -> Callable[[Any], tuple[Any, ...]]:
    """A function that gives the values of all keys, from a mapping, or from a sequence whose keys are its indices."""
    if len(keys) > 1:
        return itemgetter(*keys)
    if not keys:
        return lambda _values: ()
    (key,) = keys
    return lambda values: (values[key],)
