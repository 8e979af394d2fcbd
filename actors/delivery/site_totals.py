"""The metrics of an actor's sites: how many have what, by site.

What hosts said is counted at each site already (site_stats.py); when a site is dropped, its counts go on here. So a
message costs nothing more.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from typing import Any

from actors.delivery.site import Site
from cluster.metrics import CountersByName, GaugesByName, Names
from cluster.policy.replies.verdict import Judgement
from cluster.policy.routes.sites import FAMILY_NAMES

TOGETHER_S = 0.1
"""The metrics that are asked for within this time are of one look at the sites."""


class SiteTotals:
    """``sites``: those in memory. ``clock``: monotonic seconds. The families of large receivers always have their own
    names."""

    accepted = CountersByName(
        "postray_site_accepted_total",
        "Recipients that hosts accepted, by site.",
        "site",
        lambda totals: totals._look()[Judgement.ACCEPTED],
    )
    deferred = CountersByName(
        "postray_site_deferred_total",
        "Attempts that were deferred, by site.",
        "site",
        lambda totals: totals._look()[Judgement.DEFERRED],
    )
    bounced = CountersByName(
        "postray_site_bounced_total",
        "Recipients that were refused for good, by site.",
        "site",
        lambda totals: totals._look()[Judgement.BOUNCED],
    )
    queued = GaugesByName(
        "postray_site_queued_deliveries",
        "Deliveries in memory that wait to be claimed, by site.",
        "site",
        lambda totals: totals._look()["queued"],
    )
    in_flight = GaugesByName(
        "postray_site_in_flight_messages",
        "Messages claimed and not reported yet, by site.",
        "site",
        lambda totals: totals._look()["in flight"],
    )
    connections = GaugesByName(
        "postray_site_connections",
        "Connections open, being opened or being closed, by site.",
        "site",
        lambda totals: totals._look()["connections"],
    )

    def __init__(self, sites: Callable[[], Iterable[Site]], clock: Callable[[], float]) -> None:
        self._sites = sites
        self._clock = clock
        self._names = Names(FAMILY_NAMES)
        self._ended: dict[str, Counter[str]] = defaultdict(Counter)
        """By judgement and name, of sites that were dropped."""
        self._seen: dict[str, Counter[str]] = {}
        self._seen_at = -TOGETHER_S

    def ended(self, site: Site) -> None:
        """The site is dropped."""
        name = self._names.of(site.destination.site)
        for judgement, count in site.stats.counts.items():
            if count:
                self._ended[judgement][name] += count
        self._seen_at = -TOGETHER_S

    def _look(self) -> dict[Any, Counter[str]]:
        if self._clock() - self._seen_at < TOGETHER_S:
            return self._seen
        found: dict[str, Counter[str]] = defaultdict(Counter)
        for judgement in Judgement:
            found[judgement] = self._ended[judgement].copy()
        for site in self._sites():
            name = self._names.of(site.destination.site)
            for judgement, count in site.stats.counts.items():
                if count:
                    found[judgement][name] += count
            found["queued"][name] += len(site.queue)
            found["in flight"][name] += site.in_flight
            found["connections"][name] += site.pool.connections
        self._seen, self._seen_at = found, self._clock()
        return self._seen
