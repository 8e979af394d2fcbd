"""Tracked mail on its way: each recipient's copy has links of its own, signed, and the same visible header."""

import re

from actors.compose.tracking.transform import tracking_transform
from cluster.journal.journal import Journal
from cluster.journal.records import Address, BodyPart, Content, encode
from cluster.policy.lifecycle import Status
from cluster.tracking.choices import Tracking, UnsubscribeText
from cluster.tracking.tokens import Kind, Named, Preferences, TokenKey, read
from tests.integration.delivery.world import a_world
from tests.integration.journal.builders import a_message
from tests.unit.compose.reading import read as parsed
from tests.unit.compose.reading import text_of

KEY = TokenKey(1, b"k" * 32)
READERS = ("ada@example.com", "bob@example.com")
BASE = "https://links.example.com"
HTML = '<html><body><p>Hello</p><a href="https://shop.example.com/a?b=1&amp;c=2">Shop</a></body></html>'


def content(**choices: object) -> bytes:
    tracking = Tracking(base_url=BASE, tenant_number=7, **choices)  # type: ignore[arg-type]
    parts = (BodyPart("text/plain", "Hello\n"), BodyPart("text/html", HTML))
    return encode(Content(from_=Address("hello@mail.example.com"), parts=parts, tracking=tracking))


def named(kind: Kind, letter: str, text: str) -> Named:
    [token] = re.findall(rf"{BASE}/t/{letter}/([\w-]+)", text)
    found = read(token, kind, {KEY.id: KEY.key})
    assert found is not None
    return found


async def test_each_recipient_gets_links_of_their_own(journal: Journal) -> None:
    async with a_world(
        journal,
        transform_of=lambda one: tracking_transform(one.tracking, KEY, [part.type for part in one.parts]),
    ) as world:
        world.zone("example.com", "127.0.0.1")
        message = a_message(*READERS)
        await world.accept(
            message, content=content(opens=True, clicks=True, subscription=UnsubscribeText(), group_id=4)
        )
        assert (await world.finished(message)).status is Status.DELIVERED
        received = sorted(world.taken, key=lambda one: one.rcpt_to)
        assert [one.rcpt_to for one in received] == [("ada@example.com",), ("bob@example.com",)]
        for number, (one, email) in enumerate(zip(received, READERS, strict=True)):
            mail = parsed(one.content)
            html, plain = text_of(mail, "text/html"), text_of(mail, "text/plain")
            click = named(Kind.CLICK, "c", html)
            assert click.target is not None and click.target.url == "https://shop.example.com/a?b=1&c=2"
            for found in (
                click,
                named(Kind.OPEN, "o", html),
                named(Kind.UNSUBSCRIBE, "u", plain),
                named(Kind.UNSUBSCRIBE, "u", str(mail["List-Unsubscribe"])),
            ):
                assert (found.recipient.email, found.recipient.recipient_no) == (email, number)
                assert (found.recipient.message_id, found.recipient.tenant_number) == (message.id, 7)
            assert named(Kind.UNSUBSCRIBE, "u", html).preferences == Preferences(4)
            assert mail["To"] == "ada@example.com, bob@example.com"
            assert mail["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click" and mail["Feedback-ID"]


async def test_recipients_share_a_transaction_where_nothing_is_tracked(journal: Journal) -> None:
    async with a_world(
        journal, transform_of=lambda one: tracking_transform(one.tracking, KEY, ["text/plain"])
    ) as world:
        world.zone("example.com", "127.0.0.1")
        message = a_message(*READERS)
        await world.accept(message, content=content(opens=True, clicks=True))
        assert (await world.finished(message)).status is Status.DELIVERED
        assert [one.rcpt_to for one in world.taken] == [READERS]
