"""The world of a measured run: a sink, and a real ``postray up`` that relays to it. On loopback, removed at the end.

It counts by unique ids what the sink accepted, and reports when no work is left. It computes no figures.
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
from benchmarks.postray import PostrayProcess
from benchmarks.sink import SinkOptions
from benchmarks.sink_log import Receipt
from benchmarks.sink_process import SinkProcess
from benchmarks.usage import ProcessWatch
from cluster.installation.embedded import journal_dsn
from cluster.settings import host_port

LOOK_S = 0.2
STALLED_S = 30.0
"""After this time without a further message at the sink, missing messages count as lost."""
RECORDED_S = 60.0
"""How long the events may take into ClickHouse after the last delivery."""

Variables = Callable[[str], Mapping[str, str]]
Key = tuple[str, str]
"""A copy's message and recipient."""


class SinkArrivals(Struct):
    """What the sink accepted since the last ``World.forget``, by message and recipient."""

    first_at: dict[Key, float]
    """When the first copy of each arrived, in seconds since the epoch."""
    copies: Counter[Key]

    @property
    def surplus(self) -> int:
        return self.copies.total() - len(self.copies)

    @property
    def messages(self) -> int:
        return len({message_id for message_id, _ in self.first_at})


class World:
    """The parts of a run, from ``open`` to ``close``. Calls block, except ``all_arrived`` and ``recorded``.

    ``variables``: postray's, given the sink's address. ``beside``: pids of other servers of the harness, by name.
    """

    def __init__(self, variables: Variables, sink: SinkOptions) -> None:
        # Short: a unix socket's path has at most 107 characters. Readable: under root, Postfix runs as other users.
        self.directory = Path(tempfile.mkdtemp(prefix="pr-bench-"))
        self.directory.chmod(0o755)
        self.sink = SinkProcess(self.directory / "sink", sink)
        self.arrivals = SinkArrivals({}, Counter())
        self.beside: dict[str, int] = {}
        self._variables = variables
        self._postray: PostrayProcess | None = None
        self._tail = self.sink.tail()

    @property
    def postray(self) -> PostrayProcess:
        assert self._postray is not None
        return self._postray

    @property
    def dsn(self) -> str:
        return journal_dsn(self.postray.settings)

    def open(self) -> None:
        """Start everything; returns when postray is ready. Raises benchmarks.postray.DidNotStart."""
        variables = {"POSTRAY_SMTP_HELO_NAME": "bench.example.com", **self._variables(self.sink.start())}
        self._postray = PostrayProcess(self.directory / "data", variables)
        self._postray.start()

    def close(self) -> None:
        """End everything; returns when no process is left."""
        with ExitStack() as steps:  # in reverse order; each runs even if another fails
            steps.callback(shutil.rmtree, self.directory, ignore_errors=True)
            steps.callback(self.sink.stop)
            if self._postray is not None:
                steps.callback(self._postray.stop)

    def watch(self) -> ProcessWatch:
        """A watch over everything, including the sink and the harness (which makes the load)."""
        own = {"sink": [self.sink.pid], "harness": [getpid()]} | {name: [pid] for name, pid in self.beside.items()}
        return ProcessWatch(lambda: self.postray.parts() | own)

    # Counting

    def forget(self) -> None:
        """Reset the counts."""
        self._tail.take()
        self.arrivals = SinkArrivals({}, Counter())

    def look(self) -> None:
        """Read the new lines of the sink's log."""
        for line in self._tail.take():
            if isinstance(line, Receipt) and line.accepted:
                for recipient in line.recipients:
                    key = (line.message_id, recipient)
                    self.arrivals.first_at.setdefault(key, line.at)
                    self.arrivals.copies[key] += 1

    async def all_arrived(self, expected: int, tell: Callable[[int], None]) -> None:
        """Return when ``expected`` different copies are at the sink, or none has arrived for ``STALLED_S``."""
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
        None after a timeout. With ``waiting``, deliveries that are not due remain, and only events count."""
        deadline = time.monotonic() + RECORDED_S
        # One connection for all checks: each connection costs the measured journal a process.
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
    deliveries, events, *_ = row
    return not events and (waiting or not deliveries)


def relayed(sink: str) -> dict[str, str]:
    """All mail goes to the sink, as to a smarthost."""
    return {"POSTRAY_DELIVERY_MODE": "relay", "POSTRAY_DELIVERY_RELAY": sink}


def direct(sink: str, nameserver: str) -> dict[str, str]:
    """Each domain's mail goes to its mail host, which is the sink, by the names of the harness's DNS server."""
    return {
        "POSTRAY_DELIVERY_MODE": "direct",
        "POSTRAY_SMTP_PORT": str(host_port(sink)[1]),
        # All our mail hosts are on loopback, which is prohibited for real ones.
        "POSTRAY_SMTP_ALLOWED_NETWORKS": "127.0.0.0/8",
        "POSTRAY_DNS_NAMESERVERS": nameserver,
        "POSTRAY_TLS_MTA_STS": "false",
    }


def known(arrivals: SinkArrivals, promised: Iterable[str]) -> int:
    """How many copies belong to promised messages."""
    ids = set(promised)
    return sum(message_id in ids for message_id, _ in arrivals.first_at)
