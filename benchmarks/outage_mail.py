"""The mail of an outage, moved through the journal by the statements that API, scheduler, delivery actors and recorder
use, without these processes.

Steady mail to hosts that answer goes on all the time. Mail to hosts that are down is accepted and parked in the lanes
of its destinations, tried, deferred, paged in and parked again; later it is taken from the lanes and delivered. Some
messages are scheduled for another day and only wait.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any, TypeVar

from cluster.events import Deferred, Delivered
from cluster.ids import new_id, new_ids
from cluster.journal.journal import Journal
from cluster.journal.records import (
    Address,
    BodyPart,
    Claimed,
    Content,
    DueDelivery,
    NewMessage,
    NewRequest,
    Outcome,
    OutcomeWithEvent,
    PreparedPersonalization,
    Recipient,
    encode,
)
from cluster.journal.scheduling import Lane
from cluster.policy.lifecycle import Status

T = TypeVar("T")

OWNER = 1
LEASE_S = 600.0
PER_REQUEST = 1000
CLAIMED_AT_ONCE = 64
COMMITTED_AT_ONCE = 500
LANES_AT_ONCE = 10
PAGE = 1000
LOG_ROWS, LOG_BYTES, TRIM_EVERY = 2000, 2 * 1024**2, 10
"""As a consumer of the log reads it."""
STEADY_S = 0.1
"""Time between two requests of the steady mail."""
LATER = timedelta(days=10)
REASON = "connect to mx.example.org[203.0.113.7]:25: Connection refused"
CONTENT = encode(
    Content(from_=Address("hello@mail.example.com"), subject="Outage", parts=(BodyPart("text/plain", "Hello"),))
)


class OutageMail:
    """``domains``: the number of destinations that are down."""

    def __init__(self, journal: Journal, tenant_id: str, domains: int) -> None:
        self._journal = journal
        self._tenant_id = tenant_id
        self._lanes = [Lane(f"192.0.2.1>d{number}.example", tenant_id) for number in range(domains)]
        self._numbers = count(1)
        self._log_is_read = asyncio.Event()
        self._log_is_read.set()
        self._log_is_empty = asyncio.Event()
        self.accepted = 0
        self.claims_ms: list[float] = []
        """Of the claims of steady mail."""
        self.accepts_ms: list[float] = []
        """Of its acceptance."""

    def request(
        self, messages: int, *, domain: str = "example.com", send_at: datetime | None = None, sandbox: bool = False
    ) -> NewRequest:
        """A new request to one domain."""
        now = datetime.now(UTC)
        made = []
        for id in new_ids("msg_", messages):
            email = f"reader{next(self._numbers)}@{domain}"
            made.append(
                NewMessage(
                    id=id,
                    subject="Outage",
                    from_email="hello@mail.example.com",
                    to_emails=(email,),
                    personalization=encode(PreparedPersonalization(to=(Address(email),))),
                    recipients=(Recipient(email, domain),),
                    send_at=send_at,
                    expires_at=(send_at or now) + timedelta(days=3),
                    sandbox=sandbox,
                )
            )
        return NewRequest(
            id=new_id("req_"), tenant_id=self._tenant_id, content=CONTENT, messages=tuple(made), created_at=now
        )

    async def accept(self, request: NewRequest) -> list[DueDelivery]:
        await self._journal.intake.accept([request])
        self.accepted += len(request.messages)
        return [DueDelivery(m.id, 0, self._tenant_id, m.recipients[0].domain) for m in request.messages]

    async def finished_before(self, messages: int) -> None:
        """Store messages that have ended, as a journal has them that has been at work."""
        for number in range(0, messages, PER_REQUEST):
            await self.accept(self.request(min(PER_REQUEST, messages - number), sandbox=True))

    async def scheduled(self, messages: int) -> list[DueDelivery]:
        """Accept messages for another day, a few at a time as they come."""
        return await self.accept(self.request(messages, send_at=datetime.now(UTC) + LATER))

    # The steady mail

    @asynccontextmanager
    async def steady(self, rate: float) -> AsyncIterator[None]:
        """Within it mail to hosts that answer is accepted and delivered, and the log is read."""
        ending = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._deliver_steadily(rate, ending))
            group.create_task(self._read_log(ending))
            try:
                yield
            finally:
                ending.set()
                self._log_is_read.set()

    async def _deliver_steadily(self, rate: float, ending: asyncio.Event) -> None:
        clock = asyncio.get_running_loop().time
        next_at = clock()
        while not ending.is_set():
            request = self.request(max(1, round(rate * STEADY_S)))
            began = time.perf_counter()
            due = await self.accept(request)
            self.accepts_ms.append((time.perf_counter() - began) * 1000)
            claimed = []
            for some in _some(due, CLAIMED_AT_ONCE):
                began = time.perf_counter()
                claimed += await self._journal.queue.claim(some, owner=OWNER, lease_s=LEASE_S)
                self.claims_ms.append((time.perf_counter() - began) * 1000)
            await self._commit([_delivered(one) for one in claimed])
            next_at = max(next_at + STEADY_S, clock() - 1)
            await asyncio.sleep(max(0.0, next_at - clock()))

    # The log

    def leave_log(self) -> None:
        """The consumer reads nothing until ``read_log``."""
        self._log_is_read.clear()
        self._log_is_empty.clear()

    def read_log(self) -> None:
        self._log_is_read.set()

    async def until_log_is_read(self) -> None:
        await self._log_is_empty.wait()

    async def _read_log(self, ending: asyncio.Event) -> None:
        log, pages = self._journal.event_log, 0
        while True:
            await self._log_is_read.wait()
            last = ending.is_set()
            rows = await log.after("recorder", LOG_ROWS, LOG_BYTES)
            if rows:
                await log.move_cursor("recorder", rows[-1].tx, rows[-1].id)
                pages += 1
            if pages >= (TRIM_EVERY if rows else 1):
                await log.trim()
                pages = 0
            if not rows:
                self._log_is_empty.set()
                if last:
                    return
                await asyncio.sleep(STEADY_S)

    # The outage

    async def queue_up(self, messages: int) -> None:
        """Accept messages to the hosts that are down, and park them."""
        for number, start in enumerate(range(0, messages, PER_REQUEST)):
            lane = self._lanes[number % len(self._lanes)]
            domain = lane.destination.partition(">")[2]
            due = await self.accept(self.request(min(PER_REQUEST, messages - start), domain=domain))
            await self._journal.scheduling.park(due, [lane.destination] * len(due))

    async def try_all(self) -> int:
        """Try each parked delivery once, in vain, and park it again when it is due; returns how many."""
        tried = 0
        async for leased in self._from_lanes():
            claimed = await self.claim(leased)
            await self._commit([_deferred(one) for one in claimed])
            tried += len(claimed)
        while await self._journal.scheduling.due_in_s() <= 0:
            await self._journal.scheduling.page_in(PAGE, LEASE_S, self._park)
        return tried

    async def drain(self, most: int) -> int:
        """Deliver what is parked, about ``most``; returns how many."""
        delivered = 0
        async for leased in self._from_lanes():
            delivered += await self.deliver(leased)
            if delivered >= most:
                break
        return delivered

    async def deliver(self, deliveries: Sequence[DueDelivery]) -> int:
        """Claim deliveries and end them; returns how many."""
        claimed = await self.claim(deliveries)
        for some in _some(claimed, COMMITTED_AT_ONCE):
            await self._commit([_delivered(one) for one in some])
        return len(claimed)

    async def claim(self, deliveries: Sequence[DueDelivery]) -> list[Claimed]:
        claimed = []
        for some in _some(deliveries, CLAIMED_AT_ONCE):
            claimed += await self._journal.queue.claim(some, owner=OWNER, lease_s=LEASE_S)
        return claimed

    async def _from_lanes(self) -> AsyncIterator[list[DueDelivery]]:
        lanes = self._lanes
        while lanes:
            some, others = lanes[:LANES_AT_ONCE], lanes[LANES_AT_ONCE:]
            taken = await self._journal.scheduling.lease_from_lanes(
                dict.fromkeys(some, COMMITTED_AT_ONCE // len(some)), COMMITTED_AT_ONCE, owner=OWNER, lease_s=LEASE_S
            )
            yield taken.leased
            lanes = others + [lane for lane in some if lane not in taken.emptied]

    async def _park(self, page: Sequence[DueDelivery]) -> list[int | str]:
        return [f"192.0.2.1>{one.domain}" for one in page]

    async def _commit(self, results: Sequence[OutcomeWithEvent]) -> None:
        if results:
            await self._journal.queue.commit(results, owner=OWNER)


def _some(items: Sequence[T], most: int) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), most):
        yield items[start : start + most]


def _delivered(claimed: Claimed) -> OutcomeWithEvent:
    event = Delivered(
        **_attempt(claimed, datetime.now(UTC)),
        tls_version="TLSv1.3",
        tls_cipher="TLS_AES_256_GCM_SHA384",
        smtp_response="250 2.0.0 Ok: queued as 4XK2bL0dZ3z9",
        duration_ms=120,
    )
    return _outcome(claimed, Status.DELIVERED), event


def _deferred(claimed: Claimed) -> OutcomeWithEvent:
    """Due again at once."""
    now = datetime.now(UTC)
    event = Deferred(**_attempt(claimed, now), reason=REASON, next_attempt_at=now.timestamp())
    return _outcome(claimed, Status.QUEUED, now, REASON), event


def _attempt(claimed: Claimed, at: datetime) -> dict[str, Any]:
    """What the events of attempts have in common."""
    return {
        "id": new_id("evt_"),
        "at": at.timestamp(),
        "tenant_id": claimed.tenant_id,
        "message_id": claimed.message_id,
        "recipient": claimed.recipient,
        "attempt": claimed.attempts,
        "site": claimed.domain,
        "mx_host": f"mx.{claimed.domain}",
        "mx_ip": "203.0.113.7",
        "source_ip": "192.0.2.1",
    }


def _outcome(claimed: Claimed, status: Status, due_at: datetime | None = None, error: str | None = None) -> Outcome:
    return Outcome(
        tenant_id=claimed.tenant_id,
        message_id=claimed.message_id,
        recipient_no=claimed.recipient_no,
        status=status,
        due_at=due_at,
        sole_recipient=claimed.sole_recipient,
        error_message=error,
    )
