"""The address of an erased recipient goes from messages to others."""

from datetime import UTC, datetime
from typing import Any

import pytest
from msgspec.structs import replace

from cluster.ids import first_id
from cluster.journal import mention_erasure
from cluster.journal.journal import Journal
from cluster.journal.recipient_erasure import EraseJob, Stage
from cluster.journal.records import (
    Address,
    BodyPart,
    Content,
    PreparedPersonalization,
    decode_content,
    decode_personalization,
    encode,
)
from cluster.message.mentions import ERASED, Mentions
from cluster.webhooks.told import encode_told
from tests.integration.journal.builders import a_message, a_request, a_tenant, some_messages
from tests.integration.journal.erasing import ADA, BOB, World, finished


@pytest.fixture
def world(journal: Journal, journal_dsn: str) -> World:
    return World(journal, journal_dsn)


async def test_the_address_goes_from_messages_to_others(world: World) -> None:
    """Bob's message names Ada, and the request that it shares with Carl's does; Dan's message waits."""
    tenant, other = await a_tenant(world.journal), await a_tenant(world.journal, "other")
    to_bob = a_message(
        BOB,
        personalization=PreparedPersonalization(
            to=(Address(BOB),), substitutions={"{{friend}}": ADA}, custom_args={"friend": ADA}
        ),
    )
    to_bob = replace(to_bob, subject=f"From {ADA}", told=encode_told({"friend": ADA}, {}))
    to_carl = replace(some_messages(1)[0], id=first_id("msg_", datetime.now(UTC)))
    naming = Content(
        from_=Address("hello@mail.example.com"),
        parts=(BodyPart("text/plain", f"{ADA} wrote"),),
        original=f"To: Ada <{ADA}>, {BOB}\r\n\r\nx\r\n".encode(),
    )
    shared = replace(a_request(tenant, to_carl), content=encode(naming))
    waits = a_message("dan@example.com")
    waiting_request = replace(a_request(tenant, waits), content=encode(naming))
    elsewhere = a_message(BOB)
    of_other = replace(a_request(other, elsewhere), content=encode(naming))
    await finished(world, tenant, to_bob)
    await world.journal.intake.accept([shared, waiting_request, of_other])
    await world.journal.commands.cancel(other, elsewhere.id)
    await world.journal.commands.cancel(tenant, to_carl.id)
    await world.sql("UPDATE outcomes SET error_message = %s WHERE message_id = %s", f"550 <{ADA}>", to_carl.id)
    job = await world.ask(tenant, ADA)
    for _ in range(3):
        await world.eraser.round()
    assert await world.stage(job) == Stage.MENTIONS
    # What is to be sent goes out as it was accepted.
    [(content,)] = await world.sql("SELECT content FROM requests WHERE id = %s", waiting_request.id)
    assert content == waiting_request.content
    await world.journal.commands.cancel(tenant, waits.id)
    await world.to_end(job)
    for id in (shared.id, waiting_request.id):
        [(content,)] = await world.sql("SELECT content FROM requests WHERE id = %s", id)
        kept = decode_content(content)
        assert (kept.parts[0].value, kept.from_) == (f"{ERASED} wrote", naming.from_)
        assert kept.original == f"To: {ERASED}, {BOB}\r\n\r\nx\r\n".encode()
    row = await world.journal.messages.find(tenant, to_bob.id)
    assert row is not None and row.subject == f"From {ERASED}"
    assert decode_personalization(row.personalization).substitutions == {"{{friend}}": ERASED}
    row = await world.journal.messages.find(tenant, to_carl.id)
    assert row is not None and row.error_message == f"550 <{ERASED}>"
    # Another tenant's stay.
    [(content,)] = await world.sql("DELETE FROM requests WHERE tenant_id = %s RETURNING content", other)
    assert content == of_other.content
    await world.sql("DELETE FROM messages WHERE tenant_id = %s", other)
    await world.sql("DELETE FROM event_log")
    assert await world.tables_with("ada@example") == set()


async def test_a_search_goes_on_where_it_was_killed(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each request is read once, although the bounds divide its messages."""
    monkeypatch.setattr(mention_erasure, "PAGE", 4)
    monkeypatch.setattr(mention_erasure, "MOST_OCTETS", 1)
    tenant = await a_tenant(world.journal)
    messages = some_messages(6)
    await finished(world, tenant, *messages)
    await finished(world, tenant, a_message(BOB))
    await world.ask(tenant, ADA)
    read: list[int] = []
    stop_after = 3

    async def counted(job: EraseJob, part: Any, mentions: Mentions) -> None:
        if len(read) == stop_after:
            raise InterruptedError
        read.append(len(part.requests))
        await search(job, part, mentions)

    part = world.journal.mention_erasure
    search = part._search
    monkeypatch.setattr(part, "_search", counted)
    await world.eraser.round()
    with pytest.raises(InterruptedError):
        await world.eraser.round()
    assert read == [1, 0, 0]
    read.clear()
    stop_after = 9
    await world.eraser.round()
    # A new process does not know which requests were read.
    assert read == [1, 0, 0, 1]
