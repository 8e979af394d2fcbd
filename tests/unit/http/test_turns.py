"""Turns of the event loop: how many are begun in one, and whose."""

import asyncio
from collections.abc import Callable
from functools import partial

import pytest

from cluster.http.turns import PER_TURN, ConnectionTurns


class Loop:
    """Calls what it was given one turn at a time."""

    def __init__(self) -> None:
        self.soon: list[Callable[[], None]] = []

    def call_soon(self, callback: Callable[[], None]) -> None:
        self.soon.append(callback)

    def turn(self) -> None:
        ready, self.soon = self.soon, []
        for callback in ready:
            callback()


@pytest.fixture
def loop() -> Loop:
    return Loop()


@pytest.fixture
def turns(loop: Loop) -> ConnectionTurns:
    return ConnectionTurns(loop)  # type: ignore[arg-type]


def test_few_are_begun_in_one_turn(loop: Loop, turns: ConnectionTurns) -> None:
    begun: list[int] = []
    for number in range(100):
        turns.wait("a", partial(begun.append, number), health=False)
    counts = []
    while turns.waiting:
        loop.turn()
        counts.append(len(begun))
    assert counts == [16, 32, 48, 64, 80, 96, 100, 100]  # the last one finds none, and is the end of it
    assert begun == list(range(100)) and loop.soon == []
    turns.wait("a", partial(begun.append, 100), health=False)
    loop.turn()
    assert begun[-1] == 100


def test_addresses_take_turns(loop: Loop, turns: ConnectionTurns) -> None:
    begun: list[str] = []
    for _ in range(100):
        turns.wait("many", partial(begun.append, "many"), health=False)
    for _ in range(2):
        turns.wait("few", partial(begun.append, "few"), health=False)
    loop.turn()
    assert begun[:4] == ["many", "few", "many", "few"]


def test_health_checks_do_not_wait_behind_others(loop: Loop, turns: ConnectionTurns) -> None:
    begun: list[str] = []
    for _ in range(100):
        turns.wait("a", partial(begun.append, "other"), health=False)
    for _ in range(PER_TURN + 1):
        turns.wait("a", partial(begun.append, "health"), health=True)
    loop.turn()
    assert begun == ["health"] * PER_TURN + ["other"] * PER_TURN  # nor others behind them
    loop.turn()
    assert begun.count("health") == PER_TURN + 1


def test_what_is_begun_may_wait_again() -> None:
    async def main() -> int:
        turns = ConnectionTurns(asyncio.get_running_loop())
        count = 0

        def again() -> None:
            nonlocal count
            count += 1
            if count < 50:
                turns.wait("a", again, health=False)

        again()
        while turns.waiting:
            await asyncio.sleep(0)
        return count

    assert asyncio.run(main()) == 50
