"""A job in parts: recipients that are settled, those for another transaction, and those for another host."""

import pytest
from msgspec.structs import replace

from actors.delivery.deferring_hosts import DeferringHosts
from actors.delivery.job import Hop, Job
from actors.delivery.onward import Division, divide
from actors.delivery.pool_group import QueuedJob
from actors.smtp.commands import Envelope, Unsendable
from actors.smtp.reply import Reply, make_reply
from actors.smtp.transaction import TransactionResult, unsent
from cluster.policy.replies.onward import NextHost
from cluster.policy.replies.stage import Stage
from cluster.policy.routes.mx import MailHost
from cluster.policy.routes.next_hop import NextHop
from cluster.policy.routes.routing import Via
from tests.unit.delivery.builders import HOP, OTHER_HOP, Clock, job

HOST = Hop(mx_host="mx1.example.com")
OK = make_reply(250, ["250 ok"])


def said(text: str) -> Reply:
    return make_reply(int(text[:3]), [text])


def to(*recipients: str, smtputf8: bool = False) -> Job:
    one = job(1)
    deliveries = [replace(one.deliveries[0], recipient=r, recipient_no=n) for n, r in enumerate(recipients)]
    originals = tuple([f"rfc822;{one}" for one in recipients])
    envelope = Envelope("from@sender.example", recipients, smtputf8=smtputf8, original_recipients=originals)
    return replace(one, deliveries=tuple(deliveries), envelope=envelope)


def result(*recipients: str, final: str = "250 ok", mail: str = "250 ok") -> TransactionResult:
    replies = tuple(said(text) for text in recipients)
    accepted = any(reply.positive for reply in replies)
    return TransactionResult(
        mail=said(mail),
        recipients=replies,
        final=said(final) if accepted else None,
        final_stage=Stage.END_OF_DATA,
        unsendable=None,
        duration=0.1,
    )


def divided(
    one: Job, transaction: TransactionResult, hop: NextHop = HOP, earliest: NextHost = NextHost.AT_ONCE
) -> Division:
    division = divide(QueuedJob(one), hop, HOST, transaction, earliest)
    parts = [rest.job for _, rest in division.rest] + ([division.settled[0]] if division.settled else [])
    assert sorted(d.recipient_no for part in parts for d in part.deliveries) == list(range(len(one.deliveries)))
    assert all(len(part.deliveries) == len(part.envelope.recipients) for part in parts)
    if one.envelope.original_recipients:
        for part in parts:
            own = tuple([f"rfc822;{recipient}" for recipient in part.envelope.recipients])
            assert part.envelope.original_recipients == own
    return division


def settled(division: Division) -> list[tuple[str, str]]:
    if division.settled is None:
        return []
    one, transaction = division.settled
    assert isinstance(transaction, TransactionResult)
    return [(outcome.recipient, outcome.reply.text) for outcome in transaction.outcomes(one.envelope)]


def rest(division: Division) -> list[tuple[list[str], tuple[str, ...]]]:
    return [([host.name for host in hop.hosts], queued.job.envelope.recipients) for hop, queued in division.rest]


BOTH = ["mx1.example.com", "mx2.example.com"]
NEXT = ["mx2.example.com"]


def test_what_is_refused_for_good_is_settled_as_a_whole() -> None:
    one, transaction = to("a@x.test", "b@x.test"), result("250 ok", "550 5.1.1 unknown")
    division = divided(one, transaction)
    assert (division.settled, division.parts) == ((one, transaction), 1)


def test_recipients_that_a_transaction_could_not_carry_go_in_others_as_large_as_it_could() -> None:
    too_many = "452 4.5.3 too many recipients"
    division = divided(to(*"abcde"), result("250 ok", "250 ok", too_many, too_many, too_many))
    assert settled(division) == [("a", "250 ok"), ("b", "250 ok")]
    assert rest(division) == [(BOTH, ("c", "d")), (BOTH, ("e",))]


def test_552_after_others_is_about_their_number_and_alone_about_the_mailbox() -> None:
    division = divided(to("a", "b", "c"), result("250 ok", "250 ok", "552 exceeded"))
    assert rest(division) == [(BOTH, ("c",))]
    assert settled(divided(to("c"), result("552 exceeded"))) == [("c", "552 exceeded")]


@pytest.mark.parametrize("count", [2, 3, 7])
def test_a_message_that_is_refused_for_its_recipients_is_halved_until_each_is_alone(count: int) -> None:
    no = "550 5.7.1 only one recipient per transaction"
    jobs, refused, transactions = [to(*[f"r{n}" for n in range(count)])], [], 0
    while jobs:
        one = jobs.pop()
        transactions += 1
        assert transactions <= 2 * count
        replies = ["250 ok"] * len(one.deliveries)
        division = divide(QueuedJob(one), HOP, HOST, result(*replies, final=no), NextHost.AT_ONCE)
        jobs += [queued.job for _, queued in division.rest]
        refused += settled(division)
    assert sorted(refused) == [(f"r{n}", no) for n in range(count)]


def test_what_a_host_puts_off_for_its_own_reasons_goes_to_the_next() -> None:
    one = to("a", "b", "c")
    division = divided(one, result("250 ok", "451 4.3.0 later", "550 5.1.1 unknown"))
    assert settled(division) == [("a", "250 ok"), ("c", "550 5.1.1 unknown")]
    assert rest(division) == [(NEXT, ("b",))]
    ((_, queued),) = division.rest
    assert (queued.tries, queued.instead) == (1, (HOST, replace(result("451 4.3.0 later"), final=OK)))
    assert not division.is_host_done


def test_a_host_that_takes_no_sender_takes_no_mail() -> None:
    division = divided(to("a", "b"), result(mail="452 4.3.1 insufficient system storage"))
    assert (division.settled, division.is_host_done) == (None, True)
    assert rest(division) == [(NEXT, ("a", "b"))]


@pytest.mark.parametrize(("hop", "earliest"), [(OTHER_HOP, NextHost.AT_ONCE), (HOP, NextHost.NEXT_ATTEMPT)])
def test_without_a_host_that_may_be_tried_it_is_put_off(hop: NextHop, earliest: NextHost) -> None:
    one, transaction = to("a"), result("451 4.3.0 later")
    host = Hop(mx_host=hop.hosts[0].name)
    assert divide(QueuedJob(one), hop, host, transaction, earliest) == Division(settled=(one, transaction))


def test_an_address_that_needs_smtputf8_leaves_the_others_alone() -> None:
    transaction = unsent(Unsendable.SMTPUTF8_NOT_OFFERED)
    division = divided(to("a@x.test", "é@x.test", "b@x.test"), transaction)
    assert division.settled is not None and division.settled[0].envelope.recipients == ("é@x.test",)
    assert rest(division) == [(BOTH, ("a@x.test", "b@x.test"))]
    for one in (to("a@x.test", "é@x.test", smtputf8=True), to("é@x.test")):
        assert divided(one, transaction).settled == (one, transaction)


def test_a_header_that_needs_smtputf8_is_downgraded_for_the_others() -> None:
    transaction = unsent(Unsendable.SMTPUTF8_NOT_OFFERED)
    one = replace(to("a@x.test", "é@x.test", smtputf8=True), downgraded=b"plain")
    division = divided(one, transaction)
    assert division.settled is not None and division.settled[0].envelope.recipients == ("é@x.test",)
    [(_, queued)] = division.rest
    assert (queued.job.data, queued.job.downgraded) == (b"plain", None)
    assert queued.job.envelope == to("a@x.test").envelope
    in_ascii = divided(replace(to("a@x.test", smtputf8=True), downgraded=b"plain"), transaction)
    assert in_ascii.settled is None and rest(in_ascii) == [(BOTH, ("a@x.test",))]
    assert divided(replace(to("é@x.test", smtputf8=True), downgraded=b"plain"), transaction).rest == ()


@pytest.mark.parametrize(
    "transaction",
    [
        result(mail="550 5.6.7 no"),
        result(mail="555 5.5.4 unsupported parameter"),
        result(mail="555 MAIL FROM parameters not recognized"),
        result(mail="501 5.5.4 syntax error in parameters"),
        result(mail="501 bad argument"),
        result(mail="504 5.5.4 not implemented"),
        result(mail="553 mailbox name not allowed"),
        result(mail="550 5.5.0 SMTPUTF8 is not supported here"),
        result(mail="554 5.7.1 no internationalized mail"),
        result("553 5.6.7 no", "553 5.6.7 no"),
        result("250 ok", "250 ok", final="554 5.6.9 no"),
    ],
)
def test_a_host_that_announces_smtputf8_in_vain(transaction: TransactionResult) -> None:
    one = replace(to("a@x.test", "é@x.test", smtputf8=True), downgraded=b"plain")
    division = divided(one, transaction)
    assert [recipient for recipient, _ in settled(division)] == ["é@x.test"]
    [(_, queued)] = division.rest
    assert (queued.job.data, queued.job.envelope.recipients) == (b"plain", ("a@x.test",))
    # What needs it no more, or cannot do without, is not sent again.
    for other in (queued.job, to("a@x.test", "é@x.test", smtputf8=True)):
        replies = replace(transaction, recipients=transaction.recipients[: len(other.deliveries)])
        assert divided(other, replies).rest == ()


@pytest.mark.parametrize("mail", ["550 5.7.1 you are blocked", "554 5.7.1 spam", "552 5.3.4 too large", "451 4.5.4 no"])
def test_what_is_refused_for_other_reasons_is_not_sent_without_smtputf8(mail: str) -> None:
    one = replace(to("a@x.test", "é@x.test", smtputf8=True), downgraded=b"plain")
    division = divided(one, result(mail=mail), OTHER_HOP)
    assert all(queued.job.data == one.data for _, queued in division.rest)


def test_a_plain_sender_that_is_refused_is_refused() -> None:
    assert divided(to("a@x.test", "b@x.test"), result(mail="555 5.5.4 unsupported parameter")).rest == ()


@pytest.mark.parametrize("no", ["503 5.5.1 bad sequence", "550 5.7.1 Multiple recipients not allowed"])
def test_one_at_a_time(no: str) -> None:
    division = divided(to(*"abc"), result("250 ok", no, no))
    assert settled(division) == [("a", "250 ok")]
    assert rest(division) == [(BOTH, ("b",)), (BOTH, ("c",))]
    assert settled(divided(to("b"), result(no))) == [("b", no)], "alone it is what it is"


# The next attempt

THREE = NextHop(Via.DIRECT, (MailHost(1, "mx1"), MailHost(2, "mx2"), MailHost(3, "mx3")))


def test_the_next_attempt_begins_with_a_host_that_has_not_put_it_off() -> None:
    hosts = DeferringHosts(Clock())
    one = to("a", "b")
    assert hosts.hop_for(one, THREE) is THREE
    hosts.note(("msg_1", 1), "mx1")
    assert hosts.hop_for(one, THREE).last == ("mx1",)
    hosts.note(("msg_1", 1), "mx2")
    assert hosts.hop_for(one, THREE).last == ("mx1", "mx2")
    hosts.note(("msg_1", 1), "mx1")
    assert hosts.hop_for(one, THREE).last == ("mx2", "mx1")
    assert hosts.hop_for(job(2), THREE) is THREE


def test_a_host_that_is_alone_or_gone_changes_nothing() -> None:
    hosts = DeferringHosts(Clock())
    hosts.note(("msg_1", 0), "mx.example.net")
    assert hosts.hop_for(job(1), OTHER_HOP) is OTHER_HOP
    assert hosts.hop_for(job(1), THREE) == THREE
