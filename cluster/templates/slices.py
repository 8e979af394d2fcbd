"""Long texts are worked on in slices: a call of a regular expression holds the interpreter until it returns, and so the
event loop of a process in whose thread it runs. Pure."""

from collections.abc import Iterator

SLICE = 64 * 1024
"""Characters; some milliseconds of a search."""


def slices(text: str) -> Iterator[tuple[int, int]]:
    """The beginning and the end of each slice; an empty text has one."""
    for begin in range(0, max(len(text), 1), SLICE):
        yield begin, begin + SLICE
