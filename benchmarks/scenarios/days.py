"""The days scenario: how long mail is held up when large days lose their bodies and their records.

It uses the real journal over an embedded Postgres. Two past days are filled, one whose bodies go and one whose records
go; some messages of each are unfinished. Steady mail, moved by the statements of the product, goes on all the time.
"""

import asyncio
import hashlib
import logging
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, date, datetime, timedelta
from typing import Annotated

import psycopg
from msgspec import Meta, Struct
from msgspec.structs import replace

from benchmarks.lone_journal import lone_journal
from benchmarks.outage_mail import OutageMail
from benchmarks.past_mail import begin_on, fill_day, redated
from benchmarks.phases import Tell
from benchmarks.records import Better, Repeat
from benchmarks.runner import Measure
from cluster.journal.day_tables import DAY_TABLES
from cluster.journal.journal import Journal
from cluster.journal.records import Attachment, decode_content, encode
from cluster.journal.rewriting import Rewritten
from cluster.policy.retention import Cutoffs
from cluster.tasks import end_all

MOST_WAIT_MS = 300.0
"""Well under a second."""
LOCKED = ", ".join(table.name for table in DAY_TABLES)
PROBE_S = 0.002
BODIES, RECORDS = 8, 31
"""The days, so long ago, whose bodies and whose records go."""
FILE = b"a file" * 1000
LATER = timedelta(days=100)
PER_REQUEST = 1000

_WHOLE = """
SELECT count(*) FROM deliveries d
JOIN messages m ON m.tenant_id = d.tenant_id AND m.id = d.message_id AND m.personal <> ''
JOIN requests r ON r.id = m.request_id AND r.content <> ''
WHERE EXISTS (SELECT FROM attachments a WHERE a.tenant_id = m.tenant_id AND a.sha256 = %s)
"""
_ENDED = "SELECT count(*) FROM requests WHERE content <> '' AND categories = ARRAY['ended']"


class Options(Struct, frozen=True, kw_only=True):
    """The options of a run."""

    messages: Annotated[int, Meta(ge=1000, le=20_000_000, description="Of each day, that ended.")] = 300_000
    unfinished: Annotated[int, Meta(ge=1, le=1_000_000, description="Of each day.")] = 3000
    body_bytes: Annotated[int, Meta(ge=16, le=1900, description="Of each body.")] = 1600
    rate: Annotated[float, Meta(ge=10, le=5000, description="Steady mail, messages a second.")] = 300
    seconds: Annotated[float, Meta(ge=1, le=600, description="Of steady mail alone before.")] = 10


class Days:
    """The days scenario."""

    name = "days"
    title = "What holds mail up while large days go"
    notes = (
        "What waits longest for the tables is a transaction that only locks them, as intake does.",
        "An exchange is held until its commit has been answered, which is after its locks are free and files deleted.",
    )
    measures = (
        *(
            Measure(f"longest wait for the tables, {when}", "ms", Better.LOWER, most)
            for when, most in (("before", None), ("while bodies go", MOST_WAIT_MS), ("while records go", MOST_WAIT_MS))
        ),
        *(Measure(f"{what}: the longest exchange is held", "ms", Better.LOWER) for what in ("bodies", "records")),
        *(Measure(f"{what}: the whole takes", "s", Better.LOWER) for what in ("bodies", "records")),
        *(
            Measure(f"longest {what}, {when}", "ms", Better.LOWER)
            for what in ("claim", "acceptance")
            for when in ("before", "while bodies go", "while records go")
        ),
    )

    def __init__(self, options: Options) -> None:
        self.settings = options
        self._stack = AsyncExitStack()

    async def open(self, tell: Tell) -> None:
        """Does nothing: each repeat has a new journal."""

    async def close(self) -> None:
        await self._stack.aclose()

    async def measure(self, share: float, tell: Tell) -> Repeat:
        began = time.monotonic()
        logging.getLogger("cluster.journal.intake").setLevel(logging.ERROR)  # days that are missing are wanted
        try:
            alone = await self._stack.enter_async_context(lone_journal("days", connections=8, max_wait_s=60))
            journal, dsn = alone.journal, alone.dsn
            days = Going(journal, dsn, await journal.tenants.create("bench"), self.settings, tell)
            figures = await days.run(max(1000, round(share * self.settings.messages)))
            unfinished, ended = await asyncio.to_thread(left, dsn)
        finally:
            await self._stack.aclose()
        return Repeat(
            figures=figures,
            seconds=round(time.monotonic() - began, 3),
            promised=2 * self.settings.unfinished,
            counted=unfinished - ended,
        )


class Going:
    """Two days that go."""

    def __init__(self, journal: Journal, dsn: str, tenant_id: str, options: Options, tell: Tell) -> None:
        self._journal = journal
        self._dsn = dsn
        self._tenant_id = tenant_id
        self._options = options
        self._tell = tell
        self._mail = OutageMail(journal, tenant_id, 1)
        self._waits_ms: list[float] = []
        self._figures: dict[str, float] = {}

    async def run(self, messages: int) -> dict[str, float]:
        """The figures."""
        today = datetime.now(UTC).date()
        await asyncio.to_thread(begin_on, self._dsn, today - timedelta(days=RECORDS))
        for number, back in enumerate((RECORDS, BODIES)):
            self._tell(f"messages of {back} days ago", 0.3 * number)
            await self._fill(today - timedelta(days=back), messages)
        async with self._mail.steady(self._options.rate), self._probed():
            self._tell("mail", 0.6)
            await asyncio.sleep(self._options.seconds)
            self._longest("before")
            bodies = today - timedelta(days=BODIES - 1)
            before_all = today - timedelta(days=RECORDS + 1)
            self._tell("bodies go", 0.7)
            await self._go("bodies", Cutoffs(bodies=bodies, records=before_all))
            self._tell("records go", 0.9)
            await self._go("records", Cutoffs(bodies=bodies, records=today - timedelta(days=RECORDS - 1)))
        return self._figures

    @asynccontextmanager
    async def _probed(self) -> AsyncIterator[None]:
        """Within it the tables are locked again and again, as a transaction of the intake does."""
        probing = asyncio.create_task(self._probe())
        try:
            yield
        finally:
            await end_all([probing])

    async def _probe(self) -> None:
        async with await psycopg.AsyncConnection.connect(self._dsn) as connection:
            while True:
                began = time.perf_counter()
                async with connection.transaction():
                    await connection.execute(f"LOCK TABLE ONLY {LOCKED} IN ROW EXCLUSIVE MODE".encode())
                self._waits_ms.append((time.perf_counter() - began) * 1000)
                await asyncio.sleep(PROBE_S)

    async def _fill(self, day: date, messages: int) -> None:
        """The request that is unfinished comes first: the intake makes the day."""
        sha256 = hashlib.sha256(FILE).digest()
        attachment = Attachment(filename="file.bin", sha256=sha256, size=len(FILE))
        for start in range(0, self._options.unfinished, PER_REQUEST):
            count = min(PER_REQUEST, self._options.unfinished - start)
            request = self._mail.request(count, send_at=datetime.now(UTC) + LATER)
            content = encode(replace(decode_content(request.content), attachments=(attachment,)))
            request = replace(request, content=content, attachments={sha256: FILE})
            await self._journal.intake.accept([redated(request, day)])
        await asyncio.to_thread(
            fill_day,
            self._dsn,
            self._tenant_id,
            day,
            messages,
            category="ended",
            body_bytes=self._options.body_bytes,
        )

    async def _go(self, what: str, cutoffs: Cutoffs) -> None:
        began = time.monotonic()
        rewritten = await self._journal.rewriting.clear(cutoffs)
        assert rewritten
        self._figures[f"{what}: the whole takes"] = time.monotonic() - began
        self._figures[f"{what}: the longest exchange is held"] = longest_ms(rewritten)
        self._longest(f"while {what} go")

    def _longest(self, when: str) -> None:
        """Take the longest claim, acceptance and wait since the last call."""
        self._figures[f"longest wait for the tables, {when}"] = max(self._waits_ms)
        self._waits_ms.clear()
        self._figures[f"longest claim, {when}"] = max(self._mail.claims_ms)
        self._figures[f"longest acceptance, {when}"] = max(self._mail.accepts_ms)
        self._mail.claims_ms.clear()
        self._mail.accepts_ms.clear()


def longest_ms(rewritten: list[Rewritten]) -> float:
    return max(one.held_s for one in rewritten) * 1000


def left(dsn: str) -> tuple[int, int]:
    """Unfinished messages that are whole, and messages that ended on these days and still have their body."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        whole = connection.execute(_WHOLE, [hashlib.sha256(FILE).digest()]).fetchone()
        ended = connection.execute(_ENDED).fetchone()
    assert whole is not None and ended is not None
    return int(whole[0]), int(ended[0])
