"""The mailto URL of List-Unsubscribe, from the message that names it to the list that it leads to."""

import email.policy
from email.parser import BytesParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from actors.compose.tracking.transform import tracking_transform
from cluster.events import GroupUnsubscribed, Unsubscribed, decode_batch
from cluster.journal.journal import Journal
from cluster.journal.records import Address, BodyPart, Content, encode
from cluster.policy.lifecycle import Status
from cluster.suppression.lists import SuppressionList
from cluster.tracking.choices import Tracking, UnsubscribeText
from tests.integration.delivery.world import a_world as a_delivery_world
from tests.integration.journal.builders import a_message
from tests.integration.mail_in.world import a_world

TRACKING = Tracking(base_url="https://links.example.com", tenant_number=1, subscription=UnsubscribeText())
FROM = Address("hello@news.example.com")
CONTENTS = {
    "of the API": Content(from_=FROM, parts=(BodyPart("text/plain", "Hello\n"),), tracking=TRACKING),
    "submitted": Content(
        from_=FROM,
        original=b"From: hello@news.example.com\r\nTo: ada@example.com\r\n\r\nHello\r\n",
        tracking=TRACKING,
    ),
}


@pytest.mark.parametrize("content", CONTENTS.values(), ids=list(CONTENTS))
async def test_a_mail_to_the_mailto_url_unsubscribes(journal: Journal, tmp_path: Path, content: Content) -> None:
    async with a_world(journal, tmp_path) as world:
        key = world.server.keys.newest
        async with a_delivery_world(
            journal, transform_of=lambda one: tracking_transform(one.tracking, key, ["text/plain"]), takes_mail=True
        ) as delivery:
            await delivery.give_domain(delivery.tenant_id, "news.example.com", "bounces")
            delivery.zone("example.com", "127.0.0.1")
            message = a_message("ada@example.com")
            await delivery.accept(message, content=encode(content))
            assert (await delivery.finished(message)).status is Status.DELIVERED
            (taken,) = delivery.taken
        field = BytesParser(policy=email.policy.SMTP).parsebytes(taken.content)["List-Unsubscribe"]
        url = urlsplit(str(field).split(", ")[1].strip("<>"))
        assert url.scheme == "mailto" and url.query == "subject=unsubscribe"
        to = unquote(url.path)
        assert to.endswith("@bounces.news.example.com")
        await world.send(to, b"From: ada@example.com\r\nSubject: unsubscribe\r\n\r\n", "ada@example.com")
        assert await journal.suppressions.entry(delivery.tenant_id, SuppressionList.UNSUBSCRIBES, "ada@example.com")
        events = [one for row in await journal.event_log.after("recorder", 1000) for one in decode_batch(row.events)]
        (event,) = [one for one in events if isinstance(one, Unsubscribed | GroupUnsubscribed)]
        assert event.message_id == message.id
