"""Mail in, from SMTP to the journal: what is believed takes effect, and what is made up changes nothing."""

import asyncio
from datetime import timedelta
from pathlib import Path

import aiosmtplib
import pytest

from cluster.events import Bounced, Event, SpamReported, decode_batch
from cluster.journal.journal import Journal, Unavailable
from cluster.journal.mail_in import KeptMail, ReportedMessage
from cluster.journal.records import Address, DueDelivery, NewMessage, PreparedPersonalization
from cluster.mail_in.reading import read_report
from cluster.mail_in.report import Report
from cluster.message.dsn import Dsn
from cluster.message.return_address import Named, Purpose, return_address
from cluster.policy.lifecycle import Status
from cluster.suppression.lists import SuppressionList
from cluster.tracking.tokens import TokenKey
from tests.integration.journal.builders import a_message, a_request, a_tenant, an_outcome, status, waiting
from tests.integration.journal.stored import sql
from tests.integration.mail_in.world import FEEDBACK, HOST, MailInWorld, a_complaint, a_report, a_world


async def claimed(journal: Journal, *emails: str, dsn: Dsn | None = None) -> tuple[str, NewMessage, list[DueDelivery]]:
    """A message that is being delivered."""
    tenant = await a_tenant(journal)
    emails = emails or ("ada@example.com",)
    own = PreparedPersonalization(to=tuple(map(Address, emails)), dsn=dsn)
    message = a_message(*emails, personalization=own)
    await journal.intake.accept([a_request(tenant, message)])
    wanted = waiting(tenant, message)
    await journal.queue.claim(wanted, owner=1, lease_s=60)
    return tenant, message, wanted


async def delivered(journal: Journal, *emails: str, dsn: Dsn | None = None) -> tuple[str, NewMessage]:
    tenant, message, wanted = await claimed(journal, *emails, dsn=dsn)
    ended = [an_outcome(one, Status.DELIVERED, sole_recipient=len(wanted) == 1) for one in wanted]
    await journal.queue.commit(ended, owner=1)
    return tenant, message


async def events(journal: Journal) -> list[Event]:
    rows = await journal.event_log.after("recorder", 10_000)
    return [event for row in rows for event in decode_batch(row.events)]


async def only(world: MailInWorld) -> KeptMail:
    (kept,) = await world.journal.mail_in.page(10)
    return kept


async def test_a_report_makes_a_delivered_message_bounce(journal: Journal, tmp_path: Path) -> None:
    tenant, message = await delivered(journal)
    async with a_world(journal, tmp_path) as world:
        for _ in range(2):  # the host did not see our answer
            await world.send(world.address(message.id), a_report("ada@example.com"))
        assert await status(journal, tenant, message) is Status.BOUNCED
        (event,) = [one for one in await events(journal) if isinstance(one, Bounced)]
        assert (event.bounce_type, event.smtp_response) == ("hard", "550 5.1.1 No such user")
        assert event.mx_host == "mail.example.net"
        assert await journal.suppressions.entry(tenant, SuppressionList.BOUNCES, "ada@example.com")
        kept = await only(world)
        assert (kept.kind, kept.effect, kept.message_id) == ("failed", "ada@example.com bounced", message.id)
        assert not kept.has_original


async def test_the_host_that_reports_is_named_where_none_refused(journal: Journal, tmp_path: Path) -> None:
    _, message = await delivered(journal)
    async with a_world(journal, tmp_path) as world:
        await world.send(world.address(message.id), a_report("ada@example.com", remote_mta=""))
        (event,) = [one for one in await events(journal) if isinstance(one, Bounced)]
        assert event.mx_host == "mx.example.net"


async def test_an_address_that_is_spelled_in_many_ways_gets_its_mail_once(
    journal: Journal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The recipient of one message could have a report read and stored a thousand times."""
    read = []

    def reading(data: bytes) -> Report:
        read.append(data)
        return read_report(data)

    monkeypatch.setattr("actors.mail_in.taking.read_report", reading)
    _, message = await delivered(journal)
    async with a_world(journal, tmp_path) as world:
        address = world.address(message.id)
        local_part, _, host = address.partition("@")
        spellings = [address, address.upper(), f"{local_part.title()}@{host}", f"{local_part}@elsewhere.example"]
        await world.send([*spellings, FEEDBACK, FEEDBACK.upper()], a_report("ada@example.com"))
        assert [kept.mailbox for kept in await world.journal.mail_in.page(10)] == [FEEDBACK, address]
    assert len(read) == 1


async def test_a_policy_refusal_lists_no_address(journal: Journal, tmp_path: Path) -> None:
    tenant, message = await delivered(journal)
    async with a_world(journal, tmp_path) as world:
        refused = a_report("ada@example.com", status="5.7.1", diagnostic="smtp; 550 5.7.1 message rejected as spam")
        await world.send(world.address(message.id), refused)
        assert await status(journal, tenant, message) is Status.BOUNCED
        assert not await journal.suppressions.entry(tenant, SuppressionList.BOUNCES, "ada@example.com")
        assert await journal.suppressions.entry(tenant, SuppressionList.BLOCKS, "ada@example.com")


async def test_the_recipient_of_several_is_told_by_the_report(journal: Journal, tmp_path: Path) -> None:
    tenant, message = await delivered(journal, "a@example.com", "b@example.com")
    async with a_world(journal, tmp_path) as world:
        await world.send(world.address(message.id, None), a_report("B@example.com"))
        assert await status(journal, tenant, message) is Status.DELIVERED
        await world.send(world.address(message.id, None), a_report("a@example.com"))
        assert await status(journal, tenant, message) is Status.BOUNCED


async def test_the_original_recipient_of_the_submitter_names_the_recipient(journal: Journal, tmp_path: Path) -> None:
    dsn = Dsn(original_recipients={"a@example.com": "rfc822;old+2Ba@example.net"})
    tenant, message = await delivered(journal, "a@example.com", dsn=dsn)
    async with a_world(journal, tmp_path) as world:
        # The host has sent the mail on, so its last recipient is none of ours.
        forwarded = a_report("elsewhere@example.org", original="old+a@example.net")
        await world.send(world.address(message.id), forwarded)
        assert await status(journal, tenant, message) is Status.BOUNCED


@pytest.mark.parametrize("case", ["no token", "a made-up token", "another key", "another tenant", "a relay"])
async def test_only_our_own_addresses_take_mail(journal: Journal, tmp_path: Path, case: str) -> None:
    tenant, message = await delivered(journal)
    async with a_world(journal, tmp_path) as world:
        good = world.address(message.id)
        named = Named(purpose=Purpose.REPORTS, tenant_number=2, message_id=message.id, recipient_no=0)
        addresses = {
            "no token": f"postray@{HOST}",
            "a made-up token": f"{good[:30]}{'a' if good[30] != 'a' else 'b'}{good[31:]}",
            "another key": return_address(TokenKey(world.server.keys.newest.id, b"x" * 32), named, HOST),
            "another tenant": return_address(TokenKey(9, b"x" * 32), named, HOST),
            "a relay": "someone@elsewhere.example",
        }
        with pytest.raises(aiosmtplib.SMTPRecipientsRefused) as refused:
            await world.send(addresses[case], a_report("ada@example.com"))
        assert refused.value.recipients[0].code == 550
        assert await status(journal, tenant, message) is Status.DELIVERED
        assert await journal.mail_in.page(10) == []


@pytest.mark.parametrize("recipient", ["bob@example.com", "ada@example.net"])
async def test_a_report_on_another_recipient_changes_nothing(journal: Journal, tmp_path: Path, recipient: str) -> None:
    tenant, message = await delivered(journal)
    async with a_world(journal, tmp_path) as world:
        await world.send(world.address(message.id), a_report(recipient))
        assert await status(journal, tenant, message) is Status.DELIVERED
        kept = await only(world)
        assert kept.effect == "" and kept.has_original
        assert f"it names {recipient}, and the message went to ada@example.com" in kept.why


async def test_a_message_that_was_scheduled_for_long_bounces_like_others(
    journal: Journal, journal_dsn: str, tmp_path: Path
) -> None:
    tenant, message = await delivered(journal)
    await sql(journal_dsn, "UPDATE messages SET created_at = created_at - interval '60 days' WHERE id = %s", message.id)
    async with a_world(journal, tmp_path) as world:
        await world.send(world.address(message.id), a_report("ada@example.com"))
        assert await status(journal, tenant, message) is Status.BOUNCED


SUBMITTED = Dsn(original_recipients={"ada@example.com": "rfc822;ada@lists.example.org"})


@pytest.mark.parametrize(
    ("original", "recipient_no", "expected"),
    [
        ("ada@lists.example.org", 0, Status.BOUNCED),
        ("ada@lists.example.org", None, Status.BOUNCED),
        ("", 0, Status.DELIVERED),  # it names no original recipient: that host was told of none
    ],
)
async def test_a_report_that_names_its_recipient_as_the_submitter_did_counts_after_the_body_has_gone(
    journal: Journal, journal_dsn: str, tmp_path: Path, original: str, recipient_no: int | None, expected: Status
) -> None:
    tenant, message = await delivered(journal, dsn=SUBMITTED)
    await forget_bodies(journal_dsn)
    async with a_world(journal, tmp_path) as world:
        address = world.address(message.id, recipient_no)
        await world.send(address, a_report("ada@members.example.org", original=original))
        assert await status(journal, tenant, message) is expected


async def test_of_several_recipients_none_is_guessed_after_the_body_has_gone(
    journal: Journal, journal_dsn: str, tmp_path: Path
) -> None:
    _, message = await delivered(journal, "ada@example.com", "bob@example.com", dsn=SUBMITTED)
    await forget_bodies(journal_dsn)
    async with a_world(journal, tmp_path) as world:
        report = a_report("ada@members.example.org", original="ada@lists.example.org")
        await world.send(world.address(message.id, None), report)
        assert (await only(world)).effect == ""
        await world.send(world.address(message.id, 0), report + b"again")
        assert (await journal.mail_in.page(1))[0].effect == "ada@example.com bounced"


async def forget_bodies(dsn: str) -> None:
    """What is left when bodies go (cluster/journal/rewriting.py)."""
    await sql(dsn, "UPDATE messages SET personal = ''")
    await sql(dsn, "UPDATE requests SET content = ''")


async def test_an_old_address_changes_nothing(
    journal: Journal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tenant, message = await delivered(journal)
    monkeypatch.setattr("actors.mail_in.taking.BELIEVED_FOR", timedelta(0))
    async with a_world(journal, tmp_path) as world:
        await world.send(world.address(message.id), a_report("ada@example.com"))
        assert await status(journal, tenant, message) is Status.DELIVERED
        assert "ended more than" in (await only(world)).why


async def test_a_complaint_names_its_message_by_what_it_returns(journal: Journal, tmp_path: Path) -> None:
    tenant, message = await delivered(journal)
    async with a_world(journal, tmp_path) as world:
        await world.send(FEEDBACK, a_complaint(world.address(message.id)))
        entry = await journal.suppressions.entry(tenant, SuppressionList.SPAM_REPORTS, "ada@example.com")
        assert entry is not None and entry.ip == "198.51.100.7"
        assert len([one for one in await events(journal) if isinstance(one, SpamReported)]) == 1
        assert (await only(world)).effect == "ada@example.com complained"


@pytest.mark.parametrize("case", ["made up", "not spam", "of a group"])
async def test_a_complaint_that_is_none_changes_nothing(journal: Journal, tmp_path: Path, case: str) -> None:
    _, message = await delivered(journal, *(("a@example.com", "b@example.com") if case == "of a group" else ()))
    async with a_world(journal, tmp_path) as world:
        good = world.address(message.id, None if case == "of a group" else 0)
        made_up = f"b+{message.id[4:].lower()}{'a' * 32}@{HOST}"
        complaint = a_complaint(
            made_up if case == "made up" else good, "", "not-spam" if case == "not spam" else "abuse"
        )
        await world.send(FEEDBACK, complaint)
        assert not [one for one in await events(journal) if isinstance(one, SpamReported)]
        assert (await only(world)).effect == ""


async def test_mail_unsubscribes(journal: Journal, tmp_path: Path) -> None:
    tenant, message = await delivered(journal)
    async with a_world(journal, tmp_path) as world:
        to = world.address(message.id, purpose=Purpose.UNSUBSCRIBING)
        await world.send(to, b"From: ada@example.com\r\nSubject: unsubscribe\r\n\r\n", "ada@example.com")
        assert await journal.suppressions.entry(tenant, SuppressionList.UNSUBSCRIBES, "ada@example.com")
        assert (await only(world)).effect == "ada@example.com unsubscribed"


async def test_what_is_not_understood_is_kept_with_why(journal: Journal, tmp_path: Path) -> None:
    tenant, message = await delivered(journal)
    async with a_world(journal, tmp_path) as world:
        await world.send(world.address(message.id), b"Subject: hello\r\n\r\nHow are you?\r\n")
        assert await status(journal, tenant, message) is Status.DELIVERED
        kept = await only(world)
        assert kept.kind == "not_understood" and kept.why
        assert b"How are you?" in (await journal.mail_in.originals([kept.id]))[kept.id]


async def test_a_report_before_the_outcome_comes_again(journal: Journal, tmp_path: Path) -> None:
    """The host has taken the message, and its answer was lost or is not on disk yet."""
    tenant, message, (delivery,) = await claimed(journal, "ada@example.com")
    async with a_world(journal, tmp_path) as world:
        with pytest.raises(aiosmtplib.SMTPDataError) as refused:
            await world.send(world.address(message.id), a_report("ada@example.com"))
        assert refused.value.code == 451 and "still being delivered" in refused.value.message
        assert await journal.mail_in.page(10) == []
        await journal.queue.commit([an_outcome(delivery, Status.DELIVERED)], owner=1)
        await world.send(world.address(message.id), a_report("ada@example.com"))
        assert await status(journal, tenant, message) is Status.BOUNCED
        assert (await only(world)).effect == "ada@example.com bounced"


async def test_a_report_on_one_of_several_waits_for_that_one(journal: Journal, tmp_path: Path) -> None:
    tenant, message, (first, second) = await claimed(journal, "a@example.com", "b@example.com")
    await journal.queue.commit([an_outcome(first, Status.DELIVERED, sole_recipient=False)], owner=1)
    async with a_world(journal, tmp_path) as world:
        await world.send(world.address(message.id, 0), a_report("a@example.com"))
        with pytest.raises(aiosmtplib.SMTPDataError):
            await world.send(world.address(message.id, 1), a_report("b@example.com"))
        await journal.queue.commit([an_outcome(second, Status.DELIVERED, sole_recipient=False)], owner=1)
        await world.send(world.address(message.id, 1), a_report("b@example.com"))
        assert await status(journal, tenant, message) is Status.BOUNCED


async def test_a_journal_that_is_away_is_a_451(
    journal: Journal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, message = await delivered(journal)

    async def away(*_: object) -> None:
        raise Unavailable("for the test")

    async with a_world(journal, tmp_path) as world:
        with monkeypatch.context() as patch:
            patch.setattr(journal.mail_in, "message", away)
            with pytest.raises(aiosmtplib.SMTPDataError) as refused:
                await world.send(world.address(message.id), a_report("ada@example.com"))
            assert refused.value.code == 451
        await world.send(world.address(message.id), a_report("ada@example.com"))
        assert (await only(world)).effect == "ada@example.com bounced"


@pytest.mark.parametrize("purpose", Purpose)
async def test_nothing_is_stored_of_a_recipient_whose_message_was_erased(
    journal: Journal, tmp_path: Path, purpose: Purpose
) -> None:
    await delivered(journal)
    gone = a_message("kim@example.net").id
    async with a_world(journal, tmp_path) as world:
        await world.send(world.address(gone, purpose=purpose), a_report("kim@example.net"), "kim@example.net")
        kept = await only(world)
        assert (kept.why, kept.sender, kept.recipients, kept.has_original) == (f"{gone} is gone", "", [], False)
        assert "kim" not in repr(kept)


@pytest.mark.parametrize("purpose", Purpose)
async def test_nothing_is_stored_when_the_message_is_erased_meanwhile(
    journal: Journal, journal_dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, purpose: Purpose
) -> None:
    _, message = await delivered(journal)
    look_up = journal.mail_in.message

    async def erased_then(tenant_number: int, message_id: str) -> ReportedMessage | None:
        found = await look_up(tenant_number, message_id)
        await sql(journal_dsn, "DELETE FROM messages")
        return found

    async with a_world(journal, tmp_path) as world:
        monkeypatch.setattr(journal.mail_in, "message", erased_then)
        await world.send(world.address(message.id, purpose=purpose), a_report("ada@example.com"), "ada@example.com")
        kept = await only(world)
        assert (kept.why, kept.sender, kept.recipients, kept.has_original) == (f"{message.id} is gone", "", [], False)
        assert "ada" not in repr(kept)


async def test_several_nodes_of_one_machine_take_mail_at_one_address(journal: Journal, tmp_path: Path) -> None:
    async with a_world(journal, tmp_path) as first, a_world(journal, tmp_path, port=first.port) as second:
        await first.server.stop()
        tenant, message = await delivered(journal)
        await second.send(second.address(message.id), a_report("ada@example.com"))
        assert (await status(journal, tenant, message)) is Status.BOUNCED


async def test_a_node_that_drains_takes_no_more_mail(journal: Journal, tmp_path: Path) -> None:
    """An open connection ends with 421, and the mail goes to another node."""
    async with a_world(journal, tmp_path, node_id="leaving") as leaving:
        client = aiosmtplib.SMTP(hostname="127.0.0.1", port=leaving.port, start_tls=False)
        await client.connect()
        assert await leaving.server.problem() is None
        await journal.membership.drain_node("leaving")
        async with asyncio.timeout(20):
            while (await journal.membership.nodes())[0].closed != ["mail_in-0-0"]:
                await asyncio.sleep(0.05)
        with pytest.raises(aiosmtplib.SMTPException):
            await client.ehlo()
        assert await leaving.server.problem() is None, "a drained node has no problem"
        tenant, message = await delivered(journal)
        with pytest.raises(aiosmtplib.SMTPConnectError):
            await leaving.send(leaving.address(message.id), a_report("ada@example.com"))
        async with a_world(journal, tmp_path, port=leaving.port) as other:
            await other.send(other.address(message.id), a_report("ada@example.com"))
            assert (await status(journal, tenant, message)) is Status.BOUNCED
