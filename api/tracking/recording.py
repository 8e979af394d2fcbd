"""The events of opens and clicks: noted while the recipient is answered, written to the event log in groups.

Nothing of an answer waits for the journal. A process that is killed loses what it noted in the last tenth of a second.
While the journal is away, what was noted stays in memory up to ``MOST_BYTES``; what comes then is lost, and counted.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from typing import Any

from msgspec import Struct

from cluster.events import Clicked, Opened
from cluster.ids import new_ids
from cluster.journal.engagement import EngagedMessage, RecipientEvent
from cluster.journal.journal import Journal, Rejected, Unavailable
from cluster.metrics import Counter, Gauge
from cluster.periodic_writes import PeriodicWrites
from cluster.tracking.clients import Client, KeptAddress, kept
from cluster.tracking.machines import AT_DELIVERY, is_at_delivery, machine_rule
from cluster.tracking.tokens import Recipient, Target

log = logging.getLogger(__name__)

PERIOD_S = 0.1
MOST_AT_ONCE = 1000
"""Events in one transaction."""
MOST_BYTES = 64 * 1024 * 1024
NOTE_BYTES = 900
"""What a note takes at most, without its longer texts."""
CHARACTER_BYTES = 4
"""What a character takes at most."""


class Note(Struct, frozen=True, gc=False):
    """An open, or a click on ``target``."""

    at: float
    """Seconds since the epoch."""
    recipient: Recipient
    client: Client
    target: Target | None = None
    image: str = ""
    """The image of the library that was fetched; "" for the pixel."""

    @property
    def size(self) -> int:
        texts = len(self.client.user_agent) + (len(self.target.url) if self.target else 0)
        return NOTE_BYTES + CHARACTER_BYTES * texts


class Engagements:
    """What this process has noted and not yet written."""

    opens = Counter("postray_tracking_opens_total", "Opens of messages that were noted.")
    clicks = Counter("postray_tracking_clicks_total", "Clicks on links that were noted.")
    written = Counter("postray_tracking_events_written_total", "Opens and clicks that the event log has taken.")
    lost = Counter(
        "postray_tracking_events_lost_total", "Opens and clicks lost: the journal was away too long, or refused them."
    )
    waiting = Gauge(
        "postray_tracking_events_waiting",
        "Opens and clicks that are not written yet.",
        lambda engagements: len(engagements._notes) + len(engagements._unwritten),
    )

    def __init__(self, journal: Journal, keep: KeptAddress = "full", *, clock: Callable[[], float] = time.time) -> None:
        """``keep``: what is kept of clients' addresses. ``clock`` is Unix time, in seconds."""
        self._journal = journal
        self.keep = keep
        self._clock = clock
        self._notes: list[Note] = []
        self._bytes = 0
        self._unwritten: list[RecipientEvent] = []
        """Events that the journal may or may not have taken: they are written again with the same ids."""
        self._unwritten_bytes = 0
        self._is_away = False
        self._writing = asyncio.Lock()
        writes = PeriodicWrites("opens and clicks", self.write, lambda: PERIOD_S)
        self.start, self.stop = writes.start, writes.stop

    def opened(self, recipient: Recipient, client: Client, image: str = "") -> None:
        """The pixel was fetched, or an image."""
        self.opens += 1
        self._note(Note(self._clock(), recipient, client, None, image))

    def clicked(self, recipient: Recipient, client: Client, target: Target) -> None:
        """A link was followed."""
        self.clicks += 1
        self._note(Note(self._clock(), recipient, client, target))

    def _note(self, note: Note) -> None:
        size = note.size
        if self._bytes + self._unwritten_bytes + size > MOST_BYTES:
            self.lost += 1
            return
        self._notes.append(note)
        self._bytes += size

    async def write(self) -> None:
        """Write what was noted. While the journal is away it is kept."""
        async with self._writing:
            try:
                while self._unwritten or self._notes:
                    if not self._unwritten:
                        await self._prepare()
                    await self._write_prepared()
            except Unavailable as error:
                if not self._is_away:
                    log.warning("opens and clicks not written reason=%r", error.reason)
                self._is_away = True
            else:
                self._is_away = False

    async def _prepare(self) -> None:
        """Make the events of the oldest notes."""
        notes = self._notes[:MOST_AT_ONCE]
        messages: Sequence[EngagedMessage | None]
        try:
            messages = await self._journal.engagement.messages([note.recipient for note in notes])
        except Rejected as error:
            self._lose(len(notes), error)
            messages = [None] * len(notes)
        del self._notes[: len(notes)]
        self._unwritten_bytes = sum([note.size for note in notes])
        self._bytes -= self._unwritten_bytes
        self._unwritten = events_of(notes, messages, self.keep, self._clock())

    async def _write_prepared(self) -> None:
        try:
            self.written += await self._journal.engagement.write(self._unwritten)
        except Rejected as error:
            self._lose(len(self._unwritten), error)
        self._unwritten = []
        self._unwritten_bytes = 0

    def _lose(self, count: int, error: Rejected) -> None:
        log.error("opens and clicks lost events=%d reason=%r", count, error.reason)
        self.lost += count


def events_of(
    notes: Sequence[Note], messages: Sequence[EngagedMessage | None], keep: KeptAddress, now: float
) -> list[RecipientEvent]:
    """The events of notes, each with its message; a message that is None has no events any more. Pure but for the
    ids."""
    return [
        RecipientEvent(_event(id, note, message, keep, now), note.recipient.recipient_no)
        for id, note, message in zip(new_ids("evt_", len(notes)), notes, messages, strict=True)
        if message is not None
    ]


def _event(id: str, note: Note, message: EngagedMessage, keep: KeptAddress, now: float) -> Opened | Clicked:
    client, recipient, target = note.client, note.recipient, note.target
    machine = machine_rule(client)
    if target is not None and not machine and is_at_delivery(note.at, message.delivered_at, message.is_unfinished, now):
        machine = AT_DELIVERY
    facts: dict[str, Any] = {
        "id": id,
        "at": note.at,
        "tenant_id": message.tenant_id,
        "message_id": recipient.message_id,
        "recipient": recipient.email,
        "batch_id": message.batch_id,
        "categories": message.categories,
        "ip": kept(client.address, keep),
        "user_agent": client.user_agent,
        "machine": machine,
    }
    if target is None:
        return Opened(image=note.image, **facts)
    return Clicked(url=target.url, link_index=target.link_index, **facts)
