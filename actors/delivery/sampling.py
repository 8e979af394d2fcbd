"""What the flight recorder asks a delivery actor every few seconds: the state of the sites that have work, and the
counts of those that ended since.

It costs the actor some 50 µs for a site, once in a sample; the event loop goes on in between.
"""

import asyncio
from heapq import nlargest

from actors.delivery.inspection import state_of
from actors.delivery.site import Site
from actors.delivery.sites import Sites
from cluster.policy.replies.verdict import Judgement
from cluster.routing.site_state import SitesSampled

AT_ONCE = 50
"""Sites whose state is taken before the event loop does other work."""


def _busyness(site: Site) -> tuple[int, int]:
    return len(site.queue) + site.in_flight, site.stats.counts[Judgement.ACCEPTED]


async def sample_sites(
    sites: Sites, since: float, most: int, actor: str, policy_version: int, epoch_offset: float
) -> SitesSampled:
    """The sites that have work, or had some, at most ``most``, the busiest; and those that ended after ``since``, which
    is ``at`` of the sample before, or 0. ``epoch_offset``: as for ``find_sites``."""
    clock = asyncio.get_running_loop().time
    at = clock()
    ended = sites.ended_since(since)
    # One that is idle and not dropped yet, as it backs off: what it has counted is not to be missed.
    working = [site for site in sites if not site.is_idle or site.stats.heard_at > since]
    chosen = nlargest(most, working, key=_busyness) if len(working) > most else working
    states = []
    for number, site in enumerate(chosen, 1):
        states.append(state_of(site, actor, clock(), epoch_offset))
        if number % AT_ONCE == 0:
            await asyncio.sleep(0)
    return SitesSampled(
        at=at,
        policy_version=policy_version,
        sites=tuple(states),
        ended=ended,
        left_out=len(working) - len(chosen),
    )
