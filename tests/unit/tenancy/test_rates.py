"""When a tenant's mail bounces or is complained of too often."""

from typing import Any

import pytest

from cluster.events import Bounced, Deferred, Delivered, Dropped, Event
from cluster.tenancy.rates import Ends, Rate, RateLimits, Rates, Window, counted, ends_of, newly_over, over

LIMITS = RateLimits(bounces=0.1, complaints=0.003)


def after(*ends: Ends, limits: RateLimits = LIMITS) -> Rates:
    rates = Rates()
    for one in ends:
        rates = counted(rates, one, limits)
    return rates


def passes(*ends: Ends) -> list[list[Rate]]:
    """The rates that pass their limits with each of the ends."""
    told, rates = [], Rates()
    for one in ends:
        former, rates = rates, counted(rates, one, LIMITS)
        told.append([passed.rate for passed in newly_over(former, rates, LIMITS)])
    return told


def test_a_rate_passes_its_limit_once_until_it_was_well_below_it() -> None:
    eleven, ten, nine, few = (Ends(ended=1000, hard=hard, delivered=1000 - hard) for hard in (110, 100, 90, 70))
    assert passes(ten) == [[]], "the limit itself is allowed"
    assert passes(eleven, eleven, eleven) == [[Rate.BOUNCES], [], []]
    assert passes(eleven, nine, eleven) == [[Rate.BOUNCES], [], []]
    assert passes(eleven, few, eleven) == [[Rate.BOUNCES], [], [Rate.BOUNCES]]


@pytest.mark.parametrize(
    ("ends", "is_over"),
    [
        (Ends(ended=3, hard=1), False),
        (Ends(ended=99, hard=99), False),
        (Ends(ended=100, hard=100), True),
        (Ends(ended=100, hard=10), False),
        (Ends(ended=999, delivered=999, complaints=50), False),
        (Ends(ended=1000, delivered=1000, complaints=3), False),
        (Ends(ended=1000, delivered=1000, complaints=4), True),
    ],
)
def test_few_recipients_say_nothing(ends: Ends, is_over: bool) -> None:
    assert after(ends).is_over is is_over


def test_reports_that_come_later_count_without_a_further_recipient() -> None:
    rates = after(Ends(ended=200, delivered=200), *[Ends(hard=1)] * 21)
    assert rates.bounces == Window(of=200, bad=21, is_over=True)
    assert [str(one) for one in over(rates, LIMITS)] == [
        "10.5 % of the last 200 recipients bounced hard, more than the 10 % that is allowed"
    ]
    assert after(Ends(hard=5), Ends(ended=100)).bounces == Window(of=100, bad=5)


def test_older_recipients_count_for_less() -> None:
    bad, good = Ends(ended=500, hard=250), Ends(ended=500)
    assert after(bad, good).bounces.share(Rate.BOUNCES) == 0.25
    assert after(bad, good, good).bounces.share(Rate.BOUNCES) == 0.125
    assert after(bad, Ends(ended=5000, hard=50)).bounces == Window(of=1000, bad=10)
    # In steps of one recipient, too: a list whose addresses all are bad is noticed after about a tenth of the window.
    rates, sent = after(Ends(ended=1000)), 0
    while not rates.is_over:
        rates, sent = counted(rates, Ends(ended=1, hard=1), LIMITS), sent + 1
    assert 100 <= sent <= 110
    assert rates.bounces.of == pytest.approx(1000)


def test_a_share_is_never_more_than_all() -> None:
    assert after(Ends(ended=100, hard=100), Ends(hard=50)).bounces.share(Rate.BOUNCES) == 1.0


def test_complaints_are_of_a_larger_window() -> None:
    rates = after(*[Ends(ended=1000, delivered=1000, complaints=2)] * 20)
    assert rates.complaints.of == 10_000 and rates.bounces.of == 1000
    assert rates.complaints.share(Rate.COMPLAINTS) == pytest.approx(0.002)
    (passed,) = over(after(Ends(delivered=10_000, complaints=31)), LIMITS)
    assert str(passed) == "0.31 % of the last 10,000 recipients complained, more than the 0.3 % that is allowed"


def test_0_is_no_limit() -> None:
    none = RateLimits(bounces=0.0, complaints=0.0)
    rates = after(Ends(ended=1000, hard=1000, delivered=1000, complaints=1000), limits=none)
    assert not rates.is_over and over(rates, none) == []


def test_what_events_count_for() -> None:
    def facts(tenant_id: str) -> dict[str, Any]:
        return {"id": "evt_1", "at": 0.0, "tenant_id": tenant_id, "message_id": "msg_1", "recipient": "a@example.com"}

    events: list[Event] = [
        Delivered(attempt=1, **facts("one")),
        Bounced(attempt=1, bounce_type="hard", reason="", **facts("one")),
        Bounced(attempt=1, bounce_type="soft", reason="", **facts("one")),
        Bounced(attempt=1, bounce_type="block", reason="", **facts("two")),
        Deferred(attempt=1, reason="", next_attempt_at=0.0, **facts("three")),
        Dropped(reason="Suppressed: bounces", **facts("three")),
    ]
    assert ends_of(events) == {"one": Ends(ended=3, hard=1, delivered=1), "two": Ends(ended=1)}
