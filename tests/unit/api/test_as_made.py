"""Nothing that a test leaves in a shared application reaches the next one."""

from collections import OrderedDict, deque
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from tests.unit.api.as_made import AsMade
from tests.unit.api.conftest import World
from tests.unit.api.operating import Operating


class Slotted:
    __slots__ = ("number",)

    def __init__(self) -> None:
        self.number = 1


class Held:
    def __init__(self) -> None:
        self.number = 1
        self.lists: dict[str, list[int]] = {"a": [1], "b": [2]}
        self.kept: OrderedDict[str, int] = OrderedDict(a=1, b=2)
        self.waiting = deque([1, 2], maxlen=3)
        self.names = {"a"}
        self.slotted = Slotted()
        self.calls = SimpleNamespace(one=1)
        self.count = counter()


def counter() -> Callable[[], int]:
    counted = 0

    def count() -> int:
        nonlocal counted
        counted += 1
        return counted

    return count


def seen(held: Held) -> list[Any]:
    state = {name: value for name, value in vars(held).items() if name not in ("slotted", "calls", "count")}
    return [repr(state), held.slotted.number, repr(held.calls), held.count()]


def test_everything_is_put_back() -> None:
    made = AsMade(Held())
    before = seen(made.again())
    held = made.again()
    held.number = 2
    held.lists["a"].append(2)
    held.lists["c"] = held.lists.pop("b")
    held.kept.move_to_end("a")
    held.waiting.append(3)
    held.names.add("b")
    held.slotted.number = 2
    held.calls.one, held.calls.two = 2, 2
    held.more = 1  # type: ignore[attr-defined]
    assert seen(held) != before
    assert seen(made.again()) == before
    assert not hasattr(held, "more")


def test_what_cannot_be_put_back_is_refused() -> None:
    held = Held()
    held.numbers = iter([1])  # type: ignore[attr-defined]
    with pytest.raises(AssertionError, match="iterator"):
        AsMade(held)


async def test_the_applications_keep_nothing(made_world: AsMade[World], made_operating: AsMade[Operating]) -> None:
    world, operating = made_world.again(), made_operating.again()
    batch_id = await world.journal.batches.create("tnt_acme")
    world.app.state.body_budget = operating.app.state.seen = batch_id
    operating.gone.add("delivery-0-0")
    world, operating = made_world.again(), made_operating.again()
    assert not world.journal.known_batches and not operating.gone
    assert world.app.state.body_budget != batch_id and "seen" not in operating.app.state
