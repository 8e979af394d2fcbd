"""What is due is paged in for its owner, or parked in its lane."""

import asyncio
import math
from collections.abc import Iterable, Sequence
from typing import Any, cast

import pytest

from cluster.journal.journal import Journal
from cluster.journal.records import DeliveryActor, DueDelivery
from cluster.journal.scheduling import Decide, Lane, PagedIn
from cluster.peers import PeerGone
from cluster.policy.routes.destinations import Destination
from cluster.routing.dispatcher import FULL_S as OWNER_FULL_S
from cluster.routing.dispatcher import Dispatcher
from cluster.routing.offer import OfferAnswer, decode_offer
from cluster.routing.paging import (
    EMPTIED_PAGES,
    END_S,
    LANES_AT_MOST_S,
    LANES_S,
    LONGEST_IDLE_S,
    PAGE,
    Paging,
    lanes_pause_s,
)
from cluster.tasks import Tasks
from tests.unit.virtual_time import in_virtual_time

ONE = DeliveryActor("one", 7, frozenset({"out"}))


class Backlog:
    """A journal with deliveries that are due and lanes that hold some."""

    def __init__(self, due: Sequence[DueDelivery], *lanes: Lane) -> None:
        self.due = due
        self.held = list(lanes)
        self.members = [ONE]
        self.decided: list[list[int | str]] = []
        self.parked: list[tuple[str, str]] = []
        self.emptied: list[str] = []
        self.emptied_rows: list[int] = []
        """What the next emptyings find."""
        self.due_at = 0.0
        self.looked_at: list[float] = []
        self.scheduling = self.membership = self.suppression_imports = self.recipient_erasure = self

    async def due_in_s(self) -> float:
        now = asyncio.get_running_loop().time()
        self.looked_at.append(now)
        return self.due_at - now if self.due else math.inf

    async def page_in(self, limit: int, lease_s: float, decide: Decide) -> PagedIn:
        decisions = await decide(self.due)
        self.decided.append(decisions)
        leased = [waiting for waiting, to in zip(self.due, decisions, strict=True) if isinstance(to, int)]
        return PagedIn(leased, len(self.due) - len(leased), 0)

    async def park(self, deliveries: Sequence[DueDelivery], lanes: Sequence[str]) -> None:
        self.parked += [(waiting.message_id, lane) for waiting, lane in zip(deliveries, lanes, strict=True)]

    async def lanes(self) -> list[Lane]:
        return self.held

    async def empty_lane(self, destination: str, limit: int) -> int:
        self.emptied.append(destination)
        return self.emptied_rows.pop(0) if self.emptied_rows else 0

    async def owners(self, alive_s: float) -> tuple[list[DeliveryActor], int]:
        return self.members, 0


class Ways:
    """Every domain is a separate site, and "hot.example" is split; mail of the pool "elsewhere" leaves from a source
    whose addresses no member has."""

    async def prepare(self, deliveries: Sequence[DueDelivery], max_wait_s: float) -> None:
        pass

    def known_or_own(self, waiting: DueDelivery) -> Destination:
        return Destination(waiting.domain, "away" if waiting.pool == "elsewhere" else "")

    def shares_of(self, site: str, source: str) -> int:
        return 2 if site == "hot.example" else 1

    async def follow(self) -> None:
        pass

    def sources_are(self, machines: Iterable[Iterable[str]]) -> None:
        pass

    def uses(self, source: str) -> bool:
        return source != "gone"


class World:
    """Paging with one delivery actor, which takes no more than ``room`` of an offer."""

    def __init__(self, backlog: Backlog, room: int = 1000) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.room = room
        self.is_gone = self.is_full = False
        ways = cast(Any, Ways())
        self.dispatcher = Dispatcher(cast(Journal, backlog), self._call, ways, ways)
        self.paging = Paging(cast(Journal, backlog), self.dispatcher, 60.0)

    async def _call(self, name: str, method: str, *args: Any) -> Any:
        self.calls.append((name, method, *args))
        if self.is_gone:
            raise PeerGone("one", "died")
        if method != "offer":
            return None
        return OfferAnswer(list(range(len(decode_offer(args[0]))))[self.room :], 0 if self.is_full else 1)


async def a_world(backlog: Backlog, room: int = 1000) -> World:
    world = World(backlog, room)
    await world.dispatcher.refresh()
    return world


def deliveries(*domains: str) -> list[DueDelivery]:
    return [DueDelivery(f"msg_{number}", 0, "tnt_1", domain) for number, domain in enumerate(domains)]


async def test_what_is_due_is_leased_to_its_owner_or_waits_in_its_lane_without_one() -> None:
    backlog = Backlog(
        [DueDelivery("msg_1", 0, "tnt_1", "a.example"), DueDelivery("msg_2", 0, "tnt_1", "b.example", "elsewhere")]
    )
    world = await a_world(backlog)
    page = await world.paging.round()
    assert backlog.decided == [[7, "away>b.example"]]
    assert (len(page), backlog.parked, len(world.calls)) == (2, [], 1)


async def test_what_finds_no_room_is_parked_and_its_lane_not_offered_for_a_while() -> None:
    backlog = Backlog(deliveries("a.example", "a.example", "b.example"))
    world = await a_world(backlog, room=1)
    await world.paging.round()
    assert backlog.parked == [("msg_1", "a.example"), ("msg_2", "b.example")]
    backlog.due = deliveries("a.example", "c.example")
    await world.paging.round()
    assert backlog.decided[-1] == ["a.example", 7]


async def test_an_owner_that_is_full_for_one_tenant_is_asked_for_others() -> None:
    world = await a_world(Backlog([]), room=0)
    world.is_full = True
    flood = deliveries("a.example")
    assert await world.dispatcher.offer(flood, {}) == flood
    world.room = 1
    other = DueDelivery("msg_9", 0, "tnt_2", "a.example")
    assert await world.dispatcher.offer([*flood, other], {}) == flood
    assert [decode_offer(call[2]) for call in world.calls] == [flood, [other]]


@in_virtual_time
async def test_an_owner_without_any_room_is_offered_nothing_for_a_while() -> None:
    backlog = Backlog(deliveries("a.example"))
    world = await a_world(backlog, room=0)
    world.is_full = True
    await world.paging.round()
    backlog.due = deliveries("b.example", "c.example")
    await world.paging.round()
    assert backlog.decided[-1] == ["b.example", "c.example"]
    late = deliveries("d.example")
    assert await world.dispatcher.offer(late, {}) == late
    assert len(world.calls) == 1
    await world.dispatcher.tell_owners()
    (_, method, lanes), *others = world.calls[1:]
    # Lanes of mail that is not parked yet are left out: their owner would look too early, and forget them.
    assert (method, {lane.destination for lane in lanes}) == (
        "fetch_from_lanes",
        {"a.example", "b.example", "c.example"},
    )
    await world.dispatcher.tell_owners()
    assert others == [] and len(world.calls) == 2, "each is told of once"
    await world.dispatcher.park(late)
    await world.dispatcher.tell_owners()
    (_, method, lanes), *others = world.calls[2:]
    assert (method, {lane.destination for lane in lanes}) == ("fetch_from_lanes", {"d.example"})
    await world.dispatcher.tell_owners()
    assert others == [] and len(world.calls) == 3, "each is told of once"
    await asyncio.sleep(OWNER_FULL_S)
    await world.paging.round()
    assert world.calls[3][1] == "offer"


async def test_what_is_offered_to_one_that_is_gone_is_parked() -> None:
    backlog = Backlog(deliveries("a.example"))
    world = await a_world(backlog)
    world.is_gone = True
    await world.paging.round()
    assert backlog.parked == [("msg_0", "a.example")]


async def test_without_members_nothing_is_paged_in() -> None:
    backlog = Backlog(deliveries("a.example"))
    backlog.members = []
    world = await a_world(backlog)
    assert len(await world.paging.round()) == 0
    assert not backlog.decided


async def test_owners_are_told_their_lanes_and_those_of_other_times_are_emptied() -> None:
    lanes = [Lane(name, "tnt_1") for name in ("a.example", "hot.example#1/2", "out>a.example", "away>a.example")]
    old = [Lane(name, "tnt_1") for name in ("hot.example", "a.example#0/4", "#", "hot.example#1/3", "gone>a.example")]
    backlog = Backlog([], *lanes, *old)
    world = await a_world(backlog)
    await world.paging.name_lanes()
    assert world.calls == [("one", "fetch_from_lanes", lanes[:3])]
    assert backlog.emptied == [lane.destination for lane in old]


async def test_a_long_lane_of_a_site_that_was_split_leaves_it_quickly_and_within_bounds() -> None:
    backlog = Backlog([], Lane("hot.example", "tnt_1"), Lane("gone>a.example", "tnt_1"))
    world = await a_world(backlog)
    backlog.emptied_rows = [PAGE] * 2
    await world.paging.name_lanes()
    assert backlog.emptied == ["hot.example"] * 3 + ["gone>a.example"]
    backlog.emptied, backlog.emptied_rows = [], [PAGE] * 100
    await world.paging.name_lanes()
    assert backlog.emptied.count("hot.example") == EMPTIED_PAGES


async def test_an_owner_that_is_gone_does_not_end_the_naming() -> None:
    world = await a_world(Backlog([], Lane("a.example", "tnt_1")))
    world.is_gone = True
    await world.paging.name_lanes()
    assert len(world.calls) == 1


def test_a_slow_listing_never_leaves_lanes_alone_for_long() -> None:
    assert lanes_pause_s(0.001) == LANES_S
    assert lanes_pause_s(0.1) == 5.0
    assert lanes_pause_s(30.0) == LANES_AT_MOST_S


@in_virtual_time
async def test_an_end_waits_until_what_is_leased_was_offered() -> None:
    backlog = Backlog(deliveries("a.example"))
    world = await a_world(backlog)
    tasks, asked, may_answer = Tasks(), asyncio.Event(), asyncio.Event()
    call = world._call

    async def slow(name: str, method: str, *args: Any) -> Any:
        if method == "offer":
            asked.set()
            await may_answer.wait()
        return await call(name, method, *args)

    world.dispatcher._call = slow
    world.paging.begin(tasks)
    await asked.wait()
    ending = asyncio.create_task(world.paging.end())
    await asyncio.sleep(1.0)
    assert not ending.done()
    may_answer.set()
    await ending
    offers = [called for called in world.calls if called[1] == "offer"]
    await asyncio.sleep(10.0)
    assert len(offers) == len([called for called in world.calls if called[1] == "offer"]) == 1
    await tasks.stop()


@in_virtual_time
async def test_at_the_end_what_a_silent_owner_did_not_take_is_parked_and_nothing_else() -> None:
    """Otherwise it would wait until its lease is over."""
    backlog = Backlog([])
    backlog.members = [ONE, DeliveryActor("two", 8, frozenset({"out"}))]
    world = await a_world(backlog)
    owner_of = {name: world.dispatcher.owner_of(Destination(name, "")) for name in (f"{i}.example" for i in range(20))}
    backlog.due = deliveries(*owner_of)
    silent_ones = {name for name, owner in owner_of.items() if owner == backlog.members[1]}
    assert 0 < len(silent_ones) < len(owner_of)
    tasks, asked = Tasks(), asyncio.Event()
    call = world._call

    async def silent(name: str, method: str, *args: Any) -> Any:
        if name == "two":
            asked.set()
            await asyncio.Event().wait()
        return await call(name, method, *args)

    world.dispatcher._call = silent
    world.paging.begin(tasks)
    await asked.wait()
    async with asyncio.timeout(END_S):
        await world.paging.end()
    await tasks.stop()
    assert {lane for _, lane in backlog.parked} == silent_ones
    assert world.dispatcher.offers["lost"] == len(silent_ones)


@in_virtual_time
async def test_an_end_does_not_wait_for_a_journal_that_stands_still() -> None:
    backlog = Backlog(deliveries("a.example"))
    world = await a_world(backlog, room=0)
    tasks, parking = Tasks(), asyncio.Event()

    async def park(deliveries: Sequence[DueDelivery], lanes: Sequence[str]) -> None:
        parking.set()
        await asyncio.Event().wait()

    backlog.park = park  # type: ignore[method-assign]
    world.paging.begin(tasks)
    await parking.wait()
    async with asyncio.timeout(END_S + 0.1):
        await world.paging.end()
    await tasks.stop()


async def test_the_owner_is_told_of_a_full_lane_again_when_more_was_parked_in_it() -> None:
    """It may have emptied the lane meanwhile, and forgotten it."""
    backlog = Backlog(deliveries("a.example"))
    world = await a_world(backlog, room=0)
    await world.paging.round()
    await world.dispatcher.tell_owners()
    await world.paging.round()
    assert backlog.decided == [[7], ["a.example"]]
    world.calls.clear()
    await world.dispatcher.tell_owners()
    assert world.calls == [("one", "fetch_from_lanes", [Lane("a.example", "tnt_1")])]


@in_virtual_time
async def test_while_nothing_is_due_the_journal_is_asked_seldom_and_when_something_will_be() -> None:
    backlog = Backlog([])
    world = await a_world(backlog)
    tasks = Tasks()
    world.paging.begin(tasks)
    began = asyncio.get_running_loop().time()
    await asyncio.sleep(10)
    assert len(backlog.looked_at) == pytest.approx(10 / LONGEST_IDLE_S, abs=1)
    backlog.due, backlog.due_at = deliveries("a.example"), began + 10.7
    await asyncio.sleep(0.75)
    assert backlog.decided
    await tasks.stop()


@in_virtual_time
async def test_only_with_the_lanes_is_what_is_parked_looked_through() -> None:
    lane = Lane("a.example", "tnt_1")
    world = await a_world(Backlog([], lane))
    tasks = Tasks()
    world.paging.begin(tasks)
    await asyncio.sleep(5.0)
    assert world.calls == []
    world.paging.begin_lanes(tasks)
    await asyncio.sleep(0.1)
    assert world.calls == [("one", "fetch_from_lanes", [lane])]
    await world.paging.end()
    await tasks.stop()
