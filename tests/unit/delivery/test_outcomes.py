"""From the report on a job to its verdicts, outcomes and events."""

from datetime import UTC, datetime, timedelta

from msgspec.structs import replace

from actors.delivery.job import Hop, Job, NoRoute, Report
from actors.delivery.outcomes import Circumstances, build_outcomes, verdicts_of
from actors.smtp.commands import Envelope, Unsendable
from actors.smtp.protocol import ConnectError, ConnectionLost
from actors.smtp.reply import Reply, make_reply
from actors.smtp.transaction import TransactionResult
from cluster.events import Bounced, Deferred, Delivered
from cluster.journal.records import Claimed, ListedOutcome, OutcomeWithEvent
from cluster.journal.suppressions import NewSuppression
from cluster.policy.lifecycle import Status, Transition
from cluster.policy.replies.bounce_class import BounceClass
from cluster.policy.replies.bounce_rules import ReplyScope
from cluster.policy.replies.stage import Stage
from cluster.suppression.lists import SuppressionList

NOW = datetime(2026, 1, 1, tzinfo=UTC)
RECIPIENTS = ("ada@example.com", "bob@example.com")
HOP = Hop(mx_host="mx.example.com", mx_ip="192.0.2.25", source_ip="198.51.100.7")
SHIPPED = (60.0, 300.0, 900.0, 1800.0, 3600.0, 7200.0, 14400.0)


def a_job(attempts: int = 1, expires_at: datetime = NOW + timedelta(days=3)) -> Job:
    deliveries = tuple(
        Claimed(
            message_id="msg_1",
            recipient_no=number,
            recipient=recipient,
            domain="example.com",
            tenant_id="tnt_1",
            request_id="req_1",
            batch_id=None,
            attempts=attempts,
            sole_recipient=False,
            created_at=NOW,
            send_at=NOW,
            dated_at=NOW,
            expires_at=expires_at,
            personalization=b"",
        )
        for number, recipient in enumerate(RECIPIENTS)
    )
    return Job(deliveries=deliveries, envelope=Envelope("b@example.org", RECIPIENTS), data=b"", categories=("welcome",))


def a_reply(*lines: str) -> Reply:
    return make_reply(int(lines[0][:3]), list(lines))


def a_result(*rcpts: str, final: str | None = "250 2.0.0 Ok") -> TransactionResult:
    return TransactionResult(
        mail=a_reply("250 2.1.0 Ok"),
        recipients=tuple(a_reply(rcpt) for rcpt in rcpts),
        final=a_reply(final) if final else None,
        final_stage=Stage.END_OF_DATA,
        unsendable=None,
        duration=0.042,
    )


def outcomes_of(job: Job, report: Report, lifetime_s: float = 86_400.0) -> list[OutcomeWithEvent]:
    circumstances = Circumstances(
        now=NOW,
        jitter=0.5,
        site="example.com",
        acceptance=Transition.ACCEPTED,
        retry_schedule_s=SHIPPED,
        lifetime_s=lifetime_s,
        default_lifetime_s=86_400.0,
    )
    return build_outcomes(job, HOP, verdicts_of(job, report), 42, circumstances)


def test_each_recipient_has_its_own_verdict() -> None:
    (accepted, delivered), (refused, bounced) = outcomes_of(a_job(), a_result("250 2.1.5 Ok", "550 5.1.1 No such user"))
    assert (accepted.status, refused.status) == (Status.DELIVERED, Status.BOUNCED)
    assert isinstance(delivered, Delivered) and isinstance(bounced, Bounced)
    assert (delivered.smtp_response, delivered.duration_ms, delivered.source_ip) == (
        "250 2.0.0 Ok",
        42,
        "198.51.100.7",
    )
    assert (bounced.bounce_type, bounced.bounce_class, bounced.reason) == (
        "hard",
        "bad_mailbox",
        "550 5.1.1 No such user",
    )


def test_a_deferral_says_why_and_waits_as_its_class_does() -> None:
    (first, greylisted), (second, full) = outcomes_of(
        a_job(), a_result("450 4.2.0 Greylisted", "452 4.2.2 Mailbox full", final=None)
    )
    assert isinstance(greylisted, Deferred) and isinstance(full, Deferred)
    assert (greylisted.bounce_class, full.bounce_class) == ("greylisted", "mailbox_full")
    assert (first.status, second.status) == (Status.QUEUED, Status.QUEUED)
    assert (first.due_at, second.due_at) == (NOW + timedelta(minutes=1), NOW + timedelta(hours=1))


def test_what_expires_bounces_as_expired_and_tells_the_last_reply() -> None:
    job = a_job(attempts=7, expires_at=NOW + timedelta(minutes=1))
    (outcome, event), _ = outcomes_of(job, a_result("450 4.2.2 Mailbox full", "450 4.2.2 Mailbox full", final=None))
    assert outcome.status is Status.BOUNCED
    assert isinstance(event, Bounced)
    assert (event.bounce_type, event.bounce_class) == ("soft", "expired")
    assert event.reason == "expired after 7 attempts: 450 4.2.2 Mailbox full"


def test_a_site_may_give_up_sooner_than_the_message() -> None:
    result = a_result("450 4.2.0 later", "450 4.2.0 later", final=None)
    assert [outcome.status for outcome, _ in outcomes_of(a_job(), result, 8.0)] == [Status.BOUNCED] * 2
    # A last attempt shortly before the lifetime at this site ends.
    assert [outcome.due_at for outcome, _ in outcomes_of(a_job(), result, 50.0)] == [NOW + timedelta(seconds=45)] * 2
    assert [outcome.status for outcome, _ in outcomes_of(a_job(), result, 70.0)] == [Status.QUEUED] * 2


def test_failures_are_judged_for_every_delivery() -> None:
    cases: list[tuple[Report, str, BounceClass, ReplyScope]] = [
        (NoRoute("example.com: DNS SERVFAIL", False), "deferred", BounceClass.DNS_FAILURE, ReplyScope.SITE),
        (NoRoute("example.com: null mx", True), "bounced", BounceClass.BAD_DOMAIN, ReplyScope.SITE),
        (ConnectError(Stage.CONNECT, "timed out"), "deferred", BounceClass.NO_ANSWER, ReplyScope.HOST),
        (ConnectError(Stage.TLS, "certificate: expired"), "deferred", BounceClass.TLS_FAILURE, ReplyScope.HOST),
        (
            ConnectError(Stage.GREETING, "refused", a_reply("554 5.7.1 blocked using dnsbl.example")),
            "deferred",
            BounceClass.BLOCKLISTED,
            ReplyScope.SITE,
        ),
        (
            ConnectionLost(Stage.RCPT, "the peer closes the connection", False, a_reply("421 4.7.0 Try again later")),
            "deferred",
            BounceClass.SYSTEM_FAILURE,
            ReplyScope.SESSION,
        ),
        (
            ConnectionLost(Stage.END_OF_DATA, "closed by the peer", True),
            "deferred",
            BounceClass.CONNECTION_LOST,
            ReplyScope.SESSION,
        ),
        (
            TransactionResult(
                mail=None,
                recipients=(),
                final=None,
                final_stage=Stage.END_OF_DATA,
                unsendable=Unsendable.SMTPUTF8_NOT_OFFERED,
                duration=0.0,
            ),
            "bounced",
            BounceClass.UNSUPPORTED,
            ReplyScope.MESSAGE,
        ),
    ]
    for report, judgement, bounce_class, scope in cases:
        verdicts = [said.verdict for said in verdicts_of(a_job(), report)]
        assert [(v.judgement, v.bounce_class, v.scope) for v in verdicts] == [(judgement, bounce_class, scope)] * 2


def test_the_reply_is_kept_for_finding_patterns() -> None:
    refused = ConnectError(Stage.GREETING, "refused", a_reply("421-4.7.0 Not now.", "421 4.7.0 Later."))
    said, _ = verdicts_of(a_job(), refused)
    assert (said.code, said.enhanced, said.response) == (421, "4.7.0", "421-4.7.0 Not now.\n421 4.7.0 Later.")
    assert said.reason.startswith("greeting: refused")
    silent, _ = verdicts_of(a_job(), ConnectError(Stage.CONNECT, "timed out"))
    assert (silent.code, silent.enhanced, silent.response) == (0, None, "")


def test_a_recipient_goes_on_the_list_that_the_verdict_feeds() -> None:
    job = a_job()
    said = a_result("550 5.1.1 No such user", "552 5.2.2 Mailbox full", final=None)
    (hard, _), (soft, _) = outcomes_of(job, said)
    assert isinstance(hard, ListedOutcome)
    assert hard.listed == NewSuppression(
        tenant_id="tnt_1",
        email="ada@example.com",
        list=SuppressionList.BOUNCES,
        created_at=NOW,
        reason="550 5.1.1 No such user",
        status="5.1.1",
        rule="bad-mailbox-status",
    )
    assert not isinstance(soft, ListedOutcome)


def test_only_the_recipients_own_domain_makes_an_address_invalid() -> None:
    for bad_domain, listed in (("example.com", True), ("mx.example.com", False), ("", False)):
        outcomes = outcomes_of(a_job(), NoRoute("no such domain", True, bad_domain))
        assert [isinstance(outcome, ListedOutcome) for outcome, _ in outcomes] == [listed, listed]


def test_postrays_own_mail_neither_counts_nor_feeds_a_list() -> None:
    """A bounce of a TLS report says nothing about the mail of the tenant whose domain it is sent from."""
    report = a_result("250 2.1.5 Ok", "550 5.1.1 No such user")
    for is_notice in (False, True):
        (accepted, _), (refused, _) = outcomes_of(replace(a_job(), is_notice=is_notice), report)
        assert (accepted.status, refused.status) == (Status.DELIVERED, Status.BOUNCED)
        assert accepted.is_counted == refused.is_counted == isinstance(refused, ListedOutcome) == (not is_notice)
