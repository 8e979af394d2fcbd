"""What processes of different releases say to each other, side by side in one cluster.

What passes between actors is a ``Form``: it is pickled by the names of its fields, and what is unpickled ignores fields
that it does not know, and has its defaults for those that are missing. So a later release may add fields with defaults.
What is stored or encoded with msgspec has the same rule by itself. Whatever else changes (a field that goes, gets
another type or another meaning, a method of an actor that goes, the name that each process makes of the same ring, a
migration that older statements cannot work with) makes a new number of the forms: one higher where the release before
still works beside it, two where it does not. Recorded forms of each number are kept (tests/recorded), and a
test reads them.
"""

from typing import Any

from msgspec import Struct

FORMS = 1
"""The number of the present forms."""
READABLE_BACK = 1
"""A release reads the forms of so many numbers before its own, and writes what these read."""


class Form(Struct, frozen=True):
    """What passes between actors."""

    def __reduce__(self) -> tuple[Any, ...]:
        return made, (type(self), {name: getattr(self, name) for name in self.__struct_fields__})


def made(form: type[Form], fields: dict[str, Any]) -> Form:
    """The form, without the fields that this release does not know."""
    known = form.__struct_fields__
    return form(**{name: value for name, value in fields.items() if name in known})


def work_together(ours: int, theirs: int) -> bool:
    """Whether processes with these numbers understand each other."""
    return abs(ours - theirs) <= READABLE_BACK
