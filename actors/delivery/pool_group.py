"""What a pool holds for each of its next hops: the queued jobs, and the workers that send them."""

import asyncio
from collections import deque
from itertools import islice

from msgspec import Struct

from actors.delivery.job import Hop, Job, Report
from actors.smtp.share import Share
from cluster.policy.routes.next_hop import NextHop


class QueuedJob(Struct, eq=False):
    """A job in a pool. ``tries``: how often it was tried before; ``taken``: whether it was taken back."""

    job: Job
    tries: int = 0
    taken: bool = False
    moves: int = 0
    """How often it was moved to another connection because one was used up."""
    instead: tuple[Hop, Report] | None = None
    """An earlier host's report, which is used if no connection to the next host can be opened."""


LOOKED_THROUGH = 50
"""How many queued jobs are searched for one that a connection may carry."""


class HopGroup:
    """The jobs and workers of one next hop."""

    def __init__(self, hop: NextHop) -> None:
        self.hop = hop
        self.jobs: deque[QueuedJob] = deque()
        self.idle: deque[asyncio.Future[bool]] = deque()
        """Idle workers: the result True means that there is a job, False that the worker should close."""
        self.workers = 0
        self.connecting = 0
        self.taken_at = 0.0
        """When a job was last begun (loop time)."""
        self.not_before = 0.0
        """When the next connection may be opened (loop time)."""

    def take_fitting(self, share: Share) -> QueuedJob | None:
        """Remove and return the first of the next jobs that a connection may carry in whole or in part, or None."""
        found = next(
            (one for one in islice(self.jobs, LOOKED_THROUGH) if share.fitting(one.job.envelope.recipients)), None
        )
        if found is not None:
            self.jobs.remove(found)
        return found
