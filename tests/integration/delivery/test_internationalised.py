"""Addresses that need SMTPUTF8, and addresses that cannot be written, beside others: the outcome of each recipient, on
the wire."""

import asyncio
from email import message_from_bytes, policy

import msgspec
import pytest

from cluster.events import Bounced, Delivered, Dropped, Event
from cluster.journal.journal import Journal
from cluster.journal.records import Address, BodyPart, Content, NewMessage, PreparedPersonalization, encode
from tests.dkim_verifier import verdicts
from tests.integration.delivery.hostile import CHUNKS, ONE_BY_ONE, PIPELINED, Hosts, hosts
from tests.integration.journal.builders import a_message
from tests.integration.smtp.peer import EXTENSIONS, Answer, Peer

WITHOUT = tuple(keyword for keyword in EXTENSIONS if keyword != "SMTPUTF8")
MODES = [tuple(keyword for keyword in mode if keyword != "SMTPUTF8") for mode in (CHUNKS, PIPELINED, ONE_BY_ONE)]
A, B, E = Address("a@h.test", "Ada"), Address("b@h.test"), Address("é@h.test", "Zoë, the E")


def message(*, to: tuple[Address, ...] = (), cc: tuple[Address, ...] = (), bcc: tuple[Address, ...] = ()) -> NewMessage:
    return a_message(
        *(one.email for one in (*to, *cc, *bcc)), personalization=PreparedPersonalization(to=to, cc=cc, bcc=bcc)
    )


async def fates(there: Hosts, sent: NewMessage, **fields: object) -> dict[str, Event]:
    """The one event of each recipient."""
    await there.world.accept(sent, **fields)
    await there.world.scheduler.paging.round()
    events = await there.world.events_of(sent, len(sent.recipients))
    assert len(events) == len(sent.recipients)
    return {event.recipient: event for event in events if isinstance(event, Delivered | Bounced | Dropped)}


def kinds(ends: dict[str, Event]) -> dict[str, str]:
    return {recipient.partition("@")[0]: type(event).__name__ for recipient, event in ends.items()}


def header(data: bytes, name: str) -> str:
    return str(message_from_bytes(data, policy=policy.SMTP)[name])


@pytest.mark.parametrize("extensions", MODES)
@pytest.mark.parametrize(
    ("sent", "shown"),
    [
        (message(to=(A,), cc=(E,)), {"To": "Ada <a@h.test>", "Cc": '"Zoë, the E é@h.test":;'}),
        (message(to=(E,), bcc=(A,)), {"To": '"Zoë, the E é@h.test":;'}),
        (message(to=(A, E, B)), {"To": 'Ada <a@h.test>, "Zoë, the E é@h.test":;, b@h.test'}),
        (message(to=(Address("é@h.test"),), cc=(A,)), {"To": '"é@h.test":;', "Cc": "Ada <a@h.test>"}),
    ],
)
async def test_a_host_without_smtputf8(
    journal: Journal, extensions: tuple[str, ...], sent: NewMessage, shown: dict[str, str]
) -> None:
    async with hosts(journal) as there:
        await there.host("h.test", peer := Peer(extensions=extensions))
        sent = msgspec.structs.replace(sent, id=a_message().id)
        ends = await fates(there, sent)
        assert kinds(ends) == {
            one.email.partition("@")[0]: "Bounced" if one.email.startswith("é") else "Delivered"
            for one in sent.recipients
        }
        bounce = ends["é@h.test"]
        assert isinstance(bounce, Bounced) and bounce.reason.startswith("5.6.7 ")
        (data,) = peer.messages
        head = data.partition(b"\r\n\r\n")[0]
        assert head.isascii()
        assert {name: header(data, name) for name in shown} == shown
        assert b"SMTPUTF8" not in b" ".join(peer.commands)
        assert verdicts(data, there.world.key_records) == [True]


def submitted(field: str) -> bytes:
    original = f"From: a@mail.example.com\r\n{field}\r\n\r\nHé\r\n".encode()
    return encode(Content(from_=Address("a@mail.example.com"), original=original))


@pytest.mark.parametrize(
    ("field", "ends"),
    [
        ("Subject: Hi", {"a": "Delivered", "é": "Bounced"}),
        ("Subject: Grüße", {"a": "Delivered", "é": "Bounced"}),
        ("To: a@h.test, é@h.test", {"a": "Delivered", "é": "Bounced"}),
        ("Reply-To: é@h.test", {"a": "Bounced", "é": "Bounced"}),
    ],
)
async def test_a_submitted_message_to_a_host_without_smtputf8(
    journal: Journal, field: str, ends: dict[str, str]
) -> None:
    async with hosts(journal) as there:
        await there.host("h.test", peer := Peer(extensions=ONE_BY_ONE))
        found = await fates(there, message(to=(A, E)), content=submitted(field))
        assert kinds(found) == ends
        bounce = found["é@h.test"]
        assert isinstance(bounce, Bounced) and bounce.reason.startswith("5.6.7 ")
        for data in peer.messages:
            head, _, body = data.partition(b"\r\n\r\n")
            assert head.isascii() and body == "Hé\r\n".encode()  # as it is: encoding would break its signatures
            assert verdicts(data, there.world.key_records) == [True]
        assert b"SMTPUTF8" not in b" ".join(peer.commands) and b"8BITMIME" not in b" ".join(peer.commands)


async def test_a_host_with_smtputf8_gets_all_in_one(journal: Journal) -> None:
    async with hosts(journal) as there:
        await there.host("h.test", peer := Peer())
        ends = await fates(there, message(to=(A,), cc=(E,)))
        assert kinds(ends) == {"a": "Delivered", "é": "Delivered"}
        (data,) = peer.messages
        assert "<é@h.test>".encode() in data
        assert peer.verbs.count("MAIL") == 1


def line(text: str) -> Answer:
    return (f"{text}\r\n".encode(),)


@pytest.mark.parametrize("verb", ["MAIL", "BDAT"])
@pytest.mark.parametrize("reply", ["550 5.6.7 no", "554 5.6.9 no"])
async def test_a_host_that_announces_smtputf8_in_vain(journal: Journal, verb: str, reply: str) -> None:
    usual = line("250 2.0.0 ok")
    async with hosts(journal) as there:
        await there.host("h.test", peer := Peer({verb: [line(reply), usual]}))
        ends = await fates(there, message(to=(A,), cc=(E,)))
        assert kinds(ends) == {"a": "Delivered", "é": "Bounced"}
        assert header(peer.messages[-1], "Cc") == '"Zoë, the E é@h.test":;'


class NoParameter(Peer):
    """Announces SMTPUTF8, and does not take the parameter."""

    refusal = ""

    def _next(self, verb: str, writer: asyncio.StreamWriter) -> Answer:
        if verb == "MAIL" and b"SMTPUTF8" in self.commands[-1]:
            return line(self.refusal)
        return super()._next(verb, writer)


@pytest.mark.parametrize("reply", ["555 5.5.4 unsupported parameter", "501 bad argument", "553 5.1.7 no"])
async def test_a_host_that_refuses_the_parameter_that_it_announces(journal: Journal, reply: str) -> None:
    async with hosts(journal) as there:
        peer = NoParameter(extensions=(*ONE_BY_ONE, "SMTPUTF8"))
        peer.refusal = reply
        await there.host("h.test", peer)
        ends = await fates(there, message(to=(A,), cc=(E,), bcc=(B,)))
        assert kinds(ends) == {"a": "Delivered", "b": "Delivered", "é": "Bounced"}
        assert len(peer.messages) == 1


@pytest.mark.parametrize("name", ["from_", "reply_to"])
async def test_an_author_is_not_downgraded(journal: Journal, name: str) -> None:
    author = Address("é@mail.example.com")
    fields = {"from_": Address("hello@mail.example.com"), name: author if name == "from_" else (author,)}
    content = encode(Content(parts=(BodyPart("text/plain", "Hello"),), **fields))  # type: ignore[arg-type]  # as the name says
    async with hosts(journal) as there:
        await there.host("h.test", peer := Peer(extensions=WITHOUT))
        ends = await fates(there, message(to=(A,), cc=(E,)), content=content)
        assert kinds(ends) == {"a": "Bounced", "é": "Bounced"}
        assert peer.messages == []


@pytest.mark.parametrize("place", ["to", "cc"])
@pytest.mark.parametrize(
    "email", ["not an address@h.test", '"a\\é"@h.test', f"{'x' * 1000}@h.test", "a@h.test>\r\nX: y"]
)
async def test_an_address_that_cannot_be_written_is_left_out(journal: Journal, place: str, email: str) -> None:
    broken = Address(email, "Name")
    sent = message(to=(broken, A), bcc=(B,)) if place == "to" else message(to=(A,), cc=(broken,), bcc=(B,))
    good, bad = ("a@h.test", "b@h.test"), msgspec.structs.replace(sent.recipients[0], email=email)
    recipients = tuple(msgspec.structs.replace(bad, email=one.email, domain="h.test") for one in sent.recipients)
    async with hosts(journal) as there:
        await there.host("h.test", peer := Peer())
        ends = await fates(there, msgspec.structs.replace(sent, recipients=recipients))
        assert {recipient: type(event) for recipient, event in ends.items()} == {
            **dict.fromkeys(good, Delivered),
            email: Dropped,
        }
        (data,) = peer.messages
        assert header(data, "To") == "Ada <a@h.test>"
        assert b"\r\nCc:" not in data and b"\r\nX:" not in data
        failed = ends[email]
        assert isinstance(failed, Dropped) and failed.reason.startswith("cannot be composed: ")
