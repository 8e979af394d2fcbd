"""Kinds of mail that are measured in turn."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest

from benchmarks.mail import Mail, Shape
from benchmarks.records import Repeat
from benchmarks.scenarios import in_turn
from benchmarks.scenarios.blast import Options
from benchmarks.scenarios.in_turn import InTurn, delivered
from benchmarks.scenarios.sending import SendingWorld

MAIL = Mail(Shape())


async def test_each_repeat_begins_with_another_and_what_is_around_one_is_there_for_it_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found: list[str] = []

    async def shoot(_world: object, mail: Mail, messages: int, _options: object, tell: Any) -> Repeat:
        assert (mail, messages) == (MAIL, 50)
        tell("sent", 0.5)
        return Repeat(figures={"delivered": 10.0 * len(found)}, seconds=1.0)

    @asynccontextmanager
    async def looked_at() -> AsyncIterator[None]:
        found.append("come")
        yield
        found.append("gone")

    monkeypatch.setattr(in_turn, "shoot", shoot)
    turns = InTurn(cast(SendingWorld, None), Options(messages=100))

    async def measured() -> dict[str, Repeat]:
        return await turns.measure(
            dict.fromkeys(("alone", "watched"), MAIL), 0.5, lambda text, _: found.append(text), {"watched": looked_at}
        )

    await measured()
    assert found == ["alone: sent", "come", "watched: sent", "gone"]
    await measured()
    assert found[4:] == ["come", "watched: sent", "gone", "alone: sent"]


def test_what_each_delivered_and_the_ratio() -> None:
    found = {name: Repeat(figures={"delivered": rate}, seconds=1.0) for name, rate in (("a", 100.0), ("b", 80.0))}
    assert delivered(found, "b", "a") == {"delivered, a": 100.0, "delivered, b": 80.0, "delivered, b / a": 0.8}
