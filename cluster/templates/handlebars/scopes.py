"""What the names in a template mean at one place of it: the compiler's variables there, and which of them hold the root
of the data. Pure."""

from collections.abc import Mapping
from enum import Enum, auto

from msgspec import Struct
from msgspec.structs import replace


class Holds(Enum):
    """What a block parameter is."""

    CONTEXT = auto()
    """The context of its block."""
    KEY = auto()
    """The key in the frame of its loop."""
    NOTHING = auto()


class Runs(Enum):
    """How a block runs with a context of its own."""

    LOOP = auto()
    """Once for each item, with a frame."""
    ONCE = auto()
    """Once, without a frame."""
    EITHER = auto()
    """As a loop if its value is an array, else once, and then its block parameters are undefined."""


class Param(Struct, frozen=True):
    """A block parameter."""

    holds: Holds
    context: str
    frame: str
    outer_frame: str | None
    """Where the block is not a loop, its frame is this one, and the parameter is undefined."""
    is_root: bool


class Scope(Struct, frozen=True):
    """The variables at one place. ``depths`` and ``frame`` are those of ``running``."""

    level: int = 0
    context: str = "c0"
    depths: str = "d0"
    frame: str = "f0"
    params: Mapping[str, Param] = {}
    roots: tuple[bool, ...] = (True,)
    """Whether ``this``, ``../this``, ``../../this`` … are the root of the data."""
    is_subject: bool = False
    """Whether handlebars.js puts an object in the place of a ``this`` that is null, as it does for helpers."""

    def of_helper(self) -> "Scope":
        """The scope of a branch that a helper runs with its ``this``."""
        return replace(self, is_subject=self.level > 0)

    def inner(self, names: tuple[str, ...], runs: Runs, *, is_root: bool) -> "Scope":
        """The scope of a block that runs with a context of its own. ``names``: its block parameters."""
        level = self.level + 1
        context = f"c{level}"
        frame = self.frame if runs is Runs.ONCE else f"f{level}"
        kinds = [Holds.CONTEXT, Holds.NOTHING if runs is Runs.ONCE else Holds.KEY]
        params = dict(self.params)
        for i, name in enumerate(names):
            holds = kinds[i] if i < len(kinds) else Holds.NOTHING
            params[name] = Param(holds, context, frame, self.frame if runs is Runs.EITHER else None, is_root)
        return Scope(
            level=level,
            context=context,
            depths=f"d{level}",
            frame=frame,
            params=params,
            roots=(is_root, *self.roots),
        )
