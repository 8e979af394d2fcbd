"""How many nodes a cluster wants: over days of samples, and case by case.

Each file of ``corpus/growth`` has mail a second that no limit holds, every few minutes of a day, and how late mail is
at sites whose limits hold it. What nodes are asked for changes what they use, so the days are played on nodes of which
each sends 500 a second and takes three minutes to start.
"""

import csv
from collections import deque
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct

from cluster.policy.growth import AT_LIMIT, SETTLE_S, Growth, Sender, Terms, Used, bundles, grown

DAYS = Path(__file__).parent / "corpus" / "growth"
A_NODE_PER_S = 500.0
STARTS_S = 180.0
STEP_S = 15.0
TERMS = Terms(min_nodes=1, max_nodes=8, grow_after_s=30.0, shrink_after_s=900.0)


class Day(Struct):
    """How a day went."""

    wanted: list[int]
    """At each step."""
    changes: list[tuple[float, int]]
    """When another number was wanted, and by how many more."""
    latest_s: float
    """How late mail was that no limit held, at most."""
    went: list[str]


def samples(day: str) -> list[tuple[float, float, float]]:
    with (DAYS / f"{day}.csv").open(encoding="utf-8") as lines:
        return [(float(m) * 60, float(offered), float(late)) for m, offered, late in list(csv.reader(lines))[1:]]


def play(day: str, nodes: int = 1, terms: Terms = TERMS) -> Day:
    """Play a day, with so many nodes at its begin."""
    told = samples(day)
    state, now = Growth(wanted=nodes), 0.0
    live = [f"n{i}" for i in range(nodes)]
    starting: list[float] = []
    queue: deque[tuple[float, float]] = deque()
    found = Day(wanted=[], changes=[], latest_s=0.0, went=[])
    while now < told[-1][0]:
        _, offered, held_late_s = next(one for one in reversed(told) if one[0] <= now)
        queue.append((now, offered * STEP_S))
        live += [f"s{now:.0f}-{i}" for i, at in enumerate(starting) if at <= now]
        starting = [at for at in starting if at > now]
        sending = [node for node in live if node != state.going]
        room = able = len(sending) * A_NODE_PER_S * STEP_S
        late_s = 0.0
        while queue and room > 0:
            at, waits = queue.popleft()
            late_s = max(late_s, now - at)
            if waits > room:
                queue.appendleft((at, waits - room))
            room -= min(waits, room)
        found.latest_s = max(found.latest_s, late_s)
        # An actor cannot tell that the connections of a site are all that holds its mail.
        used = (Used((able - room) / able, max(late_s, held_late_s)),)
        before = state
        first = live[0]
        state = grown(
            before,
            [Sender(id=node, actors=used) for node in live],
            terms,
            now,
            lambda node, first=first: node != first,  # type: ignore[misc]
        )
        if before.going and before.going != state.going:
            found.went.append(before.going)
        if state.wanted != before.wanted:
            found.changes.append((now, state.wanted - before.wanted))
        if state.going and before.going == state.going:  # it is drained, idle, and given back
            live.remove(state.going)
        missing = state.wanted - len([node for node in live if node != state.going]) - len(starting)
        starting += [now + STARTS_S] * max(0, missing)
        found.wanted.append(state.wanted)
        assert terms.min_nodes <= state.wanted <= terms.max_nodes
        now += STEP_S
    return found


def turns(day: Day) -> list[float]:
    """For how long less was wanted before more was wanted again."""
    return [
        at - before for (before, less), (at, more) in zip(day.changes, day.changes[1:], strict=False) if less < 0 < more
    ]


def test_a_morning_peak_is_met_and_its_nodes_go_by_the_evening() -> None:
    day = play("morning_peak")
    assert max(day.wanted) in (7, 8), "3,100 messages a second are some six nodes' work"
    assert day.latest_s < 900
    assert day.wanted[-1] <= 2
    assert len(day.changes) <= 16
    assert min(turns(day), default=3600) >= 3600


@pytest.mark.parametrize("day", ["site_down", "limit"])
def test_mail_that_waits_for_a_host_or_a_limit_asks_for_nothing(day: str) -> None:
    assert max(late for *_, late in samples(day)) > 3600
    assert play(day).changes == []


def test_at_night_nodes_go_one_by_one_down_to_the_least() -> None:
    day = play("night", nodes=6, terms=Terms(min_nodes=2, max_nodes=8, grow_after_s=30, shrink_after_s=900))
    assert [by for _, by in day.changes] == [-1] * 4 and day.wanted[-1] == 2
    assert all(later - at >= 900 for (at, _), (later, _) in zip(day.changes, day.changes[1:], strict=False))
    assert day.latest_s < 60


def test_a_load_that_comes_and_goes_keeps_its_nodes() -> None:
    day = play("flapping")
    assert [by > 0 for _, by in day.changes] == [True] * len(day.changes)
    assert len(day.changes) <= 4 and max(day.wanted) <= 5


def looks(before: Growth, *looked: tuple[float, Sequence[Sender]], may_go: bool = True) -> Growth:
    for now, nodes in looked:
        before = grown(before, nodes, TERMS, now, lambda _: may_go)
    return before


FULL, IDLE = (Used(0.95, 60.0),), (Used(0.1),)


def test_what_was_asked_for_is_waited_for_and_what_came_shows_first() -> None:
    one = [Sender(id="a", actors=FULL)]
    asked = looks(Growth(), (0, one), (3, one), (600, one))
    assert asked.wanted == 2 and "1 more asked for" in asked.reason and "60 s late" in asked.reason
    two = [*one, Sender(id="b", actors=FULL)]
    came = looks(asked, (700, two), (700 + SETTLE_S - 1, two))
    assert came.wanted == 2 and "first" in came.reason
    assert looks(came, (700 + SETTLE_S, two)).wanted == 3


def test_a_large_cluster_asks_for_a_part_of_itself() -> None:
    terms = Terms(min_nodes=1, max_nodes=100, grow_after_s=30, shrink_after_s=900)
    nodes = [Sender(id=str(i), actors=FULL) for i in range(40)]
    assert grown(Growth(), nodes, terms, 0, lambda _: True).wanted == 50


def test_one_actor_at_its_limit_is_no_reason_while_others_have_room() -> None:
    nodes = [Sender(id="a", actors=FULL), Sender(id="b", actors=IDLE)]
    assert looks(Growth(), (0, nodes), (100, nodes)).wanted == 2
    late_elsewhere = [Sender(id="a", actors=(Used(0.95),)), Sender(id="b", actors=(Used(AT_LIMIT - 0.01, 60.0),))]
    assert looks(Growth(), (0, late_elsewhere), (100, late_elsewhere)).wanted == 2


def test_a_node_on_its_way_out_is_taken_back_before_another_is_asked_for() -> None:
    idle = [Sender(id="a", actors=IDLE), Sender(id="b", actors=IDLE)]
    going = looks(Growth(), (0, idle), (900, idle))
    assert (going.wanted, going.going) == (1, "a")
    full = [Sender(id="a", is_out=True), Sender(id="b", actors=FULL)]
    back = looks(going, (910, full))
    assert (back.wanted, back.going) == (2, "")
    again = [Sender(id="a", actors=IDLE), Sender(id="b", actors=FULL)]
    assert looks(back, (913, again)).wanted == 2


def test_nothing_goes_that_cannot_be_done_without_or_is_not_known() -> None:
    idle = [Sender(id="a", actors=IDLE), Sender(id="b", actors=IDLE)]
    stays = looks(Growth(), (0, idle), (2000, idle), may_go=False)
    assert (stays.wanted, stays.going) == (2, "") and "done without" in stays.reason
    silent = [Sender(id="a", actors=IDLE), Sender(id="b")]
    assert looks(Growth(), (0, silent), (2000, silent)).going == ""


def test_a_node_that_died_is_still_wanted_and_one_that_never_came_is_not_forever() -> None:
    two = [Sender(id="a", actors=(Used(0.6),)), Sender(id="b", actors=(Used(0.6),))]
    assert looks(Growth(), (0, two), (5, two[:1])).wanted == 2
    one = [Sender(id="a", actors=IDLE)]
    assert looks(Growth(wanted=3), (0, one), (899, one)).wanted == 3
    assert looks(Growth(wanted=3), (0, one), (900, one), (903, one), (1803, one)).wanted == 1


def test_operators_drain_and_take_out_without_being_opposed() -> None:
    nodes = [Sender(id="a", actors=(Used(0.6),)), Sender(id="b", actors=(Used(0.6),))]
    drained = [nodes[0], Sender(id="b", actors=IDLE, is_out=True)]
    state = looks(Growth(), (0, nodes), (5, drained), (2000, drained))
    assert (state.wanted, state.going) == (2, "")
    full = [Sender(id="a", actors=FULL), drained[1]]
    assert looks(state, (2003, full)).wanted == 3


def test_what_is_asked_for_keeps_what_there_is() -> None:
    assert bundles([4, 2, 16], [4, 16], 0) == (2, 4, 16)
    assert bundles([4, 2, 16], [4, 16], 2) == (2, 4, 16, 4, 4)
    assert bundles([2], [], 2) == (2,), "no node tells how large one is"


@given(
    st.lists(
        st.tuples(
            st.floats(0.5, 500),
            st.lists(
                st.tuples(st.integers(0, 9), st.floats(0, 1), st.floats(0, 1000), st.booleans()),
                max_size=10,
                unique_by=lambda one: one[0],
            ),
            st.booleans(),
        ),
        max_size=40,
    )
)
def test_whatever_is_seen_the_bounds_hold(
    seen: list[tuple[float, list[tuple[int, float, float, bool]], bool]],
) -> None:
    state, now = Growth(), 0.0
    for passed_s, told, may_go in seen:
        now += passed_s
        nodes = [Sender(id=str(i), actors=(Used(use, late),), is_out=out) for i, use, late, out in told]
        state = grown(state, nodes, TERMS, now, lambda _, may_go=may_go: may_go)  # type: ignore[misc]
        assert TERMS.min_nodes <= state.wanted <= TERMS.max_nodes
        assert not state.going or any(node.id == state.going for node in nodes)
