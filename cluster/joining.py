"""Texts with holes: what stands between the holes, and what goes into them. Pure."""

from collections.abc import Sequence


def joined(literals: Sequence[str], values: Sequence[str]) -> str:
    """The literals with the values between them: one value less than there are literals."""
    pieces = [""] * (len(literals) + len(values))
    pieces[::2] = literals
    pieces[1::2] = values
    return "".join(pieces)
