"""When a batch will be done: examples, and what holds whatever the numbers are."""

from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from cluster.policy.limits.binding import Bound
from cluster.policy.limits.estimate import (
    DAY_S,
    SLACK_S,
    Remaining,
    SiteEstimate,
    SiteStanding,
    Terms,
    about,
    estimate,
    in_all,
)

TERMS = Terms(connections=20, message_rate=0.0, retry_schedule_s=(300.0, 900.0), lifetime_s=2 * DAY_S)
BUSY = SiteStanding(
    site="a.example",
    source="",
    waiting=12_000,
    connections=20,
    connection_limit=20,
    message_rate=0.0,
    binds="connections",
    measured=600,
    measured_s=60.0,
    attempted=600,
    deferred=0,
    transactions=600,
    spent_s=1200.0,
)
"""Ten a second, by 20 connections and transactions of two seconds."""


def known(found: SiteEstimate) -> tuple[float, float]:
    assert found.earliest_s is not None and found.latest_s is not None, found.unknown
    return found.earliest_s, found.latest_s


def test_by_connections() -> None:
    found = estimate(Remaining(count=6000), TERMS, BUSY)
    earliest, latest = known(found)
    assert earliest == pytest.approx(6000 / 12.5)
    assert latest == pytest.approx(12_000 / 7 + SLACK_S)
    assert (found.binds, found.limit, found.wait_for_days) == (Bound.CONNECTIONS, "20 connections", 0)


def test_by_a_rate_before_anything_was_measured() -> None:
    found = estimate(Remaining(count=100), replace(TERMS, message_rate=20.0), None)
    assert known(found) == pytest.approx((5.0, 100 / 16 + SLACK_S))
    assert (found.binds, found.limit) == (Bound.MESSAGE_RATE, "20 messages/s")


def test_a_rate_that_automation_has_lowered_counts() -> None:
    standing = replace(BUSY, message_rate=2.0, binds="message_rate", attempted=114, transactions=114, spent_s=10.0)
    found = estimate(Remaining(count=100), replace(TERMS, message_rate=20.0), standing)
    assert known(found)[0] == 50.0
    assert found.limit == "2 messages/s"


def test_by_the_rate_of_its_tenant() -> None:
    found = estimate(Remaining(count=100), replace(TERMS, message_rate=20.0, tenant_rate=2.0), None)
    assert known(found)[0] == 50.0
    assert (found.binds, found.limit) == (Bound.TENANT_LIMITS, "the tenant's 2 messages/s")
    assert estimate(Remaining(count=1), replace(TERMS, message_rate=1.0, tenant_rate=2.0), None).limit == "1 messages/s"


def test_what_the_warm_up_does_not_allow_today_waits_for_tomorrow() -> None:
    terms = replace(TERMS, allowances=(100, 500, None), midnight_s=3600.0)
    found = estimate(Remaining(count=412), terms, replace(BUSY, waiting=412))
    earliest, latest = known(found)
    assert (found.wait_for_days, found.binds) == (312, Bound.WARM_UP)
    assert found.limit == "the source's warm-up: 100 more today"
    assert earliest == pytest.approx(3600 + 312 / 12.5)
    assert latest == pytest.approx(3600 + 312 / 7 + SLACK_S)
    two_days = estimate(Remaining(count=1000), replace(terms, lifetime_s=9 * DAY_S), replace(BUSY, waiting=1000))
    assert known(two_days)[0] == pytest.approx(3600 + DAY_S + 400 / 12.5)
    others = estimate(Remaining(count=50), terms, replace(BUSY, waiting=412))
    assert known(others)[0] < 3600 < known(others)[1], "the mail of others may take what is left of today"


def test_a_suspension_is_waited_for() -> None:
    found = estimate(Remaining(count=100), replace(TERMS, suspended_s=600.0), BUSY)
    assert (found.binds, found.limit) == (Bound.SUSPENSION, "suspended for 10m")
    assert known(found)[0] == pytest.approx(600 + 8)


def test_what_is_due_later_than_all_before_it_is_sent_waits_for_its_time() -> None:
    """A batch that is scheduled for two hours ahead was said to be bound by its site's connections."""
    idle = replace(BUSY, waiting=0)
    found = estimate(Remaining(count=5, last_due_s=7200.0), TERMS, idle)
    assert known(found)[0] == 7200.0
    assert (found.binds, found.limit) == (Bound.NOTHING, "its send time")
    again = estimate(Remaining(count=5, deferred=1, last_due_s=7200.0), TERMS, idle)
    assert (again.binds, again.limit) == (Bound.NOTHING, "its next attempts")
    assert estimate(Remaining(count=5, last_due_s=60.0), TERMS, BUSY).binds is Bound.CONNECTIONS
    suspended = estimate(Remaining(count=5, last_due_s=7200.0), replace(TERMS, suspended_s=9000.0), idle)
    assert suspended.binds is Bound.SUSPENSION


def test_what_is_put_off_is_tried_again() -> None:
    calm = estimate(Remaining(count=100), TERMS, BUSY)
    deferring = estimate(Remaining(count=100), TERMS, replace(BUSY, deferred=60))
    assert known(deferring)[0] == known(calm)[0]
    assert known(deferring)[1] > known(calm)[1] + 300
    waiting = estimate(Remaining(count=1, deferred=1, last_due_s=500.0), TERMS, replace(BUSY, waiting=0))
    earliest, latest = known(waiting)
    assert earliest == 500.0
    assert latest > 800.0, "what was put off once may be put off again"


@pytest.mark.parametrize(
    ("terms", "standing", "why"),
    [
        (TERMS, None, "nothing has been sent there lately"),
        (TERMS, replace(BUSY, transactions=0, attempted=0, spent_s=0.0), "nothing has been sent there lately"),
        (TERMS, replace(BUSY, binds="back_off"), "no connection could be made"),
        (TERMS, replace(BUSY, binds="silent_hosts"), "do not answer"),
        (TERMS, replace(BUSY, deferred=590), "put off nearly all"),
        (replace(TERMS, suspended_s=inf), BUSY, "nothing says until when"),
        (replace(TERMS, suspended_s=3600.0), None, "suspended for 1h, and nothing has been sent there lately"),
        (replace(TERMS, allowances=(0, 0)), BUSY, "allows nothing"),
    ],
)
def test_where_nothing_can_be_said_the_reason_is(terms: Terms, standing: SiteStanding | None, why: str) -> None:
    found = estimate(Remaining(count=10), terms, standing)
    assert (found.earliest_s, found.latest_s) == (None, None)
    assert why in found.unknown


def test_the_whole_is_done_with_its_last_site() -> None:
    one = estimate(Remaining(count=100), TERMS, BUSY)
    other = estimate(Remaining(count=6000), TERMS, BUSY)
    unknown = estimate(Remaining(count=1), TERMS, None)
    assert in_all([one, other]) == known(other)
    assert in_all([one, unknown]) == (known(one)[0], None)
    assert in_all([unknown]) == (None, None)
    assert in_all([]) == (None, None)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.0, "1s"), (0.4, "1s"), (59.0, "59s"), (840.0, "14m"), (3700.0, "1h2m"), (100_000.0, "1d4h")],
)
def test_durations_as_people_say_them(seconds: float, words: str) -> None:
    assert about(seconds) == words


counts = st.integers(0, 10_000_000)
some_terms = st.builds(
    Terms,
    connections=st.integers(1, 1000),
    message_rate=st.just(0.0) | st.floats(0.01, 10_000),
    retry_schedule_s=st.lists(st.floats(0.1, 86_400), max_size=5).map(tuple),
    lifetime_s=st.floats(1, 10 * DAY_S),
    tenant_rate=st.just(0.0) | st.floats(0.01, 10_000),
    suspended_s=st.just(0.0) | st.floats(0.1, 1e6) | st.just(inf),
    allowances=st.lists(st.none() | st.integers(0, 100_000), max_size=30).map(tuple),
    midnight_s=st.floats(0.1, DAY_S),
)


@st.composite
def some_standings(draw: st.DrawFn) -> SiteStanding:
    attempted = draw(st.integers(0, 1_000_000))
    return SiteStanding(
        site="a.example",
        source="",
        waiting=draw(counts),
        connections=draw(st.integers(0, 1000)),
        connection_limit=draw(st.integers(0, 1000)),
        message_rate=draw(st.just(0.0) | st.floats(0.01, 10_000)),
        binds=draw(st.sampled_from([*Bound, "of_a_later_release"])),
        measured=draw(st.integers(0, attempted)),
        measured_s=draw(st.floats(0, 60)),
        attempted=attempted,
        deferred=draw(st.integers(0, attempted)),
        transactions=draw(st.integers(0, attempted)),
        spent_s=draw(st.floats(0, 1e6)),
    )


@st.composite
def some_mail(draw: st.DrawFn) -> Remaining:
    count = draw(st.integers(1, 10_000_000))
    return Remaining(count=count, deferred=draw(st.integers(0, count)), last_due_s=draw(st.floats(0, 1e6)))


@given(some_mail(), some_terms, st.none() | some_standings())
def test_a_range_is_a_range_and_without_one_there_is_a_reason(
    mail: Remaining, terms: Terms, standing: SiteStanding | None
) -> None:
    found = estimate(mail, terms, standing)
    if found.unknown:
        assert (found.earliest_s, found.latest_s) == (None, None)
        return
    earliest, latest = known(found)
    assert 0 <= earliest <= latest < inf
    assert earliest >= terms.suspended_s or latest <= terms.lifetime_s + SLACK_S
    assert 0 <= found.wait_for_days <= mail.count
    assert found.limit or found.binds is Bound.NOTHING


@given(some_mail(), some_terms, some_standings(), st.integers(1, 1000))
def test_more_mail_is_never_done_sooner(mail: Remaining, terms: Terms, standing: SiteStanding, more: int) -> None:
    """With a lifetime that cuts nothing off."""
    terms = replace(terms, lifetime_s=1e12)
    less, much = estimate(mail, terms, standing), estimate(replace(mail, count=mail.count + more), terms, standing)
    assert less.unknown == much.unknown
    if not less.unknown:
        assert known(less)[0] <= known(much)[0] * (1 + 1e-9)
        assert known(less)[1] <= known(much)[1] * (1 + 1e-9)
        assert less.wait_for_days <= much.wait_for_days


@given(some_mail(), some_terms, some_standings())
def test_no_message_rate_is_exceeded(mail: Remaining, terms: Terms, standing: SiteStanding) -> None:
    terms = replace(terms, lifetime_s=1e12, allowances=(), message_rate=5.0, tenant_rate=0.0)
    standing = replace(standing, message_rate=5.0, transactions=standing.attempted)
    found = estimate(replace(mail, deferred=0), terms, standing)
    if not found.unknown:
        assert known(found)[0] >= mail.count / 5.0 * (1 - 1e-9)
