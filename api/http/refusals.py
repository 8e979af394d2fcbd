"""What can be wrong with a request, as values and exceptions; errors.py makes answers of them.

Apart from the web framework, so that a process that only checks requests need not load it. Each survives pickling.
"""

from collections.abc import Iterable, Sequence
from typing import Self

from msgspec import Struct

MOST_FAULTS = 100
"""Faults that a request is searched for; more than anybody reads."""


class Fault(Struct, frozen=True):
    """One thing that is wrong with a request."""

    message: str
    field: str | None = None
    """Where, as in ``personalizations[3].to[0].email``."""
    help: str | None = None


class Enough(Exception):
    """As many faults as are listed were found: the search ends."""


class Faults(list[Fault]):
    """The faults of one request, at most ``MOST_FAULTS``: one more raises Enough, after a last word that says so."""

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
    """A request that is answered with an error. ``detail`` is for its sender to read."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class Invalid(Refusal):
    """The request breaks rules; all of them are named."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        first = faults[0]
        text = f"{first.field}: {first.message}" if first.field else first.message
        super().__init__(text if len(faults) == 1 else f"{text} (and {len(faults) - 1} more)")
        self.args = (faults,)
        self.faults = faults


class Unparseable(Refusal):
    """The body is not JSON, or not of the types that the request has."""

    def __init__(self, message: str, kind: str, place: tuple[str | int, ...] = ()) -> None:
        """``place``: names and indices that lead to what is wrong; empty where that is the body itself."""
        super().__init__(message)
        self.args = (message, kind, place)
        self.kind = kind
        self.place = place


class Unauthenticated(Refusal):
    """No key, or none that is known."""


class Forbidden(Refusal):
    """The key is known and may not do this."""

    def __init__(self, detail: str, field: str | None = None) -> None:
        """``field``: of the request, where that is what may not be."""
        super().__init__(detail)
        self.args = (detail, field)
        self.field = field


class NotFound(Refusal):
    """Nothing there that this tenant can see."""


class Stalled(Refusal):
    """The client stopped sending its body."""


class TooLarge(Refusal):
    """The body is longer than the limit; the rest of it is not read."""


class UnsupportedMedia(Refusal):
    """The body is in a form that this route does not read."""
