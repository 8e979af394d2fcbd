"""Which hosts have deferred a delivery, so that its next attempt begins with another (RFC 5321 §5.1).

This is in memory only: after a restart an attempt may begin with the same host again.
"""

from collections.abc import Callable

from actors.delivery.held import Key, key_of
from actors.delivery.job import Job
from cluster.lookup.ttl_cache import TtlCache
from cluster.policy.routes.next_hop import NextHop

KEPT = 20_000
"""Deliveries; some 250 bytes each, plus host names, whose length the recipient's DNS chooses."""
HOSTS_KEPT = 8
"""The latest hosts of one delivery."""
KEPT_S = 86400.0
"""Longer than any wait between two attempts of a shipped schedule."""


class DeferringHosts:
    """``clock``: monotonic seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._hosts: TtlCache[Key, tuple[str, ...]] = TtlCache(KEPT, clock)

    def note(self, key: Key, host: str) -> None:
        """This host has deferred the delivery: the next attempt begins with another."""
        others = [other for other in self._hosts.get(key) or () if other != host]
        self._hosts.put(key, (*others, host)[-HOSTS_KEPT:], KEPT_S)

    def hop_for(self, job: Job, hop: NextHop) -> NextHop:
        """The next hop of a job, with the hosts that have deferred it at its end."""
        if not len(self._hosts) or len(hop.hosts) < 2:
            return hop
        known = [self._hosts.get(key_of(delivery)) or () for delivery in job.deliveries]
        # The host of the latest attempt comes last.
        hosts = dict.fromkeys(host for names in known for host in names)
        return hop.beginning_after(tuple(hosts)) if hosts else hop
