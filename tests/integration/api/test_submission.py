"""Mail handed over by SMTP: the same promise, checks and limits as over HTTP, with the words in replies."""

import asyncio
import contextlib
import json
import smtplib
import ssl
import time
from base64 import b64encode
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from functools import partial
from pathlib import Path
from typing import Any

import aiosmtplib
import pytest
from msgspec import Struct
from msgspec.structs import replace

from api.submission.server import Submission, SubmissionParts
from cluster.intake.backpressure import WhyFull, never_full
from cluster.journal.journal import Unavailable
from cluster.journal.records import Content, MessageRow, NewRequest, decode_content, decode_personalization
from cluster.keys import new_key
from cluster.message.dsn import Dsn
from cluster.settings import SubmissionSettings
from cluster.smtpd.certificate import certificate_of
from tests.integration.api.conftest import Site
from tests.integration.capture.peers import RawClient

FROM = "hello@mail.example.com"
PLAIN = f"From: {FROM}\r\nTo: ada@example.com\r\nSubject: Hi\r\n\r\nHello\r\n".encode()


class Submitting(Struct):
    site: Site
    submission: Submission

    @contextlib.asynccontextmanager
    async def client(self, password: str | None = None, user: str = "apikey") -> AsyncIterator[aiosmtplib.SMTP]:
        client = aiosmtplib.SMTP(
            hostname="127.0.0.1",
            port=self.submission.port,
            start_tls=True,
            validate_certs=False,
            username=user,
            password=password or self.site.key,
        )
        async with client:
            yield client

    async def send(self, message: bytes, *to: str, **client: Any) -> str:
        """The reply to a message. Raises aiosmtplib.SMTPResponseException."""
        async with self.client(**client) as connection:
            _, reply = await connection.sendmail(FROM, list(to) or ["ada@example.com"], message)
        return reply

    async def row(self, reply: str) -> MessageRow:
        row = await self.site.journal.messages.find(self.site.tenant_id, reply.split()[1])
        assert row is not None
        return row

    async def content(self, reply: str) -> Content:
        return decode_content((await self.row(reply)).content)


@contextlib.asynccontextmanager
async def submitting(site: Site, folder: Path, why_full: WhyFull = never_full) -> AsyncIterator[Submitting]:
    settings = SubmissionSettings(bind="127.0.0.1:0", tls_bind="127.0.0.1:0", max_connections_per_address=50)
    parts = SubmissionParts(settings, "mx.postray.example", partial(certificate_of, "localhost", folder))
    server = site.another(why_full, submission=parts)
    await server.start()
    try:
        assert server.submission is not None
        yield Submitting(site, server.submission)
    finally:
        await server.stop()


@pytest.fixture
async def world(site: Site, tmp_path: Path) -> AsyncIterator[Submitting]:
    async with submitting(site, tmp_path) as found:
        yield found


def with_smtpapi(said: object) -> bytes:
    return b"X-SMTPAPI: " + json.dumps(said).encode() + b"\r\n" + PLAIN


async def test_a_message_is_committed_with_its_recipients(world: Submitting) -> None:
    reply = await world.send(PLAIN, "ada@example.com", "bob@example.com", "ada@example.com")
    assert reply.startswith("2.0.0 msg_") and reply.endswith(" accepted")
    row = await world.row(reply)
    assert row.subject == "Hi"
    personalization = decode_personalization(row.personalization)
    assert [one.email for one in personalization.to] == ["ada@example.com", "bob@example.com"]
    content = decode_content(row.content)
    assert content.original == PLAIN
    assert content.from_.email == FROM and not content.parts and not content.readdressed
    assert [request.message_ids for request in world.site.offered] == [[row.id]]


async def test_hidden_fields_are_removed_and_all_else_stays(world: Submitting) -> None:
    odd = b"X-Odd:  a\r\n\tb \r\nsubject : Hi \r\n"
    hidden = b"Bcc: secret@example.com\r\nReturn-Path: <x@y.example>\r\n"
    body = b"\r\n\r\n.dot\r\n\xff binary \r\n"
    message = f"From: {FROM}\r\n".encode() + hidden + odd + body
    reply = await world.send(message)
    assert (await world.content(reply)).original == f"From: {FROM}\r\n".encode() + odd + body
    assert (await world.row(reply)).subject == "Hi"


async def test_smtplib_over_tls_from_the_start(world: Submitting) -> None:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = FROM, "ada@example.com", "Grüße"
    message.set_content("Hello")

    def send() -> None:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        with smtplib.SMTP_SSL("127.0.0.1", world.submission.tls_port, context=context) as client:
            client.login("apikey", world.site.key)
            client.send_message(message)

    await asyncio.to_thread(send)
    ((request,),) = (world.site.offered,)
    assert request.messages[0].subject == "Grüße"


@pytest.mark.parametrize(
    ("message", "code", "said"),
    [
        (PLAIN.replace(b"hello@mail.example.com", b"a@elsewhere.example"), 550, "5.7.1 Sender domain not verified"),
        (b"Sender: a@elsewhere.example\r\n" + PLAIN, 550, "5.7.1 Sender domain not verified"),
        (b"To: ada@example.com\r\n\r\nHello\r\n", 550, "5.6.0 from: The message needs a From field"),
        (PLAIN + b"", 250, "2.0.0"),
        (PLAIN.replace(FROM.encode(), f"{FROM} (Cron\r\n (the) Daemon)".encode()), 250, "2.0.0"),
        (PLAIN.replace(FROM.encode(), b"(%b) a@elsewhere.example" % FROM.encode()), 550, "5.7.1 Sender domain"),
        (PLAIN.replace(FROM.encode(), b"Team: %b;" % FROM.encode()), 550, "5.6.0 from: A group"),
        (b"Reply-To: Team: a@example.com, b@example.com;\r\n" + PLAIN, 250, "2.0.0"),
        (b"Reply-To: (nobody)\r\n" + PLAIN, 550, "5.6.0 reply-to: This field has no address"),
        (b"From: a@mail.example.com\r\n" + PLAIN, 550, "5.6.0 from: The message has this field more than once"),
        (b"Subject: again\r\n" + PLAIN, 550, "5.6.0 subject: The message has this field more than once"),
        (b"From: nobody\r\n\r\n", 550, "5.6.0"),
        (b"no field\r\n" + PLAIN, 550, "5.6.0 A line of the header is no field"),
        (b"X: \xff\r\n" + PLAIN, 550, "5.6.0 The header is neither ASCII nor UTF-8"),
        (b"Received: by a\r\n" * 101 + PLAIN, 550, "5.6.0 received: The message has more than 100 Received"),
        (b"X: " + b"a" * 300_000 + b"\r\n" + PLAIN, 552, "5.3.4 the header is larger"),
        (with_smtpapi({"category": ["a"] * 11}), 550, "5.6.0 categories"),
        (with_smtpapi({"nothing": 1}), 550, "5.6.0 x-smtpapi: X-SMTPAPI cannot be read"),
        (b"X-SMTPAPI: {\r\n" + PLAIN, 550, "5.6.0 x-smtpapi: X-SMTPAPI cannot be read"),
        (with_smtpapi({"batch_id": "bat_x"}), 550, "5.6.0 batch_id: The batch does not exist"),
        (with_smtpapi({"ip_pool": "nowhere"}), 550, "5.6.0 ip_pool_name: The pool does not exist"),
        (with_smtpapi({"asm_group_id": 99}), 550, "5.6.0 asm.group_id"),
        (with_smtpapi({"to": ["a@example.com"], "sub": {"-n-": ["a", "b"]}}), 550, "5.6.0 sub.-n-"),
        (with_smtpapi({"to": ["nobody"]}), 550, "5.6.0"),
        (with_smtpapi({"to": ["a b c"]}), 550, "5.6.0 to[0]: This is not one address"),
        (with_smtpapi({"sub": {"-n-": ["a"]}}), 550, "5.6.0 to"),
        (with_smtpapi({"filters": {"spamcheck": {"settings": {"enable": 1}}}}), 550, "5.6.0 filters.spamcheck"),
        (with_smtpapi({"filters": {"footer": {"settings": {"enable": 1}}}}), 550, "5.6.0 filters.footer"),
    ],
)
async def test_each_fault_is_told(world: Submitting, message: bytes, code: int, said: str) -> None:
    try:
        reply, got = await world.send(message), 250
    except aiosmtplib.SMTPResponseException as error:
        reply, got = error.message, error.code
    assert (got, reply[: len(said)]) == (code, said)
    assert "At least one personalization" not in reply
    assert len(world.site.offered) == (1 if code == 250 else 0)


def filled(field: str, *values: str) -> bytes:
    to = [f"ada{number}@example.com" for number in range(len(values))]
    said = {"to": to, "sub": {"-k-": list(values)}}
    return field.encode() + b"\r\n" + with_smtpapi(said)


@pytest.mark.parametrize(
    ("message", "said"),
    [
        (filled("Cc: -k-@example.com", "Ada", "a b"), "[1].substitutions: They break the header: 'a b@example.com' is"),
        (filled("Cc: bob@example.com, -k-", "x@example.com", ""), "[1].substitutions: They break the header: '' is"),
        (filled("Cc: Bob <bob@-k->", "a@b"), "[0].substitutions: They break the header: 'bob@a@b' is"),
        (filled("Reply-To: -k-", "a@b.example, c@d.example"), "[0].substitutions: They break the header: 'a@b.exa"),
        (filled("X-Order: -k-", "n" * 999), "[0].substitutions: They break the header: header X-Order would have more"),
        (filled("\r\n".join(["X: -k-"] * 1001), *["n"] * 20), "[19].substitutions: Their keys are in too many fields"),
        (filled("Cc: -k-", *["Ada"] * 30), "[0].substitutions: They break the header: 'Ada' is"),
    ],
)
async def test_values_that_break_the_header_are_told_at_once(world: Submitting, message: bytes, said: str) -> None:
    with pytest.raises(aiosmtplib.SMTPResponseException) as refused:
        await world.send(message)
    assert refused.value.code == 550
    assert refused.value.message.startswith(f"5.6.0 personalizations{said}")
    assert not world.site.offered


async def test_keys_that_take_long_to_find_do_not_hold_up_the_event_loop(world: Submitting) -> None:
    """A third of a second of work, as it was measured."""
    keys = {"a" * length: ["x"] for length in range(1, 139)}
    header = b"".join([b"X%d: %b\r\n" % (number, b"a" * 900) for number in range(270)])
    message = header + with_smtpapi({"to": ["ada@example.com"], "sub": keys})
    longest, before = 0.0, time.thread_time()

    async def watch() -> None:
        nonlocal longest, before
        while True:
            before = time.thread_time()
            await asyncio.sleep(0.001)
            longest = max(longest, time.thread_time() - before)

    async with asyncio.TaskGroup() as group:
        watching = group.create_task(watch())
        await world.send(message)
        watching.cancel()
    assert longest < 0.15


async def test_values_that_make_a_header_are_accepted(world: Submitting) -> None:
    await world.send(filled("Cc: -k- <bob@example.com>, -k-@example.com", "Bea", "Ada"))
    await world.send(filled("Cc: -k- <bob@example.com>", 'a, "b" <c'))
    assert len(world.site.offered) == 2


async def test_smtpapi_acts_as_the_api_does(world: Submitting) -> None:
    batch_id = await world.site.journal.batches.create(world.site.tenant_id)
    at = int((datetime.now(UTC) + timedelta(hours=1)).timestamp())
    said = {
        "to": ["Ada <ada@example.com>", "bob@example.com"],
        "sub": {"-name-": ["Ada", "Bob"], "-where-": ["-here-", "-there-"]},
        "section": {"-here-": "in -town-", "-there-": "out"},
        "category": "welcome",
        "unique_args": {"order": "7"},
        "send_each_at": [at, at + 60],
        "batch_id": batch_id,
        "filters": {
            "clicktrack": {"settings": {"enable": 0}},
            "opentrack": {"settings": {"enable": 1}},
            "bypass_list_management": {"settings": {"enable": 1}},
        },
    }
    reply = await world.send(with_smtpapi(said), "ignored@example.com")
    assert reply.endswith("and 1 more accepted")
    ((request,),) = (world.site.offered,)
    assert request.batch_id == batch_id and request.categories == ("welcome",)
    content = decode_content(request.content)
    assert content.original == PLAIN and content.readdressed and content.custom_args == {"order": "7"}
    assert content.tracking is not None and content.tracking.opens and not content.tracking.clicks
    first, second = (decode_personalization(message.personalization) for message in request.messages)
    assert (first.to[0].email, first.to[0].name) == ("ada@example.com", "Ada")
    assert first.substitutions == {"-name-": "Ada", "-where-": "in -town-"}
    assert second.substitutions == {"-name-": "Bob", "-where-": "out"}
    sends = [message.send_at for message in request.messages]
    assert sends == [datetime.fromtimestamp(at, UTC), datetime.fromtimestamp(at + 60, UTC)]


async def a_key(site: Site, *scopes: str) -> str:
    secret, prefix, hash = new_key(sandbox=False)
    await site.journal.api_keys.create(
        site.tenant_id, name="k", prefix=prefix, hash=hash, scopes=frozenset(scopes), sandbox=False
    )
    return secret


async def test_only_keys_that_may_send_log_in(world: Submitting, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cluster.access.login_failures.FIRST_PAUSE_S", 0.01)
    reading = await a_key(world.site, "messages.read")
    for user, password, said in (
        ("apikey", "sg_live_" + "0" * 32, "5.7.8 the user is apikey"),
        ("apikey", "x", "5.7.8 the user is apikey"),
        ("someone", world.site.key, "5.7.8 the user is apikey"),
        ("apikey", reading, "5.7.8 Missing required scope: mail.send"),
    ):
        with pytest.raises(aiosmtplib.SMTPAuthenticationError) as refused:
            await world.send(PLAIN, user=user, password=password)
        assert (refused.value.code, refused.value.message[: len(said)]) == (535, said)
    assert await world.send(PLAIN, password=await a_key(world.site, "mail.send"))


async def test_a_schedule_needs_its_scope(world: Submitting) -> None:
    key = await a_key(world.site, "mail.send")
    with pytest.raises(aiosmtplib.SMTPDataError) as refused:
        await world.send(with_smtpapi({"send_at": 4_000_000_000}), password=key)
    assert (refused.value.code, refused.value.message) == (550, "5.7.1 Missing required scope: mail.schedule")


async def test_a_full_system_is_a_451_at_once(site: Site, tmp_path: Path) -> None:
    async with submitting(site, tmp_path, lambda: "The disk is full") as world:
        with pytest.raises(aiosmtplib.SMTPDataError) as refused:
            await world.send(PLAIN)
        assert (refused.value.code, refused.value.message) == (451, "4.3.2 The disk is full")


async def test_a_journal_that_is_away_is_a_451(world: Submitting, monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(requests: list[NewRequest]) -> None:
        raise Unavailable("for the test")

    async with world.client() as client:
        with monkeypatch.context() as patch:
            patch.setattr("cluster.intake.intake._CommitQueue.commit", lambda *_: away([]))
            with pytest.raises(aiosmtplib.SMTPDataError) as refused:
                await client.sendmail(FROM, ["ada@example.com"], PLAIN)
            assert refused.value.code == 451
        assert await client.sendmail(FROM, ["ada@example.com"], PLAIN)


async def test_a_bare_line_end_is_refused(world: Submitting) -> None:
    async with await RawClient.greeted(world.submission.port) as client:
        await client.start_tls()
        await client.ask("EHLO client.example")
        plain = b64encode(f"\0apikey\0{world.site.key}".encode()).decode()
        assert (await client.ask(f"AUTH PLAIN {plain}")).startswith("235")
        for command in (f"MAIL FROM:<{FROM}>", "RCPT TO:<ada@example.com>", "DATA"):
            await client.ask(command)
        client.send(PLAIN + b"a\nb\r\n.\r\n")
        assert (await client.reply()).startswith("550 5.6.0")
    assert not world.site.offered


NAMED = b"Message-ID: <1@mail.example.com>\r\n" + PLAIN


@pytest.fixture
async def once(site: Site, tmp_path: Path) -> AsyncIterator[Submitting]:
    """The tenant asks for idempotency by Message-ID."""
    await site.journal.tenants.change_settings(
        site.tenant_id, lambda settings: replace(settings, submission_idempotency=True)
    )
    async with submitting(site, tmp_path) as found:
        yield found


async def test_a_repeat_gets_the_first_answer_and_sends_nothing(once: Submitting) -> None:
    first = await once.send(NAMED, "ada@example.com", "bob@example.com")
    again = await once.send(b"Received: by relay\r\n" + NAMED, "bob@example.com", "ada@example.com")
    assert again == f"{first} before"
    assert len(once.site.offered) == 1
    row = await once.row(again)
    assert row.subject == "Hi"


async def test_repeats_at_the_same_time_send_once(once: Submitting, tmp_path: Path) -> None:
    async with submitting(once.site, tmp_path / "another") as another:
        replies = await asyncio.gather(*[world.send(NAMED) for world in (once, another) for _ in range(4)])
    assert len({reply.split()[1] for reply in replies}) == 1
    assert sorted(reply.endswith("before") for reply in replies) == [False] + [True] * 7
    assert len(once.site.offered) == 1


async def test_what_is_no_repeat_is_sent(once: Submitting) -> None:
    other_id = NAMED.replace(b"<1@", b"<2@")
    sends = [(NAMED, "ada@example.com"), (NAMED, "bob@example.com"), (other_id, "ada@example.com")]
    sends += [(PLAIN, "ada@example.com")] * 2  # without Message-ID
    replies = [await once.send(message, to) for message, to in sends]
    assert len({reply.split()[1] for reply in replies}) == len(sends) == len(once.site.offered)


async def test_another_message_with_the_same_message_id_is_refused(once: Submitting) -> None:
    await once.send(NAMED)
    with pytest.raises(aiosmtplib.SMTPDataError) as refused:
        await once.send(NAMED + b"more\r\n")
    assert (refused.value.code, refused.value.message[:17]) == (550, "5.6.0 message-id:")
    assert len(once.site.offered) == 1


async def test_a_refused_message_may_be_mended(once: Submitting) -> None:
    with pytest.raises(aiosmtplib.SMTPDataError):
        await once.send(b"Subject: again\r\n" + NAMED)
    assert await once.send(NAMED)


async def test_a_full_system_still_answers_repeats(site: Site, tmp_path: Path) -> None:
    await site.journal.tenants.change_settings(
        site.tenant_id, lambda settings: replace(settings, submission_idempotency=True)
    )
    why: list[str] = []
    async with submitting(site, tmp_path, lambda: why[0] if why else None) as world:
        first = await world.send(NAMED)
        why.append("The disk is full")
        assert await world.send(NAMED) == f"{first} before"
        with pytest.raises(aiosmtplib.SMTPDataError) as refused:
            await world.send(NAMED, "bob@example.com")
        assert (refused.value.code, refused.value.message) == (451, "4.3.2 The disk is full")


async def test_without_the_setting_each_message_is_sent(world: Submitting) -> None:
    assert await world.send(NAMED) != await world.send(NAMED)
    assert len(world.site.offered) == 2


async def test_what_the_envelope_says_of_reports_is_kept(world: Submitting) -> None:
    async with world.client() as client:
        await client.mail(FROM, options=["RET=HDRS", "ENVID=QQ+2B1"])
        await client.rcpt("Ada@Example.com", options=["NOTIFY=NEVER", "ORCPT=rfc822;old+2Bada@example.net"])
        await client.rcpt("bob@example.com", options=["NOTIFY=FAILURE,DELAY"])
        reply = (await client.data(PLAIN)).message
        await client.mail(FROM, options=["ENVID=QQ"])
        await client.rcpt("ada@example.com", options=["NOTIFY=NEVER", "ORCPT=rfc822;old@example.net"])
        others = (await client.data(with_smtpapi({"to": ["carl@example.com"]}))).message
    other = decode_personalization((await world.row(others)).personalization).dsn
    assert other == Dsn(envelope_id="QQ")  # nothing of a recipient that it does not go to
    asked = decode_personalization((await world.row(reply)).personalization).dsn
    assert asked == Dsn(
        envelope_id="QQ+1",
        original_recipients={"ada@example.com": "rfc822;old+2Bada@example.net"},
        never=("ada@example.com",),
    )
    assert decode_personalization((await world.row(await world.send(PLAIN))).personalization).dsn is None
