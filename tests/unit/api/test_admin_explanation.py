"""From facts to sentences: where a message is, why, what next and when, in every state it can be in."""

from datetime import datetime
from typing import Any

import pytest

from analytics.queries import TimelineEvent
from api.admin.explanation import HeldBy, RecipientExplained, clock, explain
from api.admin.site_views import site_views
from cluster.journal.fates import RecipientState
from cluster.journal.suppressions import SuppressedBy
from cluster.policy.lifecycle import FINISHED, UNFINISHED, Status
from cluster.routing.views import PoolShare, SourceState, WarmUpUse
from tests.unit.api.admin_facts import (
    NOW,
    a_fate,
    a_held,
    a_reply,
    a_source,
    a_standing,
    a_state,
    a_suspension,
    ahead,
    some_facts,
)


def about(standing: RecipientState, **said: Any) -> RecipientExplained:
    (recipient,) = explain(some_facts(standing, **said)).recipients
    return recipient


@pytest.mark.parametrize(
    ("status", "error", "words"),
    [
        (Status.DELIVERED, None, "Delivered 2026-04-23 09:59:00 UTC (1m ago): the recipient's mail exchanger took it."),
        (Status.SENT, None, "Sent 2026-04-23 09:59:00 UTC (1m ago): a smarthost took it"),
        (Status.BOUNCED, "550 no such user", "Bounced 2026-04-23 09:59:00 UTC (1m ago): 550 no such user."),
        (Status.FAILED, "expired", "Failed 2026-04-23 09:59:00 UTC (1m ago): expired. A retry queues it once more."),
        (
            Status.FAILED,
            "cannot be composed: 'x' is no name",
            "Failed 2026-04-23 09:59:00 UTC (1m ago): cannot be composed: 'x' is no name. "
            "No message can be made of it: a retry does not help.",
        ),
        (Status.CANCELLED, None, "Cancelled 2026-04-23 09:59:00 UTC (1m ago), before it was sent."),
        (Status.SANDBOX, None, "Accepted by a sandbox"),
    ],
)
def test_a_finished_message(status: Status, error: str | None, words: str) -> None:
    explained = explain(some_facts(fate=a_fate(status=status, finished_at=ahead(minutes=-1), error_message=error)))
    assert explained.status is status
    assert explained.sentences[0] == "Accepted 2026-04-23 09:50:00 UTC (10m ago) for ada@example.com."
    assert explained.sentences[1].startswith(words)
    assert explained.recipients == ()


@pytest.mark.parametrize("status", FINISHED)
def test_a_finished_recipient_of_an_unfinished_message(status: Status) -> None:
    done = a_standing(status=status, due_at=None, error_message="550 no")
    explained = explain(some_facts(done, a_standing(recipient_no=1)))
    assert explained.status is Status.QUEUED
    assert "1 of its 2 recipients are finished; it ends with the last." in explained.sentences
    assert explained.recipients[0].sentences == (f"Finished: {status}: 550 no.",)
    assert explained.recipients[0].next_at is None


@pytest.mark.parametrize(
    ("standing", "words", "next_at"),
    [
        (a_standing(), "It is due, since 2026-04-23 10:00:00 UTC (now): the scheduler hands it", NOW),
        (a_standing(due_at=ahead(minutes=5)), "It waits in the journal until it is due, 2026-04-23", ahead(minutes=5)),
        (
            a_standing(due_at=ahead(minutes=5), attempts=2),
            "It waits in the journal for its next attempt, 2026-04-23 10:05:00 UTC (in 5m).",
            ahead(minutes=5),
        ),
        (a_standing(lane="mta1>example.com", due_at=ahead(days=3)), "It is parked in the journal, in the lane m", None),
        (a_standing(paused=True, due_at=ahead(days=3)), "It is put aside while its batch is paused.", None),
    ],
)
def test_in_the_queue(standing: RecipientState, words: str, next_at: datetime | None) -> None:
    found = about(standing)
    assert found.sentences[0].startswith(words)
    assert found.next_at == next_at
    assert found.sentences[-1].startswith("If it is not delivered by then, it ")
    assert found.sentences[-1].endswith("2026-04-26 10:00:00 UTC (in 3d).")


def test_a_message_over_which_a_delivery_process_ended() -> None:
    assert (
        "Delivery processes that ended while at work on it: 1; with 2 it is set aside, as failed."
        in about(a_standing(attempts=1, strikes=1)).sentences
    )


def test_how_it_ends_depends_on_whether_it_was_tried() -> None:
    assert "it fails" in about(a_standing()).sentences[-1]
    assert "it bounces" in about(a_standing(attempts=1)).sentences[-1]


def test_the_lifetime_that_shaping_gives_ends_what_is_put_off() -> None:
    def ends(standing: RecipientState, **by: float) -> str:
        facts = some_facts(standing, tried_until={0: ahead(**by)})
        return explain(facts).recipients[0].sentences[-1]

    assert ends(a_standing(attempts=1), minutes=3) == (
        "If it is not delivered by then, it bounces 2026-04-23 10:03:00 UTC (in 3m)."
    )
    assert ends(a_standing(), minutes=3) == (
        "If it is not delivered by then, it fails 2026-04-26 10:00:00 UTC (in 3d); put off after 2026-04-23 10:03:00 "
        "UTC (in 3m), it bounces, as shaping gives it no longer."
    )
    for attempts in (0, 1):
        assert ends(a_standing(attempts=attempts), minutes=-3) == (
            "The lifetime that shaping gives it ended 2026-04-23 09:57:00 UTC (3m ago): if put off again, it bounces."
        )


PROCESSING = a_standing(status=Status.PROCESSING, held=True, actor="delivery-0-0", due_at=ahead(minutes=1))
SENDING = a_standing(status=Status.SENDING, held=True, actor="delivery-0-0", due_at=ahead(minutes=30), attempts=1)


@pytest.mark.parametrize(
    ("standing", "said", "words"),
    [
        (
            PROCESSING,
            {"held": {0: HeldBy(actor="delivery-0-0", held=a_held(ahead=3))}},
            "It waits in the memory of delivery-0-0 for its turn at example.com, 3 of its tenant before it.",
        ),
        (
            PROCESSING,
            {"held": {0: HeldBy(actor="delivery-0-0", held=a_held(source="mta1"))}},
            "It waits in the memory of delivery-0-0 for its turn at example.com from mta1, next of its tenant.",
        ),
        (
            PROCESSING,
            {"held": {0: HeldBy(actor="delivery-0-0", held=a_held("claimed"))}},
            "delivery-0-0 is at it, towards example.com: claimed.",
        ),
        (
            SENDING,
            {"held": {0: HeldBy(actor="delivery-0-0", held=a_held("on the wire"))}},
            "delivery-0-0 is at it, towards example.com: on the wire.",
        ),
        (PROCESSING, {}, "It is on its way to delivery-0-0; if it does not arrive, it goes back into the queue"),
        (SENDING, {}, "delivery-0-0 has claimed it and no longer has it: its outcome is being committed"),
        (SENDING, {"silent": ("delivery-0-0",)}, "delivery-0-0 has it, and did not answer"),
        (SENDING, {"live": ("delivery-0-1",)}, "delivery-0-0, which has it, has not been seen lately"),
        (
            a_standing(status=Status.SENDING, held=True, due_at=ahead(minutes=30)),
            {},
            "The actor that had it is gone; it goes back into the queue when the lease ends, 2026-04-23 10:30:00 UTC",
        ),
    ],
)
def test_in_an_actors_hands(standing: RecipientState, said: dict[str, Any], words: str) -> None:
    assert about(standing, **said).sentences[0].startswith(words)


@pytest.mark.parametrize("status", UNFINISHED)
def test_every_unfinished_status_says_where_it_is_and_when_it_ends(status: Status) -> None:
    found = about(a_standing(status=status))
    assert len(found.sentences) == 2 and found.status is status
    assert explain(some_facts(a_standing(status=status))).status is status


def test_why_it_was_deferred() -> None:
    once = about(a_standing(attempts=1, error_message="450 greylisted"))
    assert once.sentences[1] == "After 1 attempt, the last answer was: 450 greylisted"
    thrice = about(a_standing(attempts=3, error_message="450 greylisted"))
    assert thrice.sentences[1] == "After 3 attempts, the last answer was: 450 greylisted"


@pytest.mark.parametrize(
    ("site", "tenant", "words"),
    [
        (
            "example.com",
            "",
            "Sending to example.com is suspended for all tenants by operator until 2026-04-23 11:00:00",
        ),
        ("", "tnt_acme", "Sending everywhere is suspended for tenant tnt_acme by operator until"),
        ("example.com", "tnt_acme", "Sending to example.com is suspended for tenant tnt_acme by operator until"),
        ("example.org", "", None),
        ("", "tnt_other", None),
    ],
)
def test_what_is_suspended(site: str, tenant: str, words: str | None) -> None:
    found = about(a_standing(), sites={0: "example.com"}, suspensions=(a_suspension(site, tenant),))
    said = [sentence for sentence in found.sentences if "suspended" in sentence]
    assert [sentence[: len(words or "")] for sentence in said] == ([words] if words else [])


PARKED = a_standing(lane="mta1>example.com", due_at=ahead(days=3))
USED_UP = a_source(warm_up=(WarmUpUse(site="example.com", granted=50, cap=50),))


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({}, "the owner of that destination has no room"),
        ({"sources": {"mta1": a_source()}}, "the owner of that destination has no room"),
        ({"sources": {"mta1": USED_UP}}, "the warm-up of source mta1: no more today; it leaves as soon as it may"),
        ({"suspensions": (a_suspension(),)}, "sending there is suspended until 2026-04-23 11:00:00 UTC (in 1h)."),
        ({"suspensions": (a_suspension("", "tnt_acme"),)}, "sending there is suspended until"),
        ({"suspensions": (a_suspension(tenant_id="tnt_other"),)}, "the owner of that destination has no room"),
    ],
)
def test_why_it_is_parked(said: dict[str, Any], words: str) -> None:
    first = about(PARKED, sites={0: "example.com"}, **said).sentences[0]
    assert first.startswith(f"It is parked in the journal, in the lane mta1>example.com: {words}")


DEFAULT = (PoolShare(pool="default", weight=1),)
ONLY = (PoolShare(pool="only", weight=1),)
NOWHERE: dict[str, Any] = {"name": "mta1", "actors": ()}


@pytest.mark.parametrize(
    ("pool", "sources", "words"),
    [
        (
            "",
            [a_source(**NOWHERE, pools=DEFAULT), a_source("mta2", pools=DEFAULT)],
            "it goes to another source of its ",
        ),
        ("gone", [a_source(**NOWHERE, pools=DEFAULT), a_source("mta2", pools=DEFAULT)], "it goes to another source of"),
        (
            "only",
            [a_source(**NOWHERE, pools=DEFAULT + ONLY), a_source("mta2", pools=DEFAULT)],
            "no other source of its",
        ),
        (
            "",
            [a_source(**NOWHERE, pools=DEFAULT), a_source("mta2", actors=(), pools=DEFAULT)],
            "no other source of its",
        ),
        ("", [a_source(**NOWHERE, pools=ONLY)], "its pool has no sources: it goes to the address"),
        ("", [a_source(pools=DEFAULT, warm_up=USED_UP.warm_up)], "it leaves as soon as it may, from there."),
    ],
)
def test_what_a_source_keeps_waiting_is_promised_no_more_than_its_pool_has(
    pool: str, sources: list[SourceState], words: str
) -> None:
    parked = a_standing(lane="mta1>example.com", due_at=ahead(days=3), pool=pool)
    first = about(parked, sites={0: "example.com"}, sources={source.name: source for source in sources}).sentences[0]
    assert words in first


def test_what_is_parked_while_its_site_backs_off() -> None:
    state = a_state(source="mta1", binds="back_off", until=ahead(minutes=1).timestamp())
    (view,) = site_views([state], {}, [], "", "")
    first = about(PARKED, sites={0: "example.com"}, views={"example.com": view}).sentences[0]
    assert first.endswith(
        ": the site waits (backing off: no connection could be made) until 2026-04-23 10:01:00 UTC (in 1m)."
    )


def test_when_the_site_of_what_was_deferred_comes_back() -> None:
    deferred = a_standing(attempts=1, due_at=ahead(minutes=5), error_message="450 later")
    for site, back in ((a_suspension(), True), (a_suspension(until=ahead(minutes=4)), False)):
        first = about(deferred, sites={0: "example.com"}, suspensions=(site,)).sentences[0]
        assert ("but its site comes back only 2026-04-23 11:00:00 UTC (in 1h)" in first) is back


def test_the_host_that_answered_last_is_named() -> None:
    events = [
        TimelineEvent(event_type="deferred", recipient_email=email, timestamp="", metadata={"mx_host": host})
        for email, host in (("ada@example.com", "mx1.example.com"), ("ada@example.com", "mx2.example.com"))
    ]
    events.append(TimelineEvent(event_type="deferred", recipient_email="b@example.com", timestamp=""))
    said = about(a_standing(attempts=2, error_message="450 later"), events=events).sentences[1]
    assert said == "After 2 attempts, the last answer of mx2.example.com was: 450 later"


def test_how_its_site_is() -> None:
    state = a_state(
        waiting=7,
        in_flight=2,
        connections=2,
        connection_limit=3,
        accepted_per_s=1.5,
        binds="message_rate",
        until=ahead(seconds=30).timestamp(),
        adjustments=("message rate halved",),
        last_replies=(a_reply("421 too fast", kind="deferred"),),
    )
    (view,) = site_views([state], {"example.com": 10}, [], "", "")
    found = about(a_standing(), sites={0: "example.com"}, views={"example.com": view})
    assert found.site == "example.com"
    assert found.sentences[1:-1] == (
        "Its site example.com has 17 waiting, 2 in flight, 2 of 3 connections, "
        "and took 1.5 a second in the last minute.",
        "The site waits: the message rate, until 2026-04-23 10:00:30 UTC (in 30s).",
        "Automation: message rate halved.",
        "The site's last reply, 2026-04-23 10:00:00 UTC (now) from mx1.example.com (deferred): 421 too fast",
    )


def test_a_site_that_nobody_has() -> None:
    found = about(a_standing(), sites={0: "example.com"})
    assert found.sentences[1] == "Its site is example.com, which no delivery actor has in memory now."


def test_what_holds_the_whole_message() -> None:
    fate = a_fate(batch_id="bat_1", batch_paused=True, send_at=ahead(hours=1))
    facts = some_facts(a_standing(), fate=fate, live=(), events=None, recipients=("a@b.c", "d@e.f", "g@h.i", "j@k.l"))
    assert explain(facts).sentences == (
        "Accepted 2026-04-23 09:50:00 UTC (10m ago) for a@b.c, d@e.f, g@h.i and 1 more, in batch bat_1.",
        "Its batch bat_1 is paused: nothing of it is sent until the batch goes on.",
        "It is to be sent at 2026-04-23 11:00:00 UTC (in 1h).",
        "No delivery actor is alive: nothing is being sent at all.",
        "The event store does not answer: the last events are not shown.",
    )
    assert explain(facts).recipients[0].sentences[0] == "It is put aside while its batch is paused."


def test_the_moment_between_its_last_delivery_and_its_end() -> None:
    assert explain(some_facts()).sentences[1] == "It is ending just now: ask again in a moment."


def test_who_did_not_answer_is_named() -> None:
    assert explain(some_facts(a_standing(), silent=("delivery-0-1",))).sentences[1].endswith("delivery-0-1.")


@pytest.mark.parametrize(
    ("away", "words"),
    [
        ({"seconds": 0.2}, "now"),
        ({"seconds": 90}, "in 1m30s"),
        ({"seconds": -90}, "1m30s ago"),
        ({"hours": 2, "minutes": 1, "seconds": 10}, "in 2h1m"),
        ({"days": -2, "hours": -3, "minutes": -10}, "2d3h ago"),
    ],
)
def test_how_far_a_time_is(away: dict[str, float], words: str) -> None:
    assert clock(ahead(**away), NOW).endswith(f" UTC ({words})")


@pytest.mark.parametrize(("rule", "words"), [("code-mailbox", " by the rule code-mailbox: 550 no."), ("", ": 550 no.")])
def test_a_suppressed_recipient(rule: str, words: str) -> None:
    suppressed = {0: SuppressedBy("bounces", ahead(minutes=-1), "550 no", rule)}
    said = f"ada@example.com is suppressed by bounces since 2026-04-23 09:59:00 UTC (1m ago){words}"
    waiting = about(a_standing(), suppressed=suppressed)
    assert waiting.sentences[1] == f"{said} It is dropped when its turn comes."
    for status, after in ((Status.BOUNCED, ""), (Status.FAILED, " A retry sends nothing while its recipients are")):
        fate = a_fate(status=status, finished_at=NOW, error_message="no")
        explained = explain(some_facts(fate=fate, suppressed=suppressed))
        assert after in explained.sentences[1]
        assert explained.sentences[2] == said
    delivered = explain(some_facts(fate=a_fate(status=Status.DELIVERED, finished_at=NOW), suppressed=suppressed))
    assert len(delivered.sentences) == 2
