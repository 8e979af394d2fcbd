"""What takes long to make is made once, and each test gets it in the state in which it was made.

Making an application, with its two hundred routes, takes longer than most tests that call it. What a library made of
the routes stays; what our code keeps is put back: the attributes of our objects, the containers in them, and the
variables of closures.
"""

import gc
from collections import deque
from collections.abc import Callable, Iterator
from types import CellType, FunctionType, ModuleType, SimpleNamespace
from typing import Any, Generic, TypeVar

import msgspec

T = TypeVar("T")
PutBack = Callable[[], None]
OURS = ("analytics.", "api.", "cluster.", "tests.")
HELD = ("asyncio.locks", "litestar.datastructures.")
"""Modules of libraries whose objects hold what our code gives them."""
ELSEWHERE = ("_pytest.", "logging", "pluggy.", "threading")
"""Modules whose objects lead to what is not of the object alone."""


class AsMade(Generic[T]):
    """An object, and the state of all that can be reached from it."""

    def __init__(self, made: T) -> None:
        self._made = made
        self._put_back = [put_back for found in _reached(made) for put_back in _state(found)]

    def again(self) -> T:
        """The object, as it was made."""
        for put_back in self._put_back:
            put_back()
        return self._made


def _reached(root: object) -> Iterator[object]:
    """Everything that can be reached from an object, each once, but for modules and types and what they hold."""
    seen, ahead = {id(root)}, [root]
    while ahead:
        found = ahead.pop()
        yield found
        for one in _held(found):
            if id(one) not in seen and not isinstance(one, type | ModuleType) and not _is_of(one, ELSEWHERE):
                seen.add(id(one))
                ahead.append(one)


def _held(found: object) -> list[Any]:
    if isinstance(found, FunctionType):  # but not the variables of its module
        return [*(found.__closure__ or ()), *(found.__defaults__ or ()), *(found.__kwdefaults__ or {}).values()]
    return gc.get_referents(found)


def _is_of(found: object, modules: tuple[str, ...]) -> bool:
    return type(found).__module__.startswith(modules)


def _state(found: object) -> Iterator[PutBack]:
    """How to put back what an object holds now."""
    if isinstance(found, FunctionType):
        if found.__module__.startswith(OURS):
            yield from map(_of_cell, found.__closure__ or ())
    elif isinstance(found, SimpleNamespace) or _is_of(found, (*OURS, *HELD)):
        yield from _of_attributes(found)
        held = [*vars(found).values()] if hasattr(found, "__dict__") else []
        held += [getattr(found, name) for name in _slots(found)]
        while held:
            one = held.pop()
            assert not isinstance(one, Iterator), f"{type(found).__name__} holds an iterator, which cannot be put back"
            if (put_back := _of_container(one)) is not None:
                yield put_back
                held += one.values() if isinstance(one, dict) else one


def _of_attributes(found: Any) -> Iterator[PutBack]:
    if hasattr(found, "__dict__"):
        put_back = _of_container(vars(found))
        assert put_back is not None
        yield put_back
    if not (isinstance(found, msgspec.Struct) and type(found).__struct_config__.frozen):
        for name in _slots(found):
            yield _of_slot(found, name, getattr(found, name))


def _slots(found: object) -> list[str]:
    names = (name for kind in type(found).__mro__ for name in vars(kind).get("__slots__", ()))
    return [name for name in names if name not in ("__dict__", "__weakref__") and hasattr(found, name)]


def _of_slot(found: object, name: str, value: object) -> PutBack:
    return lambda: object.__setattr__(found, name, value)


def _of_cell(cell: CellType) -> PutBack:
    value = cell.cell_contents

    def put_back() -> None:
        cell.cell_contents = value

    return put_back


def _of_container(found: Any) -> PutBack | None:
    match found:
        case dict() | set():
            kept = found.copy()

            def refill() -> None:
                if found or kept:
                    found.clear()
                    found.update(kept)

            return refill
        case list() | deque():
            items = list(found)

            def refill_in_order() -> None:
                found.clear()
                found.extend(items)

            return refill_in_order
    return None
