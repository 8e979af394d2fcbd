"""Whether a site's hosts take what is tried, or most of it is put off."""

import pytest

from cluster.policy.limits.advice import ADVICE
from cluster.policy.limits.binding import Bound
from cluster.policy.replies.bounce_class import BounceClass
from cluster.policy.replies.bounce_rules import ReplyScope
from cluster.policy.replies.putting_off import LATE_S, LATELY, PuttingOff, why_put_off
from cluster.policy.replies.verdict import Judgement, Verdict


@pytest.mark.parametrize(
    ("bounce_class", "is_said", "why"),
    [
        (BounceClass.TLS_FAILURE, False, Bound.TLS),
        (BounceClass.TLS_FAILURE, True, Bound.TLS),
        (BounceClass.DNS_FAILURE, False, Bound.DNS),
        (BounceClass.DNS_FAILURE, True, Bound.DEFERRALS),
        (BounceClass.NO_ANSWER, False, Bound.BACK_OFF),
        (BounceClass.CONNECTION_LOST, False, Bound.BACK_OFF),
        (BounceClass.CONNECTION_LOST, True, Bound.DEFERRALS),
        (BounceClass.GREYLISTED, True, Bound.DEFERRALS),
        (BounceClass.OTHER, False, Bound.DEFERRALS),
        (None, False, Bound.DEFERRALS),
    ],
)
def test_why(bounce_class: BounceClass | None, is_said: bool, why: Bound) -> None:
    verdict = Verdict(Judgement.DEFERRED, ReplyScope.HOST, bounce_class)
    assert why_put_off(verdict, is_said=is_said) is why


def test_it_binds_while_most_is_put_off_and_some_of_it_waits() -> None:
    site = PuttingOff()
    site.put_off(Bound.DEFERRALS, attempts=1, due_at=300.0)
    assert (site.binds(0.0), site.waiting, site.retry_at) == (Bound.DEFERRALS, 1, 300.0)
    site.settled(attempts=1)
    assert site.binds(0.0) is Bound.NOTHING, "half is not most"
    site.put_off(Bound.TLS, attempts=1, due_at=200.0)
    assert (site.binds(0.0), site.waiting, site.retry_at) == (Bound.TLS, 2, 300.0)
    site.put_off(Bound.TLS, attempts=2, due_at=900.0)
    assert site.waiting == 2, "it waited before"
    site.settled(attempts=2)
    site.settled(attempts=3)
    assert (site.binds(0.0), site.waiting) == (Bound.NOTHING, 0)


def test_what_another_life_put_off_is_known_once_it_is_put_off_again() -> None:
    site = PuttingOff()
    site.put_off(Bound.DEFERRALS, attempts=4, due_at=300.0)
    assert (site.binds(0.0), site.waiting) == (Bound.DEFERRALS, 1)
    site.settled(attempts=5)
    site.settled(attempts=5)
    assert site.waiting == 0


def test_only_the_last_attempts_count() -> None:
    site = PuttingOff()
    for _ in range(1000):
        site.put_off(Bound.DEFERRALS, attempts=1, due_at=300.0)
    for _ in range(LATELY):
        site.settled(attempts=1)
    assert site.binds(0.0) is Bound.NOTHING
    for _ in range(LATELY):
        site.put_off(Bound.DEFERRALS, attempts=1, due_at=300.0)
    assert site.binds(0.0) is Bound.DEFERRALS


def test_what_was_never_tried_again_is_known_no_longer() -> None:
    site = PuttingOff()
    site.put_off(Bound.DEFERRALS, attempts=1, due_at=300.0)
    assert site.binds(300.0 + LATE_S - 1) is Bound.DEFERRALS
    assert site.binds(300.0 + LATE_S) is Bound.NOTHING


def test_there_is_advice_about_each_limit() -> None:
    assert [bound for bound in Bound if not ADVICE[bound]] == [Bound.NOTHING]
    assert len(set(ADVICE.values())) == len(Bound)
