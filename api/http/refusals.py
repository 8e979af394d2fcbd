"""Faults and refusals of a request, as values and exceptions; errors.py converts them to responses.

This module is independent of the web framework, so that the worker process need not load it. The exceptions survive
pickling.
"""

from collections.abc import Iterable, Sequence
from typing import Self

from msgspec import Struct

from api.http import help_texts

MOST_FAULTS = 100
"""The most faults that are reported for a request."""


class Fault(Struct, frozen=True):
    """One fault of a request."""

    message: str
    field: str | None = None
    """The path, such as ``personalizations[3].to[0].email``."""
    help: str | None = None


class Enough(Exception):
    """``MOST_FAULTS`` were found: the check ends."""


class Faults(list[Fault]):
    """The faults of one request, at most ``MOST_FAULTS``. One more adds a last entry for it, and raises Enough."""

    def append(self, fault: Fault, /) -> None:
        """Raises Enough."""
        if len(self) >= MOST_FAULTS:
            if len(self) == MOST_FAULTS:
                super().append(Fault(f"There are more faults; the first {MOST_FAULTS} are listed"))
            raise Enough
        super().append(fault)

    def extend(self, faults: Iterable[Fault], /) -> None:
        """Raises Enough."""
        for fault in faults:
            self.append(fault)

    def __iadd__(self, faults: Iterable[Fault], /) -> Self:  # type: ignore[misc, override]  # list takes more
        self.extend(faults)
        return self


class Refusal(Exception):
    """A request that is answered with an error; all three attributes are shown to the client."""

    help: str | None = None
    """The way out (help.py); a class's own is for refusals of its kind that have no better one."""

    def __init__(self, detail: str, field: str | None = None, help: str | None = None) -> None:
        """``field`` is the field of the request that the refusal is about, if there is one."""
        super().__init__(detail)
        self.detail = detail
        self.field = field
        if help is not None:
            self.help = help


class Invalid(Refusal):
    """The request has faults; all of them are listed."""

    def __init__(self, faults: Sequence[Fault], ignored: str = "") -> None:
        """``ignored`` is the value of X-Postray-Ignored, where the request is not in the hands of the web framework."""
        first = faults[0]
        text = f"{first.field}: {first.message}" if first.field else first.message
        super().__init__(text if len(faults) == 1 else f"{text} (and {len(faults) - 1} more)")
        self.args = (faults, ignored)
        self.faults = faults
        self.ignored = ignored


class Unparseable(Refusal):
    """The body is not JSON, or not of the types that the request has."""

    help = help_texts.SCHEMA

    def __init__(self, message: str, kind: str, place: tuple[str | int, ...] = ()) -> None:
        """``place`` is the path of the fault as names and indices; empty for the body itself."""
        super().__init__(message)
        self.args = (message, kind, place)
        self.kind = kind
        self.place = place


class Unauthenticated(Refusal):
    """There is no key, or it is unknown."""

    help = help_texts.KEY


class Forbidden(Refusal):
    """The key is known and may not do this."""


class NotFound(Refusal):
    """This tenant has no such resource."""


class Conflict(Refusal):
    """The request contradicts the state of something that exists."""


class Stalled(Refusal):
    """The client stopped sending its body."""

    help = help_texts.STEADY


class TooLarge(Refusal):
    """The body is longer than the limit; the rest of it is not read."""

    help = help_texts.SMALLER


class UnsupportedMedia(Refusal):
    """The route does not accept the type or encoding of the body."""

    help = help_texts.MEDIA_TYPE
