"""How long queries wait while timelines are asked for."""

import logging
import threading
from collections.abc import Iterator, Mapping

import pytest

from analytics.door.holding import LONGEST_S, MOMENT_S, REST_S, QueryHold

STEP_S = 0.02


class Engine:
    """An engine whose statements move the clock."""

    def __init__(self) -> None:
        self.now = 100.0
        self.statements: list[str] = []
        self.closed = 0
        self.settings: Mapping[str, str] = {}
        self.fails = False
        self.asks = False
        """Whether a timeline is asked for during each statement."""
        self.hold = QueryHold(self._connect, self._set, lambda: None, lambda: self.now)

    def _connect(self) -> "Engine":
        if self.fails:
            raise RuntimeError("no engine")
        return self

    def _set(self, connection: object, settings: Mapping[str, str]) -> None:
        self.settings = settings

    def query(self, query: str, format: str = "", params: Mapping[str, str] | None = None) -> None:
        self.statements.append(query)
        self.now += STEP_S
        if self.asks:
            self.hold.hold()

    def close(self) -> None:
        self.closed += 1

    def held_s(self) -> float:
        """What the statements since the last call took."""
        done = threading.Event()
        self.hold._thread.submit(done.set)  # behind the work
        assert done.wait(10)
        statements, self.statements = self.statements, []
        return len(statements) * STEP_S


@pytest.fixture
def engine() -> Iterator[Engine]:
    engine = Engine()
    yield engine
    engine.hold.close()


def test_a_timeline_holds_queries_for_a_moment(engine: Engine) -> None:
    engine.hold.hold()
    assert engine.held_s() == pytest.approx(MOMENT_S, abs=2 * STEP_S)
    assert (engine.settings["priority"], engine.settings["readonly"], engine.closed) == ("1", "1", 1)


def test_timelines_without_end_leave_queries_a_fifth_of_the_time(engine: Engine) -> None:
    engine.asks = True
    engine.hold.hold()
    assert engine.held_s() == pytest.approx(LONGEST_S, abs=2 * STEP_S)
    engine.asks = False
    engine.hold.hold()
    assert engine.held_s() == 0
    engine.now += REST_S + STEP_S
    engine.hold.hold()
    assert engine.held_s() == pytest.approx(MOMENT_S, abs=2 * STEP_S)
    assert LONGEST_S / (LONGEST_S + REST_S) <= 0.8


def test_an_engine_that_is_gone_is_told(engine: Engine, caplog: pytest.LogCaptureFixture) -> None:
    engine.fails = True
    with caplog.at_level(logging.WARNING):
        engine.hold.hold()
        assert engine.held_s() == 0
    assert "no engine" in caplog.text
