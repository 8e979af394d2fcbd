"""Poison: a message that kills every actor that composes it, simulated from outside, without a hook in the product.

It watches the markers of the delivery actors (``actors/delivery/marker.py``), and sends SIGKILL to an actor as soon as
it works on a poison message, in every life, while the message is unfinished. A missed chance comes again: the sink
always defers poison recipients (``sink.py``), so only setting the message aside ends it.
"""

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Self

import psycopg

from actors.delivery.marker import NAME, Damaged, read
from benchmarks.chaos.mail import POISON_FROM
from benchmarks.postray import PostrayProcess

ASK_S = 0.5
LOOK_S = 0.001
"""Composing the poison takes a hundred times as long."""
JOIN_S = 10.0
CONNECT_S = 2

UNFINISHED = """
SELECT m.id FROM messages m WHERE m.from_email = %s AND EXISTS (SELECT FROM deliveries d WHERE d.message_id = m.id)
"""


class Poisoner:
    """Active as a context. ``spared``: processes that must not be killed now."""

    def __init__(self, postray: PostrayProcess, dsn: str, spared: Callable[[], set[int]]) -> None:
        self._postray = postray
        self._dsn = dsn
        self._spared = spared
        self._unfinished: frozenset[str] = frozenset()
        self._markers: list[Path] = []
        self._ended = threading.Event()
        self._threads = [threading.Thread(target=work, daemon=True) for work in (self._ask, self._look)]
        self.killed: list[tuple[float, int]] = []
        """When it killed which processes; in seconds since the epoch."""

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join(JOIN_S)

    def _ask(self) -> None:
        """Read the unfinished poison messages from the journal; while it is unavailable, the last answer counts."""
        while not self._ended.wait(ASK_S):
            with (
                contextlib.suppress(psycopg.OperationalError),
                psycopg.connect(self._dsn, autocommit=True, connect_timeout=CONNECT_S) as connection,
            ):
                found = connection.execute(UNFINISHED, [POISON_FROM["email"]])
                self._unfinished = frozenset(message_id for (message_id,) in found)
            names = self._postray.names("delivery") if self._unfinished else []
            self._markers = [self._postray.data_dir / "ledger" / name / NAME for name in names]

    def _look(self) -> None:
        killed: set[int] = set()
        while not self._ended.is_set():
            time.sleep(LOOK_S if self._unfinished else ASK_S)
            for marker in self._markers:
                try:
                    life = read(marker)
                except (FileNotFoundError, Damaged):
                    continue  # there is none yet, or a new life is writing it
                named = {struck.message_id for struck in life.struck}
                if life.epoch in killed or not named & self._unfinished or life.pid in self._spared():
                    continue
                if self._postray.has(life.pid):
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(life.pid, signal.SIGKILL)
                        killed.add(life.epoch)
                        self.killed.append((time.time(), life.pid))
