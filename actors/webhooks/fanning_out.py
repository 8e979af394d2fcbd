"""Fanning out: each event of the log becomes owed to the endpoints that want it.

A page of the log becomes bundles, one or a few for each endpoint, in the transaction that moves the cursor. So a crash
neither loses an event nor adds it twice, and no endpoint holds the log up: what it is owed waits in a table of its own.
While there are no endpoints, the cursor follows the end of the log and no event is read.
"""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import msgspec
from msgspec import Raw, Struct

from cluster.event_consumer import CannotHandle, EventConsumer, Pacing
from cluster.events import Event, Logged, WebhookAttempt, WebhookDisabled, decode_row, numbered
from cluster.journal.journal import Journal
from cluster.journal.records import LogRow
from cluster.journal.webhook_owing import NewBundle
from cluster.metrics import Counter
from cluster.webhooks.bundles import bundled_stored, encode_event
from cluster.webhooks.known import KnownEndpoints
from cluster.webhooks.owing import owed

log = logging.getLogger(__name__)

CONSUMER = "webhooks"
POLL_S = 0.2
PACING = Pacing(page_bytes=512 * 1024, page_interval_s=POLL_S, busy_interval_s=POLL_S)
"""Small pages: posting shares the event loop."""
AT_ONCE = 2000
"""Events that become owed between two turns of the event loop, for each endpoint."""
MOST_REMEMBERED = 16
"""Rows of bundles that endpoints may share."""


class OfTenant(Struct, frozen=True, gc=False):
    """What is read of an event to know whether anybody wants it."""

    tenant_id: str


_tenants = msgspec.msgpack.Decoder(list[OfTenant])


class FanningOut:
    """Call ``start`` and ``stop`` once each. ``known`` is refreshed here, before each page."""

    owed = Counter("postray_webhook_owed_total", "Events that became owed to endpoints, for each endpoint.")

    def __init__(
        self, journal: Journal, known: KnownEndpoints, data_dir: Path, on_owed: Callable[[Mapping[str, int]], None]
    ) -> None:
        """``on_owed`` is told how many events became owed to each endpoint, once the journal has them."""
        self._journal = journal
        self._known = known
        self._on_owed = on_owed
        self.consumer = EventConsumer(
            CONSUMER,
            journal,
            self._handle,
            self._prepare,
            data_dir=data_dir,
            pacing=PACING,
            poll_interval_s=POLL_S,
            log=log,
            work="fanning out",
        )

    async def start(self) -> None:
        """Begin to read the log."""
        await self.consumer.start()

    async def stop(self) -> None:
        """Fan out what the log has now, then end."""
        await self.consumer.stop()

    def problem(self) -> str | None:
        """Why events are not taken from the log."""
        return self.consumer.problem()

    async def _prepare(self) -> bool:
        await self._known.refresh()
        if not self._known.by_id:
            await self._journal.webhook_owing.skip(CONSUMER)
        return bool(self._known.by_id)

    async def _handle(self, rows: list[LogRow]) -> None:
        wanted = [one for row in rows for one in self._wanted(row)]
        messages = await self._journal.webhook_owing.messages(event for _, event in wanted)
        of_endpoints: defaultdict[str, list[Raw]] = defaultdict(list)
        count = 0
        for sequence, event in wanted:
            found = owed(sequence, event, messages, self._known.of_tenant(event.tenant_id))
            if not found:
                continue
            stored = encode_event(found[0][1])
            for webhook_id, _ in found:
                of_endpoints[webhook_id].append(stored)
            count += len(found)
            if count >= AT_ONCE:
                count = 0
                await asyncio.sleep(0)
        if not await self._journal.webhook_owing.owe(bundles_of(of_endpoints), CONSUMER, rows):
            raise CannotHandle("another process fans out as well, and was first with these rows")
        owed_events = {webhook_id: len(some) for webhook_id, some in of_endpoints.items()}
        self.owed += sum(owed_events.values())
        self._on_owed(owed_events)

    def _wanted(self, row: LogRow) -> Iterable[tuple[int, Event | WebhookDisabled]]:
        """The events of tenants with endpoints, numbered. A row that cannot be read is put aside."""
        try:
            # Most rows are of tenants without endpoints: they are not decoded as a whole.
            if not any(self._known.of_tenant(one.tenant_id) for one in _tenants.decode(row.events)):
                return ()
            found: list[tuple[int, Logged]] = numbered(row.id, decode_row(row.events))
        except (msgspec.DecodeError, ValueError, RecursionError) as error:
            self.consumer.put_aside(row, error)
            return ()
        return [
            (sequence, one)
            for sequence, one in found
            if not isinstance(one, WebhookAttempt) and self._known.of_tenant(one.tenant_id)
        ]


def bundles_of(events: Mapping[str, Sequence[Raw]]) -> Iterator[NewBundle]:
    """The bundles of what endpoints are owed, by their ids, in the order of these. Endpoints that are owed the same
    have bundles in common, made once: a tenant may have hundreds that want everything."""
    made: dict[tuple[int, ...], list[tuple[int, bytes]]] = {}
    for webhook_id in sorted(events):
        some = events[webhook_id]
        key = tuple(map(id, some))
        if key not in made:
            if len(made) >= MOST_REMEMBERED:
                made.clear()
            made[key] = list(bundled_stored(some))
        for count, stored in made[key]:
            yield NewBundle(webhook_id, count, stored)
