"""Messages of stored templates, from the journal to their host."""

import asyncio
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from actors.delivery import composing
from cluster.ids import new_ids
from cluster.journal.journal import Journal
from cluster.journal.records import Address, BodyPart, Content, NewMessage, PreparedPersonalization, encode
from cluster.journal.templates import VersionFields, VersionRecord
from cluster.policy.lifecycle import Status
from cluster.templates.texts import TemplateTexts, TemplateUse
from tests.integration.delivery.world import World, a_world
from tests.integration.journal.builders import a_message

LETTER = TemplateTexts(
    subject="Order {{number}}",
    plain="Hello {{name}},\n{{#each items}}* {{this}}\n{{/each}}",
    html="<p>Hello {{name}},</p>{{#if items}}<ul>{{#each items}}<li>{{this}}</li>{{/each}}</ul>{{/if}}",
)


def fields(texts: TemplateTexts) -> VersionFields:
    return VersionFields(name="v", editor="code", generate_plain_content=False, test_data="", texts=texts)


async def a_version(world: World, texts: TemplateTexts) -> tuple[VersionRecord, TemplateUse]:
    """A version that is active, and how a request names it."""
    templates = world.journal.templates
    template = await templates.create(world.tenant_id, "letter", texts.generation)
    version = await templates.add_version(world.tenant_id, template.id, fields(texts))
    active = await templates.active(world.tenant_id, template.id)
    assert version is not None and active is not None and active.use is not None
    return version, active.use


def naming(use: TemplateUse | None, **others: Any) -> bytes:
    return encode(Content(from_=Address("hello@mail.example.com"), template=use, **others))


def given(email: str, data: Any, **others: Any) -> NewMessage:
    own = PreparedPersonalization(to=(Address(email),), template_data=msgspec.json.encode(data), **others)
    return a_message(email, personalization=own)


def arrived(world: World) -> dict[str, list[bytes]]:
    """What arrived, by recipient."""
    found: dict[str, list[bytes]] = {}
    for envelope in world.taken:
        found.setdefault(envelope.rcpt_to[0], []).append(envelope.content)
    return found


async def test_a_thousand_messages_have_their_own_data_whatever_becomes_of_the_version(journal: Journal) -> None:
    """The version is edited, and deleted, while they are on their way; and the delivery actor is killed."""
    async with a_world(journal) as world:
        world.zone("example.com", "127.0.0.1")
        version, use = await a_version(world, LETTER)
        ids = new_ids("msg_", 1000)
        messages = [
            replace(given(f"u{i}@example.com", {"name": f"N{i}", "number": i, "items": [i, i + 1]}), id=ids[i])
            for i in range(1000)
        ]
        await world.accept(*messages, content=naming(use))
        templates = journal.templates
        edited = await templates.change_version(
            world.tenant_id, version, fields(replace(LETTER, plain="edited", html="<p>edited</p>", subject="edited"))
        )
        assert edited is not None
        await world.eventually(lambda: len(world.taken) >= 200)
        await world.kill()
        assert await templates.delete(world.tenant_id, version.template_id)
        await world.restart()
        await world.eventually(lambda: len(arrived(world)) == 1000)
        for recipient, contents in arrived(world).items():
            number = int(recipient[1:].partition("@")[0])
            for content in contents:
                assert b"Subject: Order %d\r\n" % number in content
                assert b"Hello N%d,\r\n* %d\r\n* %d\r\n" % (number, number, number + 1) in content
                assert b"<p>Hello N%d,</p><ul><li>%d</li><li>%d</li></ul>" % (number, number, number + 1) in content
                assert b"edited" not in content
        assert (await world.finished(messages[-1])).status is Status.DELIVERED


HEAVY = TemplateTexts(html="{{#each a}}{{#each ../a}}{{this}}{{/each}}{{/each}}")
LONG = TemplateTexts(html=f"<p>{{{{name}}}}</p>{'<p>What all share.</p>' * 4000}")


async def test_a_template_that_exceeds_its_bounds_fails_its_message_and_no_other(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with a_world(journal) as world:
        world.zone("example.com", "127.0.0.1")
        in_threads = world.composed_in_threads(monkeypatch)
        _, use = await a_version(world, HEAVY)
        endless = given("ada@example.com", {"a": [1] * 1000})
        long = given("bob@example.com", {"a": ["x" * 1000] * 40})
        heavy = given("cyd@example.com", {"a": [1] * 100})
        light = given("dan@example.com", {"a": [1, 2]})
        await world.accept(endless, long, heavy, light, content=naming(use))
        assert (await world.finished(light)).status is Status.DELIVERED
        assert (await world.finished(heavy)).status is Status.DELIVERED
        for message, reason in ((endless, "100,000 steps"), (long, "1,048,576 characters")):
            row = await world.finished(message)
            assert row.status is Status.FAILED
            assert row.error_message is not None
            assert row.error_message.startswith("cannot be composed: the template")
            assert reason in row.error_message
        assert set(in_threads) == {endless.id, long.id, heavy.id}
        assert b"1212" in arrived(world)["dan@example.com"][0]
        assert arrived(world)["cyd@example.com"][0].count(b"1") > 10_000
        assert not world.crashes


async def test_what_the_messages_of_a_version_share_takes_them_to_no_thread(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with a_world(journal) as world:
        world.zone("example.com", "127.0.0.1")

        async def unexpected(order: composing.ComposeOrder) -> composing.Made:
            raise AssertionError("composed in a thread")

        monkeypatch.setattr(world.deliverer.deps.composer, "compose_large", unexpected)
        _, use = await a_version(world, LONG)
        message = given("ada@example.com", {"name": "Ada"})
        await world.accept(message, content=naming(use))
        assert (await world.finished(message)).status is Status.DELIVERED
        assert not world.crashes


async def test_templates_that_take_long_make_room_for_other_tasks(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each is filled within the event loop's own bounds, and other tasks run between them."""
    async with a_world(journal) as world:
        world.zone("example.com", "127.0.0.1")
        _, use = await a_version(world, HEAVY)
        turns = 0
        gather = world.deliverer.deps.composer.gather
        passed: list[int] = []

        async def watched(groups: Any) -> Any:
            nonlocal turns
            turns = 0
            orders = await gather(groups)
            passed.append(turns)
            return orders

        async def others() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        monkeypatch.setattr(world.deliverer.deps.composer, "gather", watched)
        monkeypatch.setattr(composing, "LOOP_S", -1.0)
        messages = [given(f"u{i}@example.com", {"a": [1, 2]}) for i in range(20)]
        world.tasks.spawn("others", others())
        await world.accept(*messages, content=naming(use))
        for message in messages:
            assert (await world.finished(message)).status is Status.DELIVERED
        assert sum(passed) >= 20


async def test_a_version_that_is_gone_or_cannot_be_compiled_fails_its_messages(journal: Journal) -> None:
    async with a_world(journal) as world:
        world.zone("example.com", "127.0.0.1")
        missing = given("ada@example.com", {})
        await world.accept(missing, content=naming(TemplateUse("v_gone", b"x" * 32)))
        row = await world.finished(missing)
        assert (row.status, row.error_message) == (
            Status.FAILED,
            "cannot be composed: the version v_gone of its template is missing",
        )
        _, use = await a_version(world, TemplateTexts(html="{{#unheard x}}{{/unheard}}"))
        faulty = given("bob@example.com", {})
        await world.accept(faulty, content=naming(use))
        row = await world.finished(faulty)
        assert row.status is Status.FAILED
        assert row.error_message is not None
        assert row.error_message.startswith(f"cannot be composed: the version {use.version_id} of its template cannot")
        other = await world.a_tenant("other")
        theirs = a_message("cyd@example.com")
        await world.accept_for(
            other, theirs, content=encode(Content(from_=Address("hello@other.example"), template=use))
        )
        await world.eventually(lambda: is_failed(journal, other, theirs, "is missing"))
        good = a_message("dan@example.com")
        await world.accept(good)
        assert (await world.finished(good)).status is Status.DELIVERED


async def is_failed(journal: Journal, tenant_id: str, message: NewMessage, reason: str) -> bool:
    row = await journal.messages.find(tenant_id, message.id)
    return row is not None and row.status is Status.FAILED and reason in (row.error_message or "")


async def test_legacy_templates_have_substitutions(journal: Journal) -> None:
    async with a_world(journal) as world:
        world.zone("example.com", "127.0.0.1")
        legacy = TemplateTexts(generation="legacy", subject="Hi -name-", plain="-name- {{name}}")
        _, use = await a_version(world, legacy)
        own = PreparedPersonalization(to=(Address("ada@example.com"),), substitutions={"-name-": "Ada"})
        message = a_message("ada@example.com", personalization=own)
        await world.accept(message, content=naming(use, subject="content"))
        assert (await world.finished(message)).status is Status.DELIVERED
        [content] = arrived(world)["ada@example.com"]
        assert b"Subject: Hi Ada\r\n" in content
        assert content.endswith(b"\r\n\r\nAda {{name}}\r\n")


async def test_a_version_is_read_and_compiled_once(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    async with a_world(journal) as world:
        world.zone("example.com", "127.0.0.1")
        asked: list[bytes] = []
        texts = journal.templates.texts

        async def noted(tenant_id: str, sha256: bytes) -> TemplateTexts | None:
            asked.append(sha256)
            return await texts(tenant_id, sha256)

        monkeypatch.setattr(journal.templates, "texts", noted)
        _, use = await a_version(world, LETTER)
        for number in range(4):  # requests with one message
            message = given("ada@example.com", {"name": f"N{number}"})
            await world.accept(message, content=naming(use))
            assert (await world.finished(message)).status is Status.DELIVERED
        assert asked == [use.texts]


@pytest.mark.parametrize("has_template", [True, False])
async def test_a_second_attempt_of_a_single_message_needs_no_journal(
    journal: Journal, monkeypatch: pytest.MonkeyPatch, has_template: bool
) -> None:
    """Its content is still at hand, encoded."""
    async with a_world(journal) as world:
        world.zone("example.com", "127.0.0.1")
        _, use = await a_version(world, LETTER)
        parts = () if has_template else (BodyPart("text/plain", "Hello Ada,"),)
        asked: list[Any] = []
        contents = journal.messages.contents

        async def noted(request_ids: Any) -> Any:
            asked.extend(request_ids)
            return await contents(request_ids)

        monkeypatch.setattr(journal.messages, "contents", noted)
        own = PreparedPersonalization(
            to=(Address("ada@example.com"), Address("ada@example.net")), template_data=b'{"name":"Ada"}'
        )
        world.zone("example.net", "127.0.0.1")
        message = a_message("ada@example.com", "ada@example.net", personalization=own)
        await world.accept(message, content=naming(use if has_template else None, parts=parts))
        assert (await world.finished(message)).status is Status.DELIVERED
        for content in (one for some in arrived(world).values() for one in some):
            assert b"Hello Ada," in content
        assert len(asked) <= 1
