"""The form of all texts of a message together, where all of them have holes.

A request's messages have the same parts but for what is in the holes. Once two of them came one after the other, the
parts and the boundaries between them are made one form (``parts.multipart_form``): a message's values are then looked
at once, and its body is joined once. What that makes is what encoding each part by itself makes.
"""

from collections.abc import Callable, Sequence

from actors.compose.holed import Filling, Holed
from actors.compose.parts import Form


class Together:
    """Keeps the form of a request's parts. ``make``: makes it; None if the parts must be encoded one by one."""

    __slots__ = ("_cuts", "_last", "_make", "kept")

    def __init__(self, make: Callable[[Sequence[Filling]], Form | None]) -> None:
        self._make = make
        self._last: list[Holed] = []
        """The parts of the last message."""
        self._cuts: list[Holed] = []
        """The parts whose form is made: the first that came twice. Most requests have no others."""
        self.kept: Form | None = None
        """Their form, if it is made and there is one."""

    def form(self, fillings: Sequence[Filling]) -> Form | None:
        """The form of these parts."""
        cuts = [one.cut for one in fillings]
        if cuts == self._cuts:
            return self.kept
        if not self._cuts and cuts == self._last:
            self.kept = self._make(fillings)
            self._cuts = cuts  # after its form: a large message is composed in a thread
            return self.kept
        # What is changed as a whole is a message's own, and not kept.
        self._last = [] if any(cut.form is None for cut in cuts) else cuts
        return None
