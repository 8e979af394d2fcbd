"""How long queries wait while timelines are asked for."""

import logging
import threading
from collections.abc import Iterator, Mapping

import pytest

from analytics.door.holding import LONGEST_S, MOMENT_S, REST_S, QueryHold

STEP_S = 0.02


class Statement:
    """A statement that is open for as long as queries are held."""

    def __init__(self, engine: "Engine") -> None:
        self.engine = engine

    def fetch(self) -> str:
        self.engine.began = self.engine.now
        return "0\n"

    def close(self) -> None:
        self.engine.held.append(self.engine.now - self.engine.began)


class Engine:
    """An engine, and a clock that moves while a statement is open."""

    def __init__(self) -> None:
        self.now = 100.0
        self.began = 0.0
        self.held: list[float] = []
        """How long each statement was open."""
        self.closed = 0
        self.settings: Mapping[str, str] = {}
        self.fails = False
        self.asks = False
        """Whether timelines are asked for all the time."""
        self.said: set[bool] = set()
        """What was answered to them."""
        self.hold = QueryHold(self._connect, self._set, lambda: None, lambda: self.now, self._wait)

    def _connect(self) -> "Engine":
        if self.fails:
            raise RuntimeError("no engine")
        return self

    def _set(self, connection: object, settings: Mapping[str, str]) -> None:
        self.settings = settings

    def _wait(self, seconds: float) -> None:
        assert seconds > 0
        self.now += min(seconds, STEP_S)
        if self.asks:
            self.said.add(self.hold.hold())

    def query(self, query: str, format: str = "", params: Mapping[str, str] | None = None) -> None:
        raise AssertionError("one statement for all of the time")

    def send_query(self, query: str, format: str) -> Statement:
        return Statement(self)

    def close(self) -> None:
        self.closed += 1

    def held_s(self) -> list[float]:
        """How long the statements since the last call were open."""
        done = threading.Event()
        self.hold._thread.submit(done.set)  # behind the work
        assert done.wait(10)
        held, self.held = self.held, []
        return held


@pytest.fixture
def engine() -> Iterator[Engine]:
    engine = Engine()
    yield engine
    engine.hold.close()


def test_a_timeline_holds_queries_for_a_moment(engine: Engine) -> None:
    assert not engine.hold.hold()
    assert engine.held_s() == [pytest.approx(MOMENT_S)]
    assert (engine.settings["priority"], engine.settings["readonly"], engine.closed) == ("1", "1", 1)
    assert not engine.hold.hold()


def test_timelines_without_end_leave_queries_a_fifth_of_the_time(engine: Engine) -> None:
    engine.asks = True
    engine.hold.hold()
    assert engine.held_s() == [pytest.approx(LONGEST_S, abs=STEP_S)]
    assert engine.said == {True}
    engine.asks = False
    assert not engine.hold.hold()
    assert engine.held_s() == []
    engine.now += REST_S + STEP_S
    engine.hold.hold()
    assert engine.held_s() == [pytest.approx(MOMENT_S)]
    assert LONGEST_S / (LONGEST_S + REST_S) <= 0.8


def test_an_end_waits_for_no_timeline() -> None:
    engine = Engine()
    waiting = threading.Event()
    hold = QueryHold(engine._connect, engine._set, lambda: None, lambda: engine.now)
    hold._wait = lambda seconds: waiting.set() or hold._closing.wait(60)  # type: ignore[func-returns-value]
    hold.hold()
    assert waiting.wait(10)
    assert hold.hold()
    hold.close()
    assert (engine.closed, len(engine.held)) == (1, 1)


def test_an_engine_that_is_gone_is_told(engine: Engine, caplog: pytest.LogCaptureFixture) -> None:
    engine.fails = True
    with caplog.at_level(logging.WARNING):
        engine.hold.hold()
        assert engine.held_s() == []
    assert "no engine" in caplog.text
