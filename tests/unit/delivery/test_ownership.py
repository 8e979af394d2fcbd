"""What a delivery actor knows of those that sent before it."""

from typing import Any, cast

from actors.delivery.ownership import Ownership
from cluster.journal.membership import LiveMembers
from cluster.policy.balance.assignment import Assignment, Split
from cluster.policy.routes.destinations import Destination
from cluster.policy.routes.membership import Member, make_ring
from cluster.policy.routes.ownership import Candidate
from tests.unit.delivery.builders import Clock

PLACES = [Destination(f"mx{n}.example") for n in range(20)]


class Journal:
    """Another member, "b", acknowledges all that it is told; the assignment is the one that was written last."""

    def __init__(self) -> None:
        self.membership = self.balance = self
        self.written = Assignment()
        self.names = ["a"]
        self.b_says = ""

    async def heartbeat(self, name: str, epoch: int, ring: str, alive_s: float, sources: Any) -> LiveMembers:
        says = {"a": ring, "b": self.b_says}
        return LiveMembers([Member(one, says[one], False) for one in self.names], self.written.version)

    async def assignment(self) -> Assignment:
        return self.written

    def b_acknowledges(self) -> None:
        self.b_says = make_ring([Candidate(name) for name in self.names], self.written).name


async def test_what_was_the_others_came_when_all_have_acknowledged() -> None:
    clock, journal = Clock(), Journal()
    ownership = Ownership(cast(Any, journal), "a", "node", clock)
    for _ in range(2):
        await ownership.beat([])
    assert ownership.is_settled
    assert {ownership.came_at(place) for place in PLACES} == {None}, "it was alone"
    journal.names.append("b")
    clock.now = began = 1000.0
    await ownership.beat([])
    journal.written = Assignment(version=1, placed={str(place): "a" for place in PLACES})
    for clock.now in (1001.0, 1002.0):
        await ownership.beat([])
        assert not ownership.is_settled
    journal.b_acknowledges()
    clock.now = 1003.0
    await ownership.beat([])
    clock.now = 1010.0
    await ownership.beat([])
    assert ownership.is_settled
    by_hash = make_ring([Candidate("a"), Candidate("b")], Assignment())
    of_b = [place for place in PLACES if by_hash.owner(place) == "b"]
    assert 0 < len(of_b) < len(PLACES)
    assert {ownership.came_at(place) for place in of_b} == {1003.0}
    assert {ownership.came_at(place) for place in PLACES if place not in of_b} == {None}
    assert began < 1003.0


async def test_one_that_joins_takes_over_what_was_the_others() -> None:
    journal = Journal()
    journal.names.append("b")
    journal.b_acknowledges()
    ownership = Ownership(cast(Any, journal), "a", "node", lambda: 5.0)
    for _ in range(2):
        await ownership.beat([])
    assert ownership.is_settled
    assert {ownership.came_at(place) for place in PLACES} == {5.0}


async def test_the_shares_of_a_site_that_was_split_are_taken_over() -> None:
    clock, journal = Clock(), Journal()
    ownership = Ownership(cast(Any, journal), "a", "node", clock)
    await ownership.beat([])
    journal.written = Assignment(version=1, splits={str(PLACES[0]): Split(shares=2)})
    clock.now = 7.0
    for _ in range(2):
        await ownership.beat([])
    assert ownership.came_at(Destination(PLACES[0].site, share=1, shares=2)) == 7.0
    assert ownership.came_at(PLACES[1]) is None
    assert not ownership.owns(PLACES[0])
    assert ownership.may_send(Destination(PLACES[0].site, share=1, shares=2))
