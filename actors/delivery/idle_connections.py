"""Idle connections: their number is bounded over all sites together."""

import asyncio

from cluster.metrics import Gauge

IDLE_AT_MOST = 5000
"""Idle connections of a process, some 40 KB each."""


class IdleConnections:
    """The workers of all pools that wait for a job. With too many of them, the one that has waited longest closes, so
    that hosts in frequent use keep their connections."""

    waiting = Gauge("postray_smtp_idle_connections", "SMTP connections without work.", lambda idle: len(idle._waiters))

    def __init__(self, at_most: int = IDLE_AT_MOST) -> None:
        self._at_most = at_most
        self._waiters: dict[asyncio.Future[bool], None] = {}

    def add(self, waiter: asyncio.Future[bool]) -> None:
        self._waiters[waiter] = None
        if len(self._waiters) > self._at_most:
            longest = next(iter(self._waiters))
            del self._waiters[longest]
            wake_worker(longest, False)

    def remove(self, waiter: asyncio.Future[bool]) -> None:
        self._waiters.pop(waiter, None)


def wake_worker(waiter: asyncio.Future[bool], there_is_a_job: bool) -> bool:
    """Wake an idle worker: to take a job, or to close. Returns False if it was woken before."""
    if waiter.done():
        return False
    waiter.set_result(there_is_a_job)
    return True
