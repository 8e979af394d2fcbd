"""Which hosts have put a delivery off, so that its next attempt begins with another (RFC 5321 §5.1).

In memory only: after a restart an attempt may begin with the same host once more.
"""

from collections.abc import Callable

from actors.delivery.job import Job
from cluster.lookup.ttl_cache import TtlCache
from cluster.policy.routes.next_hop import NextHop

KEPT = 20_000
"""Deliveries; some 250 bytes each, and the names of hosts, which strangers choose."""
HOSTS_KEPT = 8
"""Of one delivery, the latest."""
KEPT_S = 86400.0
"""Longer than any wait between two attempts of a shipped schedule."""


class PutOff:
    """``clock``: seconds that never go back."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._hosts: TtlCache[tuple[str, int], tuple[str, ...]] = TtlCache(KEPT, clock)

    def note(self, message_id: str, recipient_no: int, host: str) -> None:
        """This host has put the delivery off, and the next attempt is to begin with another."""
        key = message_id, recipient_no
        others = [other for other in self._hosts.get(key) or () if other != host]
        self._hosts.put(key, (*others, host)[-HOSTS_KEPT:], KEPT_S)

    def hop_for(self, job: Job, hop: NextHop) -> NextHop:
        """The next hop of a job, the hosts that have put it off at its end."""
        if not len(self._hosts) or len(hop.hosts) < 2:
            return hop
        known = [self._hosts.get((delivery.message_id, delivery.recipient_no)) or () for delivery in job.deliveries]
        # Of the last attempts' hosts the latest comes last.
        hosts = dict.fromkeys(host for names in known for host in names)
        return hop.beginning_after(tuple(hosts)) if hosts else hop
