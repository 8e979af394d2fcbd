"""The metrics of sites: what is counted stays counted when a site is dropped, under a bounded number of names."""

from types import SimpleNamespace
from typing import Any

from actors.delivery.site_totals import TOGETHER_S, SiteTotals
from cluster.metrics import MOST_NAMES, OTHER, read
from cluster.policy.replies.verdict import Judgement
from cluster.policy.routes.sites import FAMILY_NAMES


def a_site(name: str, accepted: int = 0, queued: int = 0, bounced: int = 0) -> Any:
    counts = {Judgement.ACCEPTED: accepted, Judgement.DEFERRED: 0, Judgement.BOUNCED: bounced}
    return SimpleNamespace(
        destination=SimpleNamespace(site=name),
        stats=SimpleNamespace(counts=counts),
        queue=[None] * queued,
        in_flight=queued // 2,
        pool=SimpleNamespace(connections=1),
    )


class World:
    def __init__(self, *sites: Any) -> None:
        self.sites = list(sites)
        self.at = 0.0
        self.totals = SiteTotals(lambda: self.sites, lambda: self.at)

    def told(self) -> dict[str, dict[str, float]]:
        self.at += TOGETHER_S
        return {one.name: dict(one.values) for one in read(self.totals)}

    def drop(self, site: Any) -> None:
        self.sites.remove(site)
        self.totals.ended(site)


def test_shares_and_sources_of_a_site_are_one() -> None:
    told = World(a_site("a.example", accepted=2, queued=4), a_site("a.example", accepted=3, bounced=1)).told()
    assert told == {
        "postray_site_accepted_total": {"a.example": 5},
        "postray_site_deferred_total": {},
        "postray_site_bounced_total": {"a.example": 1},
        "postray_site_queued_deliveries": {"a.example": 4},
        "postray_site_in_flight_messages": {"a.example": 2},
        "postray_site_connections": {"a.example": 2},
    }


def test_what_a_dropped_site_has_counted_stays() -> None:
    site = a_site("a.example", accepted=2)
    world = World(site, a_site("b.example", accepted=1))
    before = world.told()
    world.drop(site)
    told = world.told()
    assert told["postray_site_accepted_total"] == before["postray_site_accepted_total"]
    assert told["postray_site_queued_deliveries"] == {"b.example": 0}
    world.sites.append(a_site("a.example", accepted=4))
    assert world.told()["postray_site_accepted_total"] == {"a.example": 6, "b.example": 1}


def test_there_are_200_names_and_the_large_receivers_have_theirs() -> None:
    late = sorted(FAMILY_NAMES)[-1]
    world = World(*(a_site(f"s{number}.example", accepted=1) for number in range(1000)), a_site(late, accepted=1))
    accepted = world.told()["postray_site_accepted_total"]
    own = MOST_NAMES - len(FAMILY_NAMES)
    assert accepted[OTHER] == 1000 - own
    assert accepted[late] == 1
    assert len(accepted) == own + 2
    for site in list(world.sites):
        world.drop(site)
    world.sites.append(a_site("late.example", accepted=9))
    told = world.told()
    assert told["postray_site_accepted_total"] == accepted | {OTHER: accepted[OTHER] + 9}
    assert told["postray_site_connections"] == {OTHER: 1}


def test_a_name_that_is_other_never_gets_its_own() -> None:
    world = World(*(a_site(f"s{number}.example") for number in range(MOST_NAMES)))
    world.told()
    crowded = a_site("crowded.example", accepted=1)
    world.sites = [crowded]
    assert world.told()["postray_site_accepted_total"] == {OTHER: 1}
    world.drop(crowded)
    assert world.told()["postray_site_accepted_total"] == {OTHER: 1}
