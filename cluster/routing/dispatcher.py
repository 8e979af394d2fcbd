"""Dispatch: which delivery actor owns a delivery, and offering it to that actor.

Used by the scheduler for what it pages in and by the API process for what it has just accepted. Never waits for
delivery and never insists: an offer that is refused or lost stays in the journal, where the scheduler finds it.
"""

import asyncio
import logging
from collections import OrderedDict, defaultdict, deque
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime

import msgspec
from msgspec import Struct

from cluster.journal.journal import Journal, Unavailable
from cluster.journal.records import DeliveryActor, NewRequest, Waiting
from cluster.journal.scheduling import Lane
from cluster.peers import Call, PeerGone
from cluster.policy.routes.destinations import Destination
from cluster.policy.routes.ownership import Candidate, owner
from cluster.routing.active_policy import InForce
from cluster.routing.router import Placer

log = logging.getLogger(__name__)

ACTOR_ALIVE_S = 10.0
"""A delivery actor that has not been seen for this long owns nothing."""
REFRESH_S = 1.0
TELL_S = 0.1
"""Between two times that owners are told what is parked for them, where anything is."""
PREPARED_WITHIN_S = 0.1
"""How long an offer waits for the next answer of the DNS: what takes longer goes to whoever owns the domain by its
name, who waits for it."""
OWNERS_KEPT = 100_000
OFFER_BATCH = 1000
OFFER_TURN = 100
"""Of a batch, at a tenant's turn."""
PENDING_AT_MOST = 50_000
"""Deliveries of one API process that wait to be offered, some 200 bytes each."""
FULL_S = 0.25
"""A lane that was refused, and an owner without any room for a tenant, are taken to be full for this long: what comes
for them is parked without an offer. Its owner has work for longer than that; it knows that it is to look there, or is
told within ``TELL_S``: it may be the only mail of its tenant."""
SHARED_FROM_BYTES = 64 * 1024
"""Content from this size on travels through the object store, once; less is cheaper to read from the journal."""
SHARED_AT_MOST_BYTES = 64 * 1024 * 1024
"""What one API process keeps in the object store at a time; beyond it the journal serves."""

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(list[Waiting])


class OfferAnswer(Struct, frozen=True):
    """What a delivery actor says to an offer: the positions it refused, and how many more it would take."""

    refused: list[int]
    room: int


class Shared(Struct, frozen=True):
    """A request's content and files as one piece (``encode_shared``), where delivery actors reach it."""

    handle: Awaitable[bytes]
    size: int
    """Bytes of it, held in the object store as long as anybody has the handle."""


def decode_offer(batch: bytes) -> list[Waiting]:
    return _decoder.decode(batch)


class Dispatcher:
    """Knows the live delivery actors, and with that the owner of every destination."""

    def __init__(self, journal: Journal, call: Call, placer: Placer, in_force: InForce) -> None:
        self._journal = journal
        self._call = call
        self._placer = placer
        self._in_force = in_force
        self._members: dict[str, DeliveryActor] = {}
        self._candidates: tuple[Candidate, ...] = ()
        self._owners: OrderedDict[Destination, str | None] = OrderedDict()
        self._full: dict[tuple[str, str], float] = {}
        """By owner and tenant, until when (loop time) it is taken to have no room for more of the tenant's."""
        self._untold: dict[str, set[Lane]] = defaultdict(set)
        """By owner, the lanes in which something has been parked."""
        self._passed: dict[str, set[Lane]] = defaultdict(set)
        """By owner, the lanes in which something is being parked that it was not offered. It is told when that is
        done: an owner who looks too early finds an empty lane, and forgets it."""

    @property
    def members(self) -> Iterable[DeliveryActor]:
        return self._members.values()

    async def refresh(self) -> None:
        """Learn which delivery actors are alive, and which policies are in force. Raises Unavailable."""
        await self._in_force.follow()
        members = {actor.name: actor for actor in await self._journal.delivery_actors(ACTOR_ALIVE_S)}
        if members.keys() != self._members.keys():
            log.info("members changed members=%s", ",".join(members) or "none")
        candidates = tuple(Candidate(actor.name, actor.sources) for actor in members.values())
        if candidates != self._candidates:
            self._owners.clear()
        self._members, self._candidates = members, candidates
        self._in_force.sources_are(candidate.sources for candidate in candidates)

    async def keep_fresh(self) -> None:
        """Refresh, and tell owners what is parked for them, for ever."""
        clock = asyncio.get_running_loop().time
        refresh_at = 0.0
        while True:
            if clock() >= refresh_at:
                try:
                    await self.refresh()
                except Unavailable as error:
                    log.warning("members not refreshed reason=%r", error.reason)
                refresh_at = clock() + REFRESH_S
            await self.tell_owners()
            await asyncio.sleep(TELL_S)

    async def tell_owners(self) -> None:
        """Tell owners where something is parked for them."""
        untold, self._untold = self._untold, defaultdict(set)
        for name, lanes in untold.items():
            try:
                await self._call(name, "refill", list(lanes))
            except PeerGone as gone:
                log.warning("lanes not named actor=%s reason=%r", name, gone.reason)

    async def prepare(self, deliveries: Iterable[Waiting]) -> None:
        """Learn where deliveries go, as far as that takes no longer than they may wait."""
        await self._placer.prepare(deliveries, PREPARED_WITHIN_S)

    def destination_of(self, waiting: Waiting) -> Destination:
        """Where it goes, as far as that is known: its owner finds out what is not."""
        return self._placer.known_or_own(waiting)

    def lane_of(self, waiting: Waiting) -> Lane:
        """Where it waits when its owner has no room for it."""
        return Lane(str(self.destination_of(waiting)), waiting.tenant_id)

    def exists(self, place: Destination) -> bool:
        """Whether anything can be placed there: another split, or a source that is no longer used, is of the past."""
        return place.shares == self._placer.shares_of(place.site) and self._in_force.uses(place.source)

    def has_left(self, waiting: Waiting, lane: Lane) -> bool:
        """Whether a delivery in a lane is known to have another place by now."""
        placed = self._placer.known(waiting)
        return placed is not None and str(placed.destination) != lane.destination

    def owner_of(self, place: Destination) -> DeliveryActor | None:
        """The owner of a destination; None when nobody can send to it."""
        if place in self._owners:
            self._owners.move_to_end(place)
            name = self._owners[place]
        else:
            name = self._owners[place] = owner(place, self._candidates)
            if len(self._owners) > OWNERS_KEPT:
                self._owners.popitem(last=False)
        return self._members[name] if name is not None else None

    def passes_over(self, owner: DeliveryActor, place: Destination, tenant_id: str) -> bool:
        """Whether an owner had no room at all for a tenant a moment ago. What the tenant has for this place is then
        parked without an offer, and the owner is told of the lane soon: another offer would cost the owner as much as
        the last one, and hold up the process that makes it. It is a matter of owner and tenant, as a tenant that holds
        little may find room where others do not."""
        if asyncio.get_running_loop().time() >= self._full.get((owner.name, tenant_id), 0.0):
            return False
        self._passed[owner.name].add(Lane(str(place), tenant_id))
        return True

    async def offer(self, deliveries: Sequence[Waiting], contents: Mapping[str, Shared]) -> list[Waiting]:
        """Offer deliveries to their owners; returns those that nobody took.

        ``contents``: shared contents by request id, for the owners to await instead of asking the journal.
        """
        await self.prepare(deliveries)
        by_owner: dict[str, list[Waiting]] = defaultdict(list)
        nobodys = []
        for waiting in deliveries:
            place = self.destination_of(waiting)
            to = self.owner_of(place)
            if to is None or self.passes_over(to, place, waiting.tenant_id):
                nobodys.append(waiting)
            else:
                by_owner[to.name].append(waiting)
        refused = await asyncio.gather(*(self._offer_to(name, own, contents) for name, own in by_owner.items()))
        return [waiting for some in (nobodys, *refused) for waiting in some]

    async def park(self, refused: Sequence[Waiting]) -> list[Lane]:
        """Let deliveries that nobody took wait in their lanes, which are returned. What was passed over before this is
        parked by now, or with these. Raises Unavailable."""
        lanes = [self.lane_of(waiting) for waiting in refused]
        if refused:
            await self._journal.park(refused, [lane.destination for lane in lanes])
        for lane, waiting in dict(zip(lanes, refused, strict=True)).items():
            # Also owners who refused: they may have looked before it was parked.
            if (to := self.owner_of(self.destination_of(waiting))) is not None:
                self._passed[to.name].add(lane)
        passed, self._passed = self._passed, defaultdict(set)
        for name, its in passed.items():
            self._untold[name] |= its
        return lanes

    async def _offer_to(self, name: str, deliveries: list[Waiting], contents: Mapping[str, Shared]) -> list[Waiting]:
        try:
            answer: OfferAnswer = await self._call(name, "offer", _encoder.encode(deliveries), dict(contents))
        except PeerGone as gone:
            log.warning("offer lost actor=%s deliveries=%d reason=%r", name, len(deliveries), gone.reason)
            return deliveries
        refused = [deliveries[i] for i in answer.refused]
        if refused and not answer.room:
            now = asyncio.get_running_loop().time()
            self._full = {full: until for full, until in self._full.items() if until > now}
            self._full.update(((name, waiting.tenant_id), now + FULL_S) for waiting in refused)
        return refused


class DirectOffers:
    """Offers what the API has just accepted to its owners, without keeping anybody waiting.

    Bounded: what does not fit is left to the scheduler.
    """

    def __init__(
        self,
        dispatcher: Dispatcher,
        share: Callable[[bytes], Awaitable[Awaitable[bytes]]],
        window: int = PENDING_AT_MOST,
        lull_s: float = 0.002,
    ) -> None:
        """``share`` puts bytes where delivery actors reach them without the journal, and returns a handle to await."""
        self._dispatcher = dispatcher
        self._share = share
        self._window = window
        self._lull_s = lull_s
        self._pending: OrderedDict[str, deque[Waiting]] = OrderedDict()
        """By tenant, whose turn comes first."""
        self._pending_in_all = 0
        self._contents: dict[str, bytes] = {}
        self._kept: deque[Shared] = deque()
        self._kept_bytes = 0
        self._full: dict[Lane, float] = {}
        self._something = asyncio.Event()

    def __call__(self, requests: Sequence[NewRequest]) -> None:
        """Take what was committed. Never blocks, never fails."""
        now = datetime.now(UTC)
        for request in requests:
            if not self.add(request.due(now)):
                continue
            if len(request.content) + sum(map(len, request.attachments.values())) >= SHARED_FROM_BYTES:
                self._contents[request.id] = encode_shared(request.content, request.attachments)

    def add(self, due: Sequence[Waiting]) -> int:
        """Take deliveries of one tenant that are due, as many as there is room for; returns how many. Where there is
        none, the tenant with the most has to give way: its flood keeps no other from being offered."""
        if not due:
            return 0
        own = self._pending.setdefault(due[0].tenant_id, deque())
        own.extend(due)
        self._pending_in_all += len(due)
        left = len(due)
        while (excess := self._pending_in_all - self._window) > 0:
            longest, second = self._longest()
            # In steps, as there may be many tenants with as much.
            dropped = min(excess, len(longest), max(len(longest) - second, excess // 16 + 1))
            for _ in range(dropped):
                longest.pop()
            self._pending_in_all -= dropped
            left -= dropped if longest is own else 0
        self._something.set()
        return left

    def _longest(self) -> tuple[deque[Waiting], int]:
        """What the tenant with the most has pending, and how many the next one has."""
        longest, second = max(self._pending.values(), key=len), 0
        for own in self._pending.values():
            if own is not longest:
                second = max(second, len(own))
        return longest, second

    def _next_batch(self) -> list[Waiting]:
        """Some of what is pending, tenants in turn."""
        batch: list[Waiting] = []
        while self._pending and len(batch) < OFFER_BATCH:
            tenant_id, own = self._pending.popitem(last=False)
            batch += [own.popleft() for _ in range(min(OFFER_TURN, OFFER_BATCH - len(batch), len(own)))]
            if own:
                self._pending[tenant_id] = own
        self._pending_in_all -= len(batch)
        return batch

    async def run(self) -> None:
        """Offer for ever."""
        while True:
            await self._something.wait()
            # A short lull gathers what concurrent commits bring into one call per owner.
            await asyncio.sleep(self._lull_s)
            self._something.clear()
            contents = {}
            for request_id, content in self._contents.items():
                if (shared := await self._keep(content)) is not None:
                    contents[request_id] = shared
            self._contents = {}
            while self._pending:
                await self._offer(self._next_batch(), contents)

    async def _offer(self, batch: Sequence[Waiting], contents: Mapping[str, Shared]) -> None:
        """What finds no room is parked at once: the scheduler, who would do that, looks at it only after the grace."""
        now = asyncio.get_running_loop().time()
        self._full = {lane: until for lane, until in self._full.items() if until > now}
        hopeless: list[Waiting] = []
        offered: list[Waiting] = []
        for waiting in batch:
            is_hopeless = bool(self._full) and self._dispatcher.lane_of(waiting) in self._full
            (hopeless if is_hopeless else offered).append(waiting)
        refused = await self._dispatcher.offer(offered, contents)
        parked = [*hopeless, *refused]
        try:
            lanes = await self._dispatcher.park(parked)
        except Unavailable as error:
            log.warning("refused offers not parked deliveries=%d reason=%r", len(parked), error.reason)
            return
        self._full.update(dict.fromkeys(lanes[len(hopeless) :], now + FULL_S))

    async def _keep(self, content: bytes) -> Shared | None:
        """Share content, and hold on to its handle (the store drops what nobody holds) while there is room for it."""
        if len(content) > SHARED_AT_MOST_BYTES:
            return None
        while self._kept_bytes + len(content) > SHARED_AT_MOST_BYTES:
            self._kept_bytes -= self._kept.popleft().size
        shared = Shared(await self._share(content), len(content))
        self._kept.append(shared)
        self._kept_bytes += shared.size
        return shared


_shared_encoder = msgspec.msgpack.Encoder()
_shared_decoder = msgspec.msgpack.Decoder(tuple[bytes, dict[bytes, bytes]])


def encode_shared(content: bytes, attachments: Mapping[bytes, bytes]) -> bytes:
    """A request's shared content and files as one piece."""
    return _shared_encoder.encode((content, attachments))


def decode_shared(data: bytes) -> tuple[bytes, dict[bytes, bytes]]:
    """(encoded content, files by sha256)."""
    return _shared_decoder.decode(data)
