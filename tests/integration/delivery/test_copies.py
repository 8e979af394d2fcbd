"""A message that a transform changes for each recipient: each gets its own copy, in its own transaction."""

import pytest

from actors.compose.transform import Addressee, Growth, SharedBy, Text
from actors.delivery.contents import LARGE_BYTES
from cluster.journal.journal import Journal
from cluster.journal.records import Address, BodyPart, Content, encode
from cluster.message.forms import Values
from cluster.policy.lifecycle import Status
from cluster.smtpd.envelope import Answer, Behaviour, ReceivedMessage, ServerReply
from tests.integration.delivery.world import World, a_world
from tests.integration.journal.builders import a_message
from tests.unit.compose.reading import read, text_of

READERS = ("ada@example.com", "bob@example.com", "eve@example.com")


class Name:
    """A place for the recipient."""

    growth = Growth(300)

    def fill(self, addressee: Addressee, _values: Values) -> str:
        return f"{addressee.message_id}.{addressee.recipient_no} {addressee.email}"


class Naming:
    """Puts the recipient at the end of each text of a request with the category "named"."""

    scope = SharedBy.RECIPIENT

    def fields(self, _addressee: Addressee) -> tuple[tuple[bytes, bytes], ...]:
        return ()

    def change(self, text: Text) -> Text:
        return Text(text.type, (*text.literals[:-1], f"{text.literals[-1]}for ", "."), (*text.holes, Name()))


def transform_of(content: Content) -> Naming | None:
    return Naming() if "named" in content.categories else None


def unsigned(data: bytes) -> bytes:
    """A message without its signatures, which begin it."""
    return data[data.index(b"\r\nDate: ") + 2 :]


def saying(text: str, *categories: str) -> bytes:
    parts = (BodyPart("text/plain", text),)
    return encode(Content(from_=Address("hello@mail.example.com"), parts=parts, categories=categories))


async def all_ended(world: World) -> bool:
    return not any(site.in_flight for site in world.deliverer.parts.sites)


@pytest.mark.parametrize("text", ["Hello é\n", "Hello é\n" * (LARGE_BYTES // 8)], ids=["small", "large"])
async def test_each_recipient_gets_a_copy(journal: Journal, text: str) -> None:
    async with a_world(journal, transform_of=transform_of) as world:
        world.zone("example.com", "127.0.0.1")
        message = a_message(*READERS)
        await world.accept(message, content=saying(text, "named"))
        assert (await world.finished(message)).status is Status.DELIVERED
        assert sorted(envelope.rcpt_to for envelope in world.taken) == [(reader,) for reader in READERS]
        heads = {unsigned(envelope.content).partition(b"\r\n\r\n")[0] for envelope in world.taken}
        assert len(heads) == 1, "the header is the message's"
        for envelope in world.taken:
            (reader,) = envelope.rcpt_to
            number = READERS.index(reader)
            said = text_of(read(envelope.content), "text/plain").rstrip("\n")
            assert said == f"{text}for {message.id}.{number} {reader}."
        await world.eventually(lambda: all_ended(world))


async def test_a_message_that_is_not_changed_goes_to_all_at_once(journal: Journal) -> None:
    async with a_world(journal, transform_of=transform_of) as world:
        world.zone("example.com", "127.0.0.1")
        message = a_message(*READERS)
        await world.accept(message, content=saying("Hello\n"))
        assert (await world.finished(message)).status is Status.DELIVERED
        assert [envelope.rcpt_to for envelope in world.taken] == [READERS]


async def test_a_copy_that_is_refused_or_put_off_is_its_recipients_alone(journal: Journal) -> None:
    """And the next attempt sends the same, signed anew."""
    put_off: list[bytes] = []

    def end_of_data(envelope: ReceivedMessage) -> Answer:
        if envelope.rcpt_to == (READERS[2],) and not put_off:
            put_off.append(envelope.content)
            return ServerReply(451, "4.3.0 later")
        return None

    behaviour = Behaviour(
        rcpt=lambda path: ServerReply(550, "5.1.1 no such user") if "bob" in path else None, end_of_data=end_of_data
    )
    async with a_world(journal, behaviour, transform_of=transform_of) as world:
        world.zone("example.com", "127.0.0.1")
        message = a_message(*READERS)
        await world.accept(message, content=saying("Hello\n", "named"))
        assert (await world.finished(message)).status is Status.DELIVERED
        assert [envelope.rcpt_to for envelope in world.taken] == [(READERS[0],), (READERS[2],)]
        assert unsigned(world.taken[1].content) == unsigned(*put_off)
        await world.eventually(lambda: all_ended(world))
