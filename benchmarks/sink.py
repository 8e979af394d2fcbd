"""The sink of the scenarios: an SMTP server in its own process that logs every message it accepted.

    python -m benchmarks.sink LOG [OPTIONS]     prints host:port; reads orders, one per line; ends when its input does

It owns the log. A line is written before the reply, so the log contains every message for which a client may have read
a 250; with ``Writing.SOON`` a tenth of a second later, at less cost. Figures come from this log only, never from the
sender. On an ``SinkBehavior`` it misbehaves, for a share of the messages.

A recipient's local part may determine what the sink does: ``….no`` is refused with 550, ``….later`` with 450 once,
``….poison`` always with 450, ``….slow`` taken after a second.
"""

import asyncio
import sys
import time
from enum import StrEnum
from pathlib import Path
from random import Random
from typing import BinaryIO

import msgspec
import uvloop
from msgspec import Struct

from benchmarks.flight import message_id
from benchmarks.flight_session import FlightSession
from benchmarks.server_process import obey_orders
from benchmarks.sink_log import ConnectionEnded, Line, Receipt
from benchmarks.tracked_links import TrackedLinks, tracked_links
from cluster.message.return_address import message_of
from cluster.smtpd.certificate import server_context
from cluster.smtpd.envelope import (
    Answer,
    Behaviour,
    Extension,
    ReceivedMessage,
    ServerAction,
    ServerOptions,
    ServerReply,
    Then,
)
from cluster.smtpd.protocol import Service

SLOW_S = 1.0
"""The delay of a slow reply."""
SOON_S = 0.1
BUFFER_BYTES = 1 << 20
BACKLOG = 512
MOST_CONNECTIONS = 15_000
LATER_KEPT = 1_000_000
"""Recipients remembered as refused once; beyond this number they are accepted at once."""


class Manner(StrEnum):
    """What the sink does at the end of a message."""

    HONEST = "honest"
    DROP_BEFORE = "drop-before"
    DROP_AFTER = "drop-after"
    REFUSE = "refuse"
    DEFER = "defer"
    STALL_BEFORE = "stall-before"
    STALL_AFTER = "stall-after"
    SLOW = "slow"


class Writing(StrEnum):
    """When a line of the log is written."""

    AT_ONCE = "at-once"
    """Before the reply: it survives if the sink is killed."""
    SOON = "soon"
    """Together with the following ones: for measuring, where no sink is killed."""


class SinkOptions(Struct, frozen=True, kw_only=True):
    """The options of a sink."""

    delay_ms: float = 0.0
    """The delay of every reply: see ``late.py``."""
    without: tuple[Extension, ...] = ()
    """Extensions that are not offered."""
    writing: Writing = Writing.AT_ONCE
    reads: bool = False
    """It looks for tracked links and the envelope sender, and keeps mail with attachments, where recipients have
    fates."""


class SinkBehavior(Struct, frozen=True):
    """The behaviour from now on, for ``share`` of the messages (and of the connections, where it concerns them)."""

    manner: Manner
    share: float = 1.0


ATTACHED = b"\nContent-Disposition: attachment"

DEFER = ServerReply(451, "4.3.0 try again later")
CLOSING = ServerReply(421, "4.3.2 not now", then=Then.CLOSE)
UNKNOWN = ServerReply(550, "5.1.1 no such mailbox")
GREYLISTED = ServerReply(450, "4.2.1 try again in a moment")
RECIPIENT_SLOWLY = ServerReply(250, "2.1.5 recipient taken, at last", delay_s=SLOW_S)
SLOWLY = ServerReply(250, "2.0.0 taken, at last", delay_s=SLOW_S)

# For each manner: whether the message is accepted, whether a reply is sent, and the answer.
MANNERS: dict[Manner, tuple[bool, bool, Answer]] = {
    Manner.HONEST: (True, True, None),
    Manner.DROP_BEFORE: (False, False, ServerAction.DROP),
    Manner.DROP_AFTER: (True, False, ServerAction.DROP),
    Manner.REFUSE: (False, True, CLOSING),
    Manner.DEFER: (False, True, DEFER),
    Manner.STALL_BEFORE: (False, False, ServerAction.SILENCE),
    Manner.STALL_AFTER: (True, False, ServerAction.SILENCE),
    Manner.SLOW: (True, True, SLOWLY),
}


class Sink:
    """Decides on every message and logs it. If ``log`` is unbuffered, its lines survive a SIGKILL."""

    def __init__(self, log: BinaryIO, random: Random, keeps_in: Path | None = None) -> None:
        """``keeps_in``: where mail with attachments is kept; None: the sink does not read mail."""
        self._log = log
        self._keeps_in = keeps_in
        self._kept = 0
        self._random = random
        self._order = SinkBehavior(Manner.HONEST)
        self._greylisted: set[str] = set()
        self._encode = msgspec.json.Encoder().encode

    def behaviour(self) -> Behaviour:
        return Behaviour(greeting=self._greet, rcpt=self._recipient)

    def obey(self, order: SinkBehavior) -> None:
        self._order = order

    def ended(self, end: ConnectionEnded) -> None:
        self._write(end)

    def take(self, envelope: ReceivedMessage) -> Answer:
        """Decide on a complete message from the slow path."""
        identity, links, sender, kept = message_id(b"\n" + envelope.content, 1), None, "", ""
        if self._keeps_in is not None:
            # A submitted message has the Message-ID of its author.
            links, sender = tracked_links(envelope.content), envelope.mail_from
            identity = message_of(sender) or identity
            if ATTACHED in envelope.content:
                self._kept += 1
                kept = f"{self._kept}.eml"
                (self._keeps_in / kept).write_bytes(envelope.content)
        return self.decide(envelope.session, envelope.rcpt_to, identity, links, sender, kept)

    def decide(
        self,
        session: int,
        recipients: tuple[str, ...],
        identity: str,
        links: TrackedLinks | None = None,
        sender: str = "",
        kept: str = "",
    ) -> Answer:
        """The same from the facts that are known of every message (``flight_session.Decide``)."""
        accepted, replied, answer = MANNERS[self._order.manner if self._is_struck() else Manner.HONEST]
        self._write(
            Receipt(
                at=time.time(),
                session=session,
                message_id=identity,
                recipients=recipients,
                accepted=accepted,
                replied=replied,
                links=links,
                sender=sender,
                kept=kept,
            )
        )
        return answer

    def _is_struck(self) -> bool:
        return self._random.random() < self._order.share

    def _greet(self) -> Answer:
        return CLOSING if self._order.manner is Manner.REFUSE and self._is_struck() else None

    def _recipient(self, address: str) -> Answer:
        fate = address.partition("@")[0].rpartition(".")[2]
        if fate == "no":
            return UNKNOWN
        if fate == "poison":
            return GREYLISTED
        if fate == "slow":
            return RECIPIENT_SLOWLY
        if fate == "later" and address not in self._greylisted and len(self._greylisted) < LATER_KEPT:
            self._greylisted.add(address)
            return GREYLISTED
        return None

    def _write(self, line: Line) -> None:
        self._log.write(self._encode(line) + b"\n")


async def serve(log_path: Path, options: SinkOptions) -> None:
    """Serve until standard input ends, so that the sink never outlives the process that started it."""
    loop = asyncio.get_running_loop()
    buffering = 0 if options.writing is Writing.AT_ONCE else BUFFER_BYTES
    with log_path.open("ab", buffering=buffering) as log:
        sink = Sink(log, Random(0), log_path.parent if options.reads else None)
        service = Service(
            options=ServerOptions(
                hostname="sink.test",
                extensions=frozenset(Extension) - set(options.without),
                max_connections=MOST_CONNECTIONS,
            ),
            on_message=sink.take,
            tls=server_context("127.0.0.1", log_path.parent),
            behaviour=sink.behaviour(),
        )
        delay_s = options.delay_ms / 1000
        server = await loop.create_server(
            lambda: FlightSession(service, delay_s, sink.ended, sink.decide), "127.0.0.1", 0, backlog=BACKLOG
        )
        host, port = server.sockets[0].getsockname()[:2]
        print(f"{host}:{port}", flush=True)
        flushing = asyncio.create_task(_flush_for_ever(log)) if buffering else None
        await obey_orders(SinkBehavior, sink.obey)
        server.close()
        for wire in tuple(service.wires):
            wire.abort()
        if flushing is not None:
            flushing.cancel()


async def _flush_for_ever(log: BinaryIO) -> None:
    while True:
        await asyncio.sleep(SOON_S)
        log.flush()


if __name__ == "__main__":
    told = msgspec.json.decode(sys.argv[2], type=SinkOptions) if len(sys.argv) > 2 else SinkOptions()
    uvloop.run(serve(Path(sys.argv[1]), told))
