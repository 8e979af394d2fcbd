"""Members come and go: at no moment two of them may send to the same destination."""

import random

import pytest

from cluster.policy.destinations import Destination
from cluster.policy.tenure import Member, Tenure

PLACES = [Destination(f"site{i}.example") for i in range(40)] + [Destination("hot", share, 3) for share in range(3)]


class Actor:
    """What a delivery actor does with its tenure: beat, make way, and only then acknowledge."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.ring = ""
        self.draining = False
        self.tenure = Tenure(name)
        self.sending: set[Destination] = set()
        """Destinations with something on the wire: it takes an unknown time to finish."""

    def beat(self, world: "dict[str, Actor]") -> None:
        if all(self.tenure.owns(place) for place in self.sending):
            self.ring = self.tenure.ring
        self.tenure = self.tenure.after([Member(a.name, a.ring, a.draining) for a in world.values()])

    def work(self, chance: random.Random) -> None:
        for place in PLACES:
            if self.tenure.may_send(place) and chance.random() < 0.5:
                self.sending.add(place)
        self.sending -= set(chance.sample(sorted(self.sending, key=str), len(self.sending) // 3))


@pytest.mark.parametrize("seed", range(20))
def test_no_destination_ever_has_two_senders(seed: int) -> None:
    chance = random.Random(seed)
    world: dict[str, Actor] = {}
    for step in range(400):
        if step % 40 == 0 and len(world) < 5:
            world[f"a{step}"] = Actor(f"a{step}")
        if step % 90 == 89:
            world[chance.choice(list(world))].draining = True
        if step % 130 == 129 and len(world) > 1:
            del world[chance.choice(list(world))]  # dead, and what it sent with it
        actor = chance.choice(list(world.values()))
        actor.beat(world)
        actor.work(chance)
        senders = [place for a in world.values() for place in a.sending]
        assert len(senders) == len(set(senders))


def test_everything_is_owned_again_when_all_have_acknowledged() -> None:
    world = {name: Actor(name) for name in ("a", "b", "c")}
    for _ in range(3):
        for actor in world.values():
            actor.beat(world)
    assert all(actor.tenure.settled for actor in world.values())
    for place in PLACES:
        assert sum(actor.tenure.may_send(place) for actor in world.values()) == 1


def test_a_member_that_leaves_owns_nothing_and_the_others_all() -> None:
    world = {name: Actor(name) for name in ("a", "b")}
    for _ in range(3):
        for actor in world.values():
            actor.beat(world)
    world["a"].draining = True
    for _ in range(3):
        for actor in world.values():
            actor.beat(world)
    assert not any(world["a"].tenure.may_send(place) for place in PLACES)
    assert all(world["b"].tenure.may_send(place) for place in PLACES)


def test_without_members_nothing_is_owned() -> None:
    assert not Tenure("a").owns(PLACES[0])
