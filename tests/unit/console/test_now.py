"""What the first page makes of the facts."""

from datetime import UTC, datetime, timedelta
from typing import Any

from msgspec import structs

from api.admin.site_views import SiteView
from api.console.now import BARS, SITES_SHOWN, NowFacts, Tile, now_view
from api.console.words import age, number
from cluster.context import DEGRADED
from cluster.journal.queue import QueueAges
from cluster.policy.limits.binding import Bound
from cluster.routing.views import SourceState
from tests.unit.api.admin_facts import a_suspension

NOW = datetime(2026, 4, 23, 10, 0, tzinfo=UTC)


def a_site(site: str = "mx.example", **changed: Any) -> SiteView:
    made = SiteView(
        source="",
        site=site,
        depth=10,
        waiting=7,
        parked=3,
        in_flight=2,
        connections=1,
        connection_limit=5,
        message_rate=0.0,
        accepted=1,
        deferred=0,
        bounced=0,
        accepted_per_s=0.4,
        waits_for="",
        binds=Bound.NOTHING,
        advice="",
        until=None,
        put_off=0,
        retry_at=None,
        tenants=1,
        turns=(),
        suspended=(),
        adjustments=(),
        actors=(),
        last_replies=(),
    )
    return structs.replace(made, **changed)


def whats(facts: NowFacts) -> list[tuple[bool, str]]:
    return [(trouble.is_grave, trouble.what) for trouble in now_view(facts).troubles]


def test_nothing_is_wrong_where_nothing_is() -> None:
    view = now_view(
        NowFacts(
            at=NOW,
            parts={"journal": None},
            queue=QueueAges(unfinished=0, oldest_at=None, overdue_s=0.0),
            sites=[a_site()],
            nodes=[],
            suspensions=[],
        )
    )
    assert view.troubles == []
    assert Tile("age of the oldest unfinished message", "none") in view.tiles


def test_sites_with_mail_are_counted_with_what_they_put_off() -> None:
    sites = [a_site(depth=0, in_flight=0, put_off=put_off) for put_off in (0, 2)]
    assert Tile("sites with mail", "1") in now_view(NowFacts(at=NOW, sites=sites)).tiles


def test_what_stops_mail_comes_before_what_slows_it() -> None:
    waits = a_site("slow.example", waits_for="the message rate", until=NOW)
    source = SourceState(
        name="mta1", addresses=(), helo="", actors=(), passed_over=True, pools=(), waiting_pools=("bulk",)
    )
    facts = NowFacts(
        at=NOW,
        parts={"recorder": f"{DEGRADED}late", "journal": "away", "api": None},
        sites=[waits, a_site("held.example", waits_for="suspended", suspended=("until noon",))],
        silent=("delivery-0-1",),
        sources=[source],
        suspensions=[
            a_suspension("", "", until=NOW),
            a_suspension("", "tnt_1", until=NOW),
            a_suspension("held.example", "", until=NOW),
        ],
        faults=["the nodes: no answer"],
    )
    assert whats(facts) == [
        (True, "Not known now"),
        (True, "journal"),
        (True, "delivery-0-1"),
        (True, "source mta1"),
        (True, "Suspended: all mail"),
        (True, "held.example"),
        (False, "recorder"),
        (False, "Suspended: tenant tnt_1"),
        (False, "slow.example"),
    ]
    assert "10 waiting: the message rate, until 2026-04-23 10:00:00 UTC" in [
        trouble.detail for trouble in now_view(facts).troubles
    ]


def test_what_binds_a_site_without_mail_is_no_trouble() -> None:
    idle = a_site(depth=0, waiting=0, parked=0, in_flight=0, waits_for="the message rate")
    view = now_view(NowFacts(at=NOW, sites=[idle]))
    assert view.troubles == [] and view.sites == []


def test_a_page_has_a_bound() -> None:
    sites = [a_site(f"mx{i}.example") for i in range(200)]
    view = now_view(NowFacts(at=NOW, sites=sites))
    assert len(view.sites) == SITES_SHOWN and view.more == 200 - SITES_SHOWN
    assert view.depths.count("<g>") == BARS


def test_numbers_and_ages_in_words() -> None:
    assert [number(value) for value in (0, 1234567, 0.25, 9.96, 12.6)] == ["0", "1,234,567", "0.2", "10.0", "13"]
    assert [age(NOW - timedelta(seconds=s), NOW) for s in (-5, 12, 7200)] == ["0 s", "12 s", "2 h"]
