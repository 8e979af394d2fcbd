"""Members join and leave with their sources; two of them must never send to the same destination at once."""

import random

import pytest

from cluster.policy.routes.destinations import Destination
from cluster.policy.routes.membership import Member, MembershipView

SOURCES = ("out1", "out2", "out3")
ANYWHERE = [Destination(f"site{i}.example") for i in range(20)] + [
    Destination("hot", share=share, shares=3) for share in range(3)
]
FROM_SOURCES = [Destination(place.site, source, place.share, place.shares) for place in ANYWHERE for source in SOURCES]
PLACES = ANYWHERE + FROM_SOURCES


class Actor:
    """A delivery actor's use of its membership: send a heartbeat, stop sending, and only then acknowledge."""

    def __init__(self, name: str, sources: tuple[str, ...] = ()) -> None:
        self.name = name
        self.sources = sources
        self.told: tuple[str, ...] = ()
        """The sources of its last heartbeat, which the others see."""
        self.ring = ""
        self.draining = False
        self.view = MembershipView(name)
        self.sending: set[Destination] = set()
        """Destinations with a transaction in progress, which takes an unknown time."""

    def beat(self, world: "dict[str, Actor]") -> None:
        if all(self.view.owns(place) for place in self.sending):
            self.ring = self.view.ring
        else:
            self.ring = ""
        self.told = self.sources
        self.view = self.view.after([Member(a.name, a.ring, a.draining, a.told) for a in world.values()])

    def work(self, chance: random.Random) -> None:
        for place in PLACES:
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


@pytest.mark.parametrize("kind", ["no sources", "sources on some", "sources that move"])
@pytest.mark.parametrize("seed", range(10))
def test_no_destination_ever_has_two_senders(seed: int, kind: str) -> None:
    chance = random.Random(seed)
    world: dict[str, Actor] = {}

    def some_sources() -> tuple[str, ...]:
        return () if kind == "no sources" else tuple(name for name in SOURCES if chance.random() < 0.5)

    for step in range(300):
        if step % 40 == 0 and len(world) < 5:
            world[f"a{step}"] = Actor(f"a{step}", some_sources())
        if step % 90 == 89:
            world[chance.choice(list(world))].draining = True
        if step % 130 == 129 and len(world) > 1:
            del world[chance.choice(list(world))]  # it dies, and its transactions with it
        if kind == "sources that move" and step % 25 == 24:
            world[chance.choice(list(world))].sources = some_sources()
        actor = chance.choice(list(world.values()))
        actor.beat(world)
        actor.work(chance)
        sending = [place for a in world.values() for place in a.sending]
        assert len(sending) == len(set(sending))


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
        MembershipView("a").after([Member("a", "", False, sources), Member("b", "", False, others)]).ring
        for sources in ((), ("out1",), ("out2",), ("out1", "out2"))
        for others in ((), ("out1",))
    }
    assert len(rings) == 8
    one, same = (MembershipView("a").after([Member("a", "", False, sources)]) for sources in (("x", "y"), ("y", "x")))
    assert one.ring == same.ring


def test_what_a_member_made_way_for_holds_even_if_the_ring_comes_back() -> None:
    world = settled(Actor("a", ("out1",)), Actor("b"))
    a, b = world["a"], world["b"]
    both = MembershipView("b").after([Member("a", "", False, SOURCES), Member("b", "", False, SOURCES)])
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
