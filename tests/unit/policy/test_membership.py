"""Members join and leave with their sources; two of them must never send to the same destination at once."""

import random
from collections.abc import Sequence

import pytest

from cluster.policy.balance.assignment import Assignment, Split, whole_name
from cluster.policy.routes.destinations import Destination
from cluster.policy.routes.membership import EXCEPTED_AT_MOST, NOT_YET, Member, MembershipView, beat_after_s

NOTHING = Assignment()

SOURCES = ("out1", "out2", "out3")
ANYWHERE = [Destination(f"site{i}.example") for i in range(20)] + [
    Destination("hot", share=share, shares=3) for share in range(3)
]
FROM_SOURCES = [Destination(place.site, source, place.share, place.shares) for place in ANYWHERE for source in SOURCES]
IN_SHARES = [Destination(place.site, share=n, shares=of) for place in ANYWHERE[:2] for of in (2, 3) for n in range(of)]
PLACES = ANYWHERE + FROM_SOURCES


def at_home(place: Destination) -> int:
    """The number of shares of its site without an assignment."""
    return 3 if place.site == "hot" else 1


class Actor:
    """A delivery actor's use of its membership: send a heartbeat, stop sending, and only then acknowledge."""

    def __init__(
        self, name: str, sources: tuple[str, ...] = (), assignments: Sequence[Assignment] = (Assignment(),)
    ) -> None:
        """``assignments``: the last one is in force."""
        self.name = name
        self.assignments = assignments
        self.sources = sources
        self.told: tuple[str, ...] = ()
        """The sources of its last heartbeat, which the others see."""
        self.ring = ""
        self.draining = False
        self.view = MembershipView(name)
        self.sending: set[Destination] = set()
        """Destinations with a transaction in progress, which takes an unknown time."""

    def beat(self, world: "dict[str, Actor]") -> None:
        held = {whole_name(place) for place in self.sending if not self.view.owns(place)}
        self.ring = self.view.acknowledging(held)
        self.told = self.sources
        live = [Member(a.name, a.ring, a.draining, a.told) for a in world.values()]
        self.view = self.view.after(live, self.assignments[-1])

    def work(self, chance: random.Random) -> None:
        for place in (*PLACES, *IN_SHARES):
            if self.view.ring.assignment.shares_of(place, at_home(place)) != place.shares:
                continue
            if self.view.may_send(place) and chance.random() < 0.5:
                self.sending.add(place)
        self.sending -= set(chance.sample(sorted(self.sending, key=str), len(self.sending) // 3))


def settled(*actors: Actor) -> dict[str, Actor]:
    world = {actor.name: actor for actor in actors}
    beat(world)
    return world


def beat(world: dict[str, Actor]) -> None:
    for _ in range(4):
        for actor in world.values():
            actor.beat(world)


def senders(world: dict[str, Actor], place: Destination) -> list[str]:
    return [actor.name for actor in world.values() if actor.view.may_send(place)]


@pytest.mark.parametrize("kind", ["no sources", "sources on some", "sources that move", "assigned"])
@pytest.mark.parametrize("seed", range(10))
def test_no_destination_ever_has_two_senders(seed: int, kind: str) -> None:
    chance = random.Random(seed)
    world: dict[str, Actor] = {}
    assignments = [Assignment()]
    sent = 0

    def some_sources() -> tuple[str, ...]:
        return () if kind == "no sources" else tuple(name for name in SOURCES if chance.random() < 0.5)

    for step in range(300):
        if step % 40 == 0 and len(world) < 5:
            world[f"a{step}"] = Actor(f"a{step}", some_sources(), assignments)
        if step % 90 == 89:
            world[chance.choice(list(world))].draining = True
        if step % 130 == 129 and len(world) > 1:
            del world[chance.choice(list(world))]  # it dies, and its transactions with it
        if kind == "sources that move" and step % 25 == 24:
            world[chance.choice(list(world))].sources = some_sources()
        if kind == "assigned" and step % 15 == 14:
            assignments.append(another(assignments[-1], list(world), chance))
        actor = chance.choice(list(world.values()))
        actor.beat(world)
        actor.work(chance)
        assert_each_is_sent_to_by_one(world)
        sent += len(actor.sending)
    assert sent > 100


def another(assignment: Assignment, members: Sequence[str], chance: random.Random) -> Assignment:
    """The next version: other owners for some destinations, and other numbers of shares for two sites."""
    places = [*chance.sample(PLACES, 20), *(Destination(ANYWHERE[0].site, share=n, shares=2) for n in range(2))]
    splits = {name: Split(shares=chance.choice((1, 2, 3))) for name in (str(ANYWHERE[0]), str(ANYWHERE[1]))}
    return Assignment(
        version=assignment.version + 1,
        placed={str(place): chance.choice([*members, "gone"]) for place in places},
        splits=splits,
    )


def assert_each_is_sent_to_by_one(world: dict[str, Actor]) -> None:
    """No destination has two senders, and no site is sent to by two numbers of shares."""
    sending = [place for actor in world.values() for place in actor.sending]
    assert len(sending) == len(set(sending))
    numbers: dict[str, int] = {}
    for place in sending:
        assert numbers.setdefault(whole_name(place), place.shares) == place.shares


def test_everything_is_owned_again_when_all_have_acknowledged() -> None:
    world = settled(*(Actor(name, SOURCES) for name in ("a", "b", "c")))
    assert all(actor.view.settled for actor in world.values())
    for place in PLACES:
        assert len(senders(world, place)) == 1


def test_a_source_is_sent_from_only_where_its_addresses_are() -> None:
    world = settled(Actor("a", ("out1",)), Actor("b", ("out1", "out2")), Actor("c"))
    for place in FROM_SOURCES:
        found = senders(world, place)
        match place.source:
            case "out1":
                assert found in (["a"], ["b"])
            case "out2":
                assert found == ["b"]
            case _:
                assert found == []
    assert {name for place in ANYWHERE for name in senders(world, place)} == {"a", "b", "c"}


def test_a_source_that_comes_to_a_machine_is_sent_from_there_when_all_know() -> None:
    world = settled(Actor("a"), Actor("b", ("out1",)))
    place = next(p for p in FROM_SOURCES if p.source == "out1")
    assert senders(world, place) == ["b"]
    world["a"].sources, world["b"].sources = ("out1",), ()
    world["a"].beat(world)
    assert senders(world, place) == ["b"] or senders(world, place) == []
    beat(world)
    assert senders(world, place) == ["a"]


def test_a_member_that_leaves_owns_nothing_and_the_others_all() -> None:
    world = settled(Actor("a", SOURCES), Actor("b", SOURCES))
    world["a"].draining = True
    beat(world)
    assert not any(world["a"].view.may_send(place) for place in PLACES)
    assert all(world["b"].view.may_send(place) for place in PLACES)


def test_rings_with_other_sources_are_other_rings() -> None:
    rings = {
        ring_of(Member("a", "", False, sources), Member("b", "", False, others))
        for sources in ((), ("out1",), ("out2",), ("out1", "out2"))
        for others in ((), ("out1",))
    }
    assert len(rings) == 8
    one, same = (ring_of(Member("a", "", False, sources)) for sources in (("x", "y"), ("y", "x")))
    assert one == same


def ring_of(*live: Member, assignment: Assignment = NOTHING) -> str:
    return MembershipView("a").after(live, assignment).ring.name


def test_an_assignment_is_part_of_the_ring() -> None:
    live = Member("a", "", False)
    assert ring_of(live) != ring_of(live, assignment=Assignment(version=1))


def test_a_slow_host_holds_up_the_move_of_its_own_site_only() -> None:
    assignments = [NOTHING]
    world = settled(*(Actor(name, assignments=assignments) for name in ("a", "b")))
    slow, quick, *_ = (place for place in ANYWHERE if senders(world, place) == ["a"])
    world["a"].sending = {slow, quick}
    assignments.append(Assignment(version=1, placed={str(slow): "b", str(quick): "b"}))
    beat(world)
    assert (senders(world, slow), senders(world, quick)) == ([], [])
    world["a"].sending = {slow}
    beat(world)
    assert (senders(world, slow), senders(world, quick)) == ([], ["b"])
    assert not world["b"].view.settled
    world["a"].sending = set()
    beat(world)
    assert (senders(world, slow), senders(world, quick)) == (["b"], ["b"])
    assert world["b"].view.settled


def test_one_that_holds_too_many_foreign_sites_acknowledges_nothing() -> None:
    view = MembershipView("a")
    assert view.acknowledging([f"mx{n}.example" for n in range(EXCEPTED_AT_MOST)])
    assert view.acknowledging([f"mx{n}.example" for n in range(EXCEPTED_AT_MOST + 1)]) == NOT_YET


def test_a_share_of_another_number_has_no_owner() -> None:
    assignment = Assignment(version=1, splits={"hot.example": Split(shares=2), "cold.example": Split(shares=1)})
    world = settled(*(Actor(name, assignments=[assignment]) for name in ("a", "b")))
    for place in (Destination("hot.example"), Destination("hot.example", share=2, shares=4)):
        assert senders(world, place) == []
    owners = [senders(world, Destination("hot.example", share=n, shares=2)) for n in range(2)]
    assert sorted(owners) == [["a"], ["b"]]
    assert senders(world, Destination("cold.example", share=0, shares=2)) == []
    assert senders(world, Destination("cold.example")) != []


@pytest.mark.parametrize(
    ("settled", "since_change_s", "members", "expected"),
    [(True, 0.0, 3, 1.0), (False, 0.0, 3, 0.1), (False, 0.0, 100, 0.1), (False, 0.0, 400, 0.4), (False, 60.0, 3, 1.0)],
)
def test_heartbeats_are_quick_while_members_change(
    settled: bool, since_change_s: float, members: int, expected: float
) -> None:
    assert beat_after_s(settled, since_change_s, members) == expected


def test_what_a_member_made_way_for_holds_even_if_the_ring_comes_back() -> None:
    world = settled(Actor("a", ("out1",)), Actor("b"))
    a, b = world["a"], world["b"]
    both = MembershipView("b").after([Member("a", "", False, SOURCES), Member("b", "", False, SOURCES)], NOTHING)
    place = next(place for place in FROM_SOURCES if place.source == "out1" and both.owns(place))
    assert senders(world, place) == ["a"]
    b.sources = ("out1",)
    b.beat(world)
    a.beat(world)  # sees the change
    a.beat(world)  # stops sending, and acknowledges
    b.sources = ()
    b.beat(world)
    a.beat(world)  # the old ring, which not all members have acknowledged again
    b.sources = ("out1",)
    b.beat(world)
    b.beat(world)
    assert len(senders(world, place)) <= 1


def test_without_members_nothing_is_owned() -> None:
    assert not MembershipView("a").owns(PLACES[0])
