"""The live dialogue: only for watchers, only while they watch, and bounded."""

from actors.delivery.tracing import LINES_KEPT, LONGEST_LINE, LONGEST_S, SITES_AT_MOST, Tracer
from tests.unit.delivery.builders import Clock


def a_tracer(clock: Clock) -> Tracer:
    return Tracer(clock, lambda: clock.now + 1e9)


def test_a_site_that_is_not_watched_is_not_traced() -> None:
    tracer = a_tracer(Clock())
    assert tracer.observer("example.com") is None
    tracer.follow("example.com", 0, 60)
    assert tracer.observer("example.net") is None


def test_lines_are_numbered_and_told_once() -> None:
    clock = Clock()
    tracer = a_tracer(clock)
    tracer.follow("example.com", 0, 60)
    observe = tracer.observer("example.com")
    assert observe is not None
    observe("C", "EHLO us")
    observe("S", "250-them\n250 SIZE")
    lines = tracer.follow("example.com", 0, 60)
    assert [(line.number, line.direction, line.text) for line in lines] == [
        (1, "C", "EHLO us"),
        (2, "S", "250-them"),
        (3, "S", "250 SIZE"),
    ]
    assert {line.at for line in lines} == {clock.now + 1e9}
    observe("C", "")
    assert [line.number for line in tracer.follow("example.com", 3, 60)] == [4]


def test_two_connections_are_told_apart() -> None:
    tracer = a_tracer(Clock())
    tracer.follow("example.com", 0, 60)
    for observe in (tracer.observer("example.com"), tracer.observer("example.com")):
        assert observe is not None
        observe("C", "EHLO us")
    assert len({line.connection for line in tracer.follow("example.com", 0, 60)}) == 2


def test_it_ends_by_itself_and_keeps_nothing() -> None:
    clock = Clock()
    tracer = a_tracer(clock)
    tracer.follow("example.com", 0, 60)
    observe = tracer.observer("example.com")
    assert observe is not None
    observe("C", "EHLO us")
    clock.now += 60
    observe("C", "QUIT")
    assert tracer.observer("example.com") is None
    assert tracer.follow("example.com", 0, 60) == []


def test_asking_again_prolongs_it_but_never_beyond_the_longest() -> None:
    clock = Clock()
    tracer = a_tracer(clock)
    tracer.follow("example.com", 0, 60)
    clock.now += 59
    tracer.follow("example.com", 0, 1e9)
    clock.now += LONGEST_S - 1
    assert tracer.observer("example.com") is not None
    clock.now += 1
    assert tracer.observer("example.com") is None


def test_it_is_bounded() -> None:
    tracer = a_tracer(Clock())
    for number in range(SITES_AT_MOST + 1):
        tracer.follow(f"site{number}", 0, 60)
    assert tracer.observer(f"site{SITES_AT_MOST}") is None
    observe = tracer.observer("site0")
    assert observe is not None
    for _ in range(LINES_KEPT + 10):
        observe("S", "x" * 5000)
    lines = tracer.follow("site0", 0, 60)
    assert (len(lines), lines[0].number, len(lines[0].text)) == (LINES_KEPT, 11, LONGEST_LINE)
