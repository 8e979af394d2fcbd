"""The stages scenario: the cost of each step of a message, in µs of CPU per message, one after the other.

The code is the product's own, called as its actors call it, with batches of their sizes. The journal and ClickHouse are
real; the sink is another process. CPU is that of this process with all its threads, plus Postgres's where a step uses
it. Not included: HTTP, Ray's calls between processes, the scheduler, waiting at a site and its pool, and the sink.
"""

import asyncio
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from typing import Annotated, TypeVar

import msgspec
import psutil
from msgspec import Meta, Struct

from actors.compose.dkim import Signer
from actors.compose.message import draft_message, finish
from actors.compose.mime import compile_content
from actors.compose.skeleton import Skeleton
from actors.delivery.committer import accepted_of
from actors.delivery.composing import SLICE
from actors.delivery.job import Hop, Job, hop_of
from actors.delivery.ledger import Ledger
from actors.delivery.outcomes import Circumstances, build_outcomes, utc_now, verdicts_of
from actors.smtp.client import SmtpConnection
from actors.smtp.commands import Envelope
from actors.smtp.transaction import TransactionResult
from analytics.client import ClickHouse
from analytics.rows import columns
from api.send.conversion import new_request
from api.send.request import MailSend
from api.send.validation import check
from benchmarks.blocking import to_its_end
from benchmarks.lone_journal import lone_journal
from benchmarks.mail import Mail, Shape
from benchmarks.phases import Tell
from benchmarks.records import Better, Repeat
from benchmarks.runner import Measure
from benchmarks.scenarios.sending import Messages, PerRequest
from benchmarks.sink import SinkOptions, Writing
from benchmarks.sink_log import Line, Receipt
from benchmarks.sink_process import SinkProcess
from benchmarks.tail import Tail
from cluster.dkim_keys import generate_ed25519_key, generate_rsa_key, load_private_key
from cluster.events import decode_batch, encode_batch
from cluster.journal.records import (
    Claimed,
    DueDelivery,
    NewRequest,
    OutcomeWithEvent,
    decode_content,
    decode_personalization,
)
from cluster.policy.balance.assignment import Assignment
from cluster.policy.lifecycle import Transition
from cluster.policy.routes.membership import ACTOR_ALIVE_S, make_ring
from cluster.policy.routes.ownership import Candidate
from cluster.routing.offer import decode_offer
from cluster.settings import ClickHouseSettings, SmtpSettings, host_port

DECODE = "decode, validate, convert"
COMMIT = "intake commit"
DISPATCH = "dispatch"
CLAIM = "claim"
COMPOSE = "render, MIME"
SIGN = "DKIM"
SIGN_TWICE = "second signature"
SEND = "transaction"
JUDGE = "verdict, ledger"
OUTCOME = "outcome commit"
RECORD = "recorder"
SUM = "sum"
POSTGRES = "of it Postgres"
"""Of intake commit, claim and outcome commit."""
HEARTBEAT = "a heartbeat among 100 actors"
"""Beside the message: what each delivery actor costs Postgres every second."""
STAGES = (DECODE, COMMIT, DISPATCH, CLAIM, COMPOSE, SIGN, SIGN_TWICE, SEND, JUDGE, OUTCOME, RECORD)

CLAIMED_AT_ONCE = 64
OUTCOMES_AT_ONCE = 500
OFFERED_AT_ONCE = 1000
LEASE_S = 600.0
RETRIES_S = (300.0,)
SENDER = "bench@mail.example.com"
MEMBERS, BEATS = 100, 10
WRITTEN_S = 0.5
"""After this the sink has written its log."""

T = TypeVar("T")
_decode_mail = msgspec.json.Decoder(MailSend).decode
_encode_offer = msgspec.msgpack.Encoder().encode


class Options(Struct, frozen=True, kw_only=True):
    """The options of a run."""

    messages: Messages = 5000
    per_request: PerRequest = 1000
    connections: Annotated[int, Meta(ge=1, le=200, description="SMTP connections to the sink.")] = 20


class RepliedMessage(Struct, frozen=True):
    """A message with its host's reply."""

    job: Job
    hop: Hop
    result: TransactionResult


class Stages:
    """The stages scenario."""

    name = "stages"
    title = "CPU a message, stage by stage"
    notes = (
        "Not in it: HTTP, Ray's calls, the scheduler, a message's wait at its site, the sink. The sum is what one core "
        "would need for a message.",
        "Messages are counted at the sink, by their ids.",
    )

    def __init__(self, options: Options) -> None:
        self.settings = options
        self._mail = Mail(Shape())
        self._stack = AsyncExitStack()
        self._next = 1

    @property
    def measures(self) -> tuple[Measure, ...]:
        of_messages = (Measure(name, "µs/msg", Better.LOWER) for name in (*STAGES, SUM, POSTGRES))
        return *of_messages, Measure(HEARTBEAT, "µs", Better.LOWER)

    async def open(self, tell: Tell) -> None:
        alone = await self._stack.enter_async_context(lone_journal("stages", offer_grace_s=LEASE_S))
        directory, self._postgres, self._journal = alone.directory, alone.postgres, alone.journal
        self._tenant_id = await self._journal.tenants.create("bench")
        self._epoch, _ = await self._journal.membership.register("stages", "here")
        self._clickhouse = await to_its_end(ClickHouse.open, ClickHouseSettings(), directory)
        self._stack.callback(self._clickhouse.close)
        self._clickhouse.migrate()
        self._ledger = Ledger(directory / "ledger")
        self._ledger.unsettled()
        self._stack.callback(self._ledger.close)
        sink = SinkProcess(directory / "sink", SinkOptions(writing=Writing.SOON))
        self._stack.callback(sink.stop)
        await self._connect(await to_its_end(sink.start))
        self._tail: Tail[Line] = sink.tail()
        rsa, ed25519 = (load_private_key(make()[0]) for make in (generate_rsa_key, generate_ed25519_key))
        self._signers = Signer("mail.example.com", {"r": rsa}), Signer("mail.example.com", {"r": rsa, "e": ed25519})

    async def _connect(self, address: str) -> None:
        host, port = host_port(address)
        self._connections = [
            await SmtpConnection.open(host, host, port, settings=SmtpSettings(), helo_name="bench.example.com")
            for _ in range(self.settings.connections)
        ]
        for connection in self._connections:
            self._stack.callback(connection.abort)

    async def close(self) -> None:
        await self._stack.aclose()

    async def measure(self, share: float, tell: Tell) -> Repeat:
        began, clock = time.monotonic(), Clock(self._postgres.pid)
        messages = max(self.settings.per_request, round(share * self.settings.messages))
        bodies = [
            self._mail.body(range(start, start + self.settings.per_request))
            for start in range(self._next, self._next + messages, self.settings.per_request)
        ]
        self._next += len(bodies) * self.settings.per_request
        self._tail.take()
        tell("intake", 0)
        requests = self._take_in(bodies, clock)
        with clock.running(COMMIT):
            for request in requests:
                await self._journal.intake.accept([request])
        waiting = self._dispatch(requests, clock)
        tell("delivery", 0.3)
        claimed = await self._claim(waiting, clock)
        jobs = self._compose(claimed, requests, clock)
        with clock.running(SEND):
            sent = await self._send_all(jobs)
        tell("outcomes", 0.8)
        with clock.running(JUDGE):
            told = self._judge(sent)
        batches = await self._commit(told, clock)
        with clock.running(RECORD):
            self._clickhouse.insert(columns([event for batch in batches for event in decode_batch(batch)]))
        await asyncio.sleep(WRITTEN_S)
        counted = {line.message_id for line in self._tail.take() if isinstance(line, Receipt) and line.accepted}
        figures = {name: clock.took_s[name] / len(claimed) * 1e6 for name in STAGES}
        figures |= {SUM: sum(figures.values()), POSTGRES: clock.postgres_s / len(claimed) * 1e6}
        return Repeat(
            figures=figures | {HEARTBEAT: await self._beat(clock) * 1e6},
            seconds=round(time.monotonic() - began, 3),
            promised=len(jobs),
            counted=len(counted & {delivery.message_id for job in jobs for delivery in job.deliveries}),
        )

    # The stages

    def _take_in(self, bodies: Sequence[bytes], clock: "Clock") -> list[NewRequest]:
        found = []
        with clock.running(DECODE):
            for body in bodies:
                mail = _decode_mail(body)
                checked = check(mail)
                assert not checked.faults
                now, lifetime = datetime.now(UTC), timedelta(days=1)
                found.append(
                    new_request(
                        mail, checked.files, tenant_id=self._tenant_id, sandbox=False, now=now, lifetime=lifetime
                    )
                )
        return found

    def _dispatch(self, requests: Sequence[NewRequest], clock: "Clock") -> list[DueDelivery]:
        """Up to the delivery actor's side of an offer, without the call between the processes."""
        with clock.running(DISPATCH):
            due = [
                DueDelivery(message.id, number, request.tenant_id, recipient.domain)
                for request in requests
                for message in request.messages
                for number, recipient in enumerate(message.recipients)
            ]
            return [one for some in _in_turn(due, OFFERED_AT_ONCE) for one in decode_offer(_encode_offer(list(some)))]

    async def _claim(self, waiting: Sequence[DueDelivery], clock: "Clock") -> list[Claimed]:
        claimed: list[Claimed] = []
        with clock.running(CLAIM):
            for some in _in_turn(waiting, CLAIMED_AT_ONCE):
                claimed += await self._journal.queue.claim(some, owner=self._epoch, lease_s=LEASE_S)
        return claimed

    def _compose(self, claimed: Sequence[Claimed], requests: Sequence[NewRequest], clock: "Clock") -> list[Job]:
        """Three times: without a signature, with RSA's, and with both. The differences are the costs of the signatures.
        The three take turns, because the speed of a machine changes."""
        with clock.running(COMPOSE):
            skeletons = {request.id: compile_content(decode_content(request.content), {}) for request in requests}
        took = [0.0, 0.0, 0.0]
        jobs: list[Job] = []
        for some in _in_turn(claimed, SLICE):
            for number, signer in enumerate((None, *self._signers)):
                began = time.process_time()
                made = _composed(some, skeletons, signer)
                took[number] += time.process_time() - began
            jobs += made
        clock.took_s[COMPOSE] += took[0]
        clock.took_s[SIGN] = took[1] - took[0]
        clock.took_s[SIGN_TWICE] = took[2] - took[1]
        return jobs

    async def _send_all(self, jobs: Sequence[Job]) -> list[RepliedMessage]:
        left, sent = iter(jobs), list[RepliedMessage]()
        await asyncio.gather(*(self._send(connection, left, sent) for connection in self._connections))
        return sent

    async def _send(self, connection: SmtpConnection, left: Iterator[Job], sent: list[RepliedMessage]) -> None:
        for job in left:
            result = await connection.send(job.envelope, job.data)
            assert result.final is not None and result.final.positive
            sent.append(RepliedMessage(job, hop_of(connection), result))

    def _judge(self, sent: Sequence[RepliedMessage]) -> list[OutcomeWithEvent]:
        """One by one; the accepted ones of each are appended to the ledger together."""
        told: list[OutcomeWithEvent] = []
        for one in sent:
            verdicts = verdicts_of(one.job, one.result)
            circumstances = Circumstances(
                now=utc_now(),
                jitter=0.0,
                site="example.org",
                acceptance=Transition.ACCEPTED,
                retry_schedule_s=RETRIES_S,
            )
            found = build_outcomes(one.job, one.hop, verdicts, round(one.result.duration * 1000), circumstances)
            self._ledger.append(accepted_of(found))
            told += found
        return told

    async def _commit(self, told: Sequence[OutcomeWithEvent], clock: "Clock") -> list[bytes]:
        """Returns the encoded events."""
        with clock.running(OUTCOME):
            for some in _in_turn(told, OUTCOMES_AT_ONCE):
                await self._journal.queue.commit(some, owner=self._epoch)
                self._ledger.settle(len(some))
        return [encode_batch([event for _, event in some]) for some in _in_turn(told, OUTCOMES_AT_ONCE)]

    async def _beat(self, clock: "Clock") -> float:
        """The heartbeats of many actors; returns Postgres's seconds of CPU for one."""
        membership = self._journal.membership
        epochs = {f"stages-{n}": (await membership.register(f"stages-{n}", "here"))[0] for n in range(MEMBERS)}
        ring = make_ring([Candidate(name) for name in epochs], Assignment()).name
        for name, epoch in epochs.items():  # all of them live from now on
            await membership.heartbeat(name, epoch, ring, ACTOR_ALIVE_S)
        before = clock.postgres_s
        with clock.running(HEARTBEAT):
            for name, epoch in [*epochs.items()] * BEATS:
                await membership.heartbeat(name, epoch, ring, ACTOR_ALIVE_S)
        return (clock.postgres_s - before) / (len(epochs) * BEATS)


class Clock:
    """CPU seconds by stage: of this process, and of the Postgres with this pid. ``postgres_s``: Postgres's alone."""

    def __init__(self, postgres_pid: int) -> None:
        self.took_s: dict[str, float] = {}
        self.postgres_s = 0.0
        self._postgres = psutil.Process(postgres_pid)

    @contextmanager
    def running(self, stage: str) -> Iterator[None]:
        own, others = time.process_time(), self._postgres_s()
        yield
        of_postgres = self._postgres_s() - others
        self.took_s[stage] = time.process_time() - own + of_postgres
        self.postgres_s += of_postgres

    def _postgres_s(self) -> float:
        """Workers come and go; the time of ended ones is included in the parent's."""
        spent = 0.0
        own = self._postgres.cpu_times()
        spent += own.user + own.system + own.children_user + own.children_system
        for child in self._postgres.children():
            try:
                times = child.cpu_times()
                spent += times.user + times.system
            except psutil.NoSuchProcess:
                continue
        return spent


def _in_turn(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


def _composed(claimed: Sequence[Claimed], skeletons: Mapping[str, Skeleton], signer: Signer | None) -> list[Job]:
    """The jobs of at most ``SLICE`` deliveries, composed as the delivery actor composes them."""
    drafts = [
        draft_message(
            skeletons[delivery.request_id],
            decode_personalization(delivery.personalization),
            signer,
            message_id=f"<{delivery.message_id}@mail.example.com>",
            date=delivery.created_at,
            signed_at=delivery.created_at,
        )
        for delivery in claimed
    ]
    return [
        Job(
            deliveries=(delivery,),
            envelope=Envelope(SENDER, (delivery.recipient,), envelope_id=delivery.message_id),
            data=wire.data,
            categories=(),
        )
        for delivery, wire in zip(claimed, finish(drafts), strict=True)
    ]
