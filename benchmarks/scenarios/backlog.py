"""The backlog scenario: postray is started over a journal that is already full.

With ``due_per_s`` 0 all messages are due: how soon after ``up`` the sink has the first one, and at which rate the
others follow. Otherwise that many fall due each second, from some time after ``up``: how late they are. Each repeat has
a new journal; it is watched for a time and not drained.
"""

import asyncio
import time
from collections.abc import Mapping
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import Annotated

import psycopg
from msgspec import Meta

from benchmarks.blocking import to_its_end
from benchmarks.phases import Tell
from benchmarks.records import Better, Repeat
from benchmarks.runner import Measure
from benchmarks.scenarios.growth import largest_mb
from benchmarks.scenarios.sending import COUNTED, Messages, SendingWorld, WorldOptions
from benchmarks.series import percentile, thinned, throughput
from benchmarks.world import World
from cluster.installation.embedded import EmbeddedPostgres
from cluster.journal.records import Address, BodyPart, Content, PreparedPersonalization, encode

LEAD_S = 30.0
"""Later messages begin to fall due this long after they are written: postray must be up then."""
SETTLED_S = 3.0
"""The lateness of the first seconds is not counted: connections are still being opened."""

FILL = """
INSERT INTO requests (id, tenant_id, created_at, categories, content)
SELECT 'req_' || lpad('', 26, '0'), id, now(), '{}', %(content)s FROM tenants;
INSERT INTO messages (tenant_id, id, request_id, created_at, from_email, to_emails, subject, personal)
SELECT t.id, 'msg_' || lpad(i::text, 26, '0'), 'req_' || lpad('', 26, '0'), now(), 'hello@mail.example.com',
    '{ada@example.com}', 'Backlog', %(personal)s FROM tenants t, generate_series(1, %(messages)s) AS i;
INSERT INTO deliveries (message_id, recipient_no, tenant_id, domain, recipient, due_at, expires_at, alone)
SELECT 'msg_' || lpad(i::text, 26, '0'), 0, t.id, 'example.com', 'ada@example.com',
    now() + make_interval(secs => %(lead_s)s + i * %(apart_s)s), now() + interval '30 days', true
FROM tenants t, generate_series(1, %(messages)s) AS i;
"""


class BacklogOptions(WorldOptions, frozen=True, kw_only=True):
    messages: Messages = 1_000_000
    due_per_s: Annotated[float, Meta(ge=0, le=2000, description="That fall due each second; 0: all are due.")] = 0.0
    seconds: Annotated[float, Meta(ge=1, le=600, description="Watched, from the first message on.")] = 20.0


class Backlog:
    """The backlog scenario."""

    name = "backlog"
    title = "postray brought up over a full journal"
    notes = (
        COUNTED,
        "Every delivery that the journal calls finished must be at the sink. Memory is resident, of the product's "
        "largest process. Late: from due to the sink.",
    )

    def __init__(self, options: BacklogOptions) -> None:
        self.settings = options
        self._sending: SendingWorld | None = None

    @property
    def measures(self) -> tuple[Measure, ...]:
        return (
            Measure("first delivery after up", "s", Better.LOWER),
            Measure("delivered", "msg/s", Better.HIGHER),
            Measure("late p50", "ms", Better.LOWER),
            Measure("late p99", "ms", Better.LOWER),
            Measure("largest process", "MiB", Better.LOWER),
        )

    async def open(self, tell: Tell) -> None:
        """Does nothing: each repeat starts a new world."""

    async def close(self) -> None:
        if self._sending is not None:
            await self._sending.close()
            self._sending = None

    async def measure(self, share: float, tell: Tell) -> Repeat:
        options = self.settings
        messages, seconds = max(1, round(share * options.messages)), share * options.seconds
        self._sending = SendingWorld(options)
        try:
            tell(f"{messages} messages are written", 0)
            await self._sending.open(tell)  # its first life creates tenant and schema
            world = self._sending.world
            await to_its_end(world.postray.stop)
            first_due = await to_its_end(fill, world.postray.data_dir, messages, options.due_per_s)
            began = time.time()
            await to_its_end(world.postray.start)
            return await self._watched(world, began, first_due, seconds, tell)
        finally:
            await self.close()

    async def _watched(self, world: World, began: float, first_due: float, seconds: float, tell: Tell) -> Repeat:
        watch = world.watch()
        await watch.start()
        await world.all_arrived(1, lambda n: tell(f"{n} at the sink", 0))
        first = min(world.arrivals.first_at.values(), default=began)
        while (left := first + seconds - time.time()) > 0:
            await asyncio.sleep(min(left, 0.5))
            world.look()
            tell(f"{len(world.arrivals.first_at)} at the sink", 1 - left / seconds)
        usage = await watch.stop()
        finished = await asyncio.to_thread(_finished, world.dsn)
        world.look()
        at = {message_id: at for (message_id, _), at in world.arrivals.first_at.items()}
        in_time = sum(moment < first + seconds for moment in at.values())
        figures = {"delivered": in_time / seconds, "largest process": largest_mb(usage)}
        late_ms: tuple[float, ...] = ()
        if self.settings.due_per_s:
            late_ms = lateness_ms(at, first_due, 1 / self.settings.due_per_s)
            figures |= {f"late p{p}": percentile(late_ms, p / 100) for p in (50, 99) if late_ms}
        else:
            figures["first delivery after up"] = first - began
        return Repeat(
            figures=figures,
            seconds=seconds,
            promised=len(finished),
            counted=len(finished & at.keys()),
            copies=world.arrivals.surplus,
            usage=usage,
            throughput=throughput(at.values(), first),
            latencies_ms={"from due to the sink": thinned(late_ms)} if late_ms else {},
        )


def lateness_ms(at: Mapping[str, float], first_due: float, apart_s: float) -> tuple[float, ...]:
    """How late each message arrived at the sink, in ms, sorted; only those due ``SETTLED_S`` after the first or
    later."""
    dues = ((message_id, first_due + (int(message_id.removeprefix("msg_")) - 1) * apart_s) for message_id in at)
    return tuple(sorted((at[message_id] - due) * 1000 for message_id, due in dues if due >= first_due + SETTLED_S))


def fill(data_dir: Path, messages: int, due_per_s: float) -> float:
    """Write messages, numbered from 1, into the journal of a stopped postray. Returns when the first is due, in seconds
    since the epoch."""
    text = "Hello, this is the backlog.\n" * 60
    content = Content(from_=Address("hello@mail.example.com"), subject="Backlog", parts=(BodyPart("text/plain", text),))
    values = {
        "content": encode(content),
        "personal": encode(PreparedPersonalization(to=(Address("ada@example.com"),))),
        "messages": messages,
        "lead_s": LEAD_S if due_per_s else 0.0,
        "apart_s": 1 / due_per_s if due_per_s else 0.0,
    }
    server = EmbeddedPostgres(data_dir / "postgres")
    with ExitStack() as stack:
        dsn = server.start()
        stack.callback(server.stop)
        connection = stack.enter_context(psycopg.connect(dsn, autocommit=True))
        for statement in FILL.split(";")[:-1]:
            connection.execute(statement.encode(), values)
        connection.execute("VACUUM ANALYZE deliveries")
        row = connection.execute("SELECT min(due_at) FROM deliveries").fetchone()
        assert row is not None and isinstance(row[0], datetime)
        return row[0].timestamp()


def _finished(dsn: str) -> set[str]:
    with psycopg.connect(dsn, autocommit=True) as connection:
        return {message_id for (message_id,) in connection.execute("SELECT message_id FROM outcomes")}
