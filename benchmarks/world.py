"""The world of a measured run: a sink, and a real ``postray up`` that relays to it. On loopback, gone at the end.

Counts what the sink took by unique ids, and says when nothing more is under way. Decides nothing about figures.
"""

import asyncio
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from os import getpid
from pathlib import Path

import psycopg
from msgspec import Struct

from benchmarks.chaos.facts import LEFT
from benchmarks.postray import Postray
from benchmarks.sink import SinkOptions
from benchmarks.sink_log import Receipt
from benchmarks.sink_process import SinkProcess
from benchmarks.usage import Watch
from cluster.installation.embedded import journal_dsn

LOOK_S = 0.2
STALLED_S = 30.0
"""Without a further message at the sink for so long, what is missing is taken for lost."""
RECORDED_S = 60.0
"""How long the events may take into ClickHouse after the last delivery."""

Variables = Callable[[str], Mapping[str, str]]
Key = tuple[str, str]
"""A copy's message and recipient."""


class Arrivals(Struct):
    """What the sink took since the last ``World.forget``, by message and recipient."""

    first_at: dict[Key, float]
    """When the first copy of each came, in seconds since the epoch."""
    copies: Counter[Key]

    @property
    def surplus(self) -> int:
        return self.copies.total() - len(self.copies)

    @property
    def messages(self) -> int:
        return len({message_id for message_id, _ in self.first_at})


class World:
    """The parts of a run, from ``open`` to ``close``. Blocking calls but for ``all_arrived`` and ``recorded``.

    ``variables``: postray's, given the sink's address. ``beside``: pids of other servers of the harness, by name.
    """

    def __init__(self, variables: Variables, sink: SinkOptions) -> None:
        # Short: a unix socket's path ends at 107 characters. Readable: under root, Postfix runs as other users.
        self.directory = Path(tempfile.mkdtemp(prefix="pr-bench-"))
        self.directory.chmod(0o755)
        self.sink = SinkProcess(self.directory / "sink", sink)
        self.arrivals = Arrivals({}, Counter())
        self.beside: dict[str, int] = {}
        self._variables = variables
        self._postray: Postray | None = None
        self._tail = self.sink.tail()

    @property
    def postray(self) -> Postray:
        assert self._postray is not None
        return self._postray

    @property
    def dsn(self) -> str:
        return journal_dsn(self.postray.settings)

    def open(self) -> None:
        """Start everything; returns when postray is ready. Raises benchmarks.postray.DidNotStart."""
        variables = {"POSTRAY_SMTP_HELO_NAME": "bench.example.com", **self._variables(self.sink.start())}
        self._postray = Postray(self.directory / "data", variables)
        self._postray.start()

    def close(self) -> None:
        """End everything; returns when nothing is left."""
        with ExitStack() as steps:  # the last first, each whatever becomes of the others
            steps.callback(shutil.rmtree, self.directory, ignore_errors=True)
            steps.callback(self.sink.stop)
            if self._postray is not None:
                steps.callback(self._postray.stop)

    def watch(self) -> Watch:
        """Of everything, the sink and the harness (which makes the load) included."""
        own = {"sink": [self.sink.pid], "harness": [getpid()]} | {name: [pid] for name, pid in self.beside.items()}
        return Watch(lambda: self.postray.parts() | own)

    # Counting

    def forget(self) -> None:
        """Begin to count anew."""
        self._tail.take()
        self.arrivals = Arrivals({}, Counter())

    def look(self) -> None:
        """Take in what the sink has written down."""
        for line in self._tail.take():
            if isinstance(line, Receipt) and line.accepted:
                for recipient in line.recipients:
                    key = (line.message_id, recipient)
                    self.arrivals.first_at.setdefault(key, line.at)
                    self.arrivals.copies[key] += 1

    async def all_arrived(self, expected: int, tell: Callable[[int], None]) -> None:
        """Return when so many different copies are at the sink, or when none has come for long."""
        seen, changed_at = -1, time.monotonic()
        while True:
            self.look()
            found = len(self.arrivals.first_at)
            tell(found)
            if found != seen:
                seen, changed_at = found, time.monotonic()
            if found >= expected or time.monotonic() - changed_at > STALLED_S:
                return
            await asyncio.sleep(LOOK_S)

    async def recorded(self, *, waiting: bool = False) -> float | None:
        """When the journal had no delivery and no event left that is not in ClickHouse, in seconds since the epoch;
        None when that took too long. With ``waiting`` there are deliveries that are not due, and events alone count."""
        deadline = time.monotonic() + RECORDED_S
        # One connection for all the looks: each costs the journal, which is measured, a process.
        with await asyncio.to_thread(self._connected) as connection:
            while not await asyncio.to_thread(_is_at_rest, connection, waiting):
                if time.monotonic() > deadline:
                    return None
                await asyncio.sleep(LOOK_S / 4)
        return time.time()

    def counted_in_journal(self) -> int:
        """Messages, by their ids."""
        with self._connected() as connection:
            row = connection.execute("SELECT count(DISTINCT id) FROM messages").fetchone()
        assert row is not None
        return int(row[0])

    def _connected(self) -> psycopg.Connection:
        return psycopg.connect(self.dsn, autocommit=True)


def _is_at_rest(connection: psycopg.Connection, waiting: bool) -> bool:
    row = connection.execute(LEFT).fetchone()
    assert row is not None
    deliveries, events = row
    return not events and (waiting or not deliveries)


def relayed(sink: str) -> dict[str, str]:
    """Everything goes to the sink, as to a smarthost."""
    return {"POSTRAY_DELIVERY_MODE": "relay", "POSTRAY_DELIVERY_RELAY": sink}


def known(arrivals: Arrivals, promised: Iterable[str]) -> int:
    """How many copies are of messages that were promised."""
    ids = set(promised)
    return sum(message_id in ids for message_id, _ in arrivals.first_at)
