"""What a pool holds for each of its next hops: jobs that wait, and the workers that take them."""

import asyncio
from collections import deque
from itertools import islice

from msgspec import Struct

from actors.delivery.job import Hop, Job, Report
from actors.smtp.share import Share
from cluster.policy.routes.next_hop import NextHop


class QueuedJob(Struct, eq=False):
    """A job, how often a connection was lost with it, and whether it was taken back."""

    job: Job
    tries: int = 0
    taken: bool = False
    moves: int = 0
    """How often a host had it sent over another connection, this one being used up."""
    instead: tuple[Hop, Report] | None = None
    """What an earlier host said to it: the news, should no connection to the next one be had."""


LOOKED_THROUGH = 50
"""Jobs among which one is looked for that a connection may carry."""


class HopGroup:
    """The jobs and workers of one next hop."""

    def __init__(self, hop: NextHop) -> None:
        self.hop = hop
        self.jobs: deque[QueuedJob] = deque()
        self.idle: deque[asyncio.Future[bool]] = deque()
        """Workers that wait: True tells one that there is a job, False that it is to go."""
        self.workers = 0
        self.connecting = 0
        self.taken_at = 0.0
        """When a job was last begun (loop time)."""
        self.not_before = 0.0
        """When the next connection may be opened (loop time)."""

    def take_fitting(self, share: Share) -> QueuedJob | None:
        """The first of the next jobs that a connection may carry, or a part of it."""
        found = next(
            (one for one in islice(self.jobs, LOOKED_THROUGH) if share.fitting(one.job.envelope.recipients)), None
        )
        if found is not None:
            self.jobs.remove(found)
        return found
