"""Objects that the interpreter still holds, for tests that count what is left behind."""

import gc
from typing import TypeVar

T = TypeVar("T")


def objects_of(*kinds: type[T]) -> list[T]:
    """The tracked objects whose type is one of these, or is derived from one.

    `isinstance` would also ask an object for its `__class__`. A lazy object of a library, such as Django's settings,
    loads itself when it is asked, so that a test here would fail for what another test imported.
    """
    return [one for one in gc.get_objects() if issubclass(type(one), kinds)]
