"""Large messages: those beyond the limit fail, those within it arrive, and small ones wait for neither."""

import asyncio

import pytest

from actors.delivery.contents import LARGE_BYTES
from cluster.journal.journal import Journal
from cluster.journal.records import Address, BodyPart, Content, PreparedPersonalization, encode
from cluster.policy.lifecycle import Status
from tests.integration.delivery.world import a_world
from tests.integration.journal.builders import a_message


def asking(email: str, **values: str) -> PreparedPersonalization:
    return PreparedPersonalization(to=(Address(email),), substitutions=values)


def saying(text: str) -> bytes:
    return encode(Content(from_=Address("hello@mail.example.com"), parts=(BodyPart("text/plain", text),)))


async def test_a_message_that_would_be_too_large_fails_and_others_live(journal: Journal) -> None:
    """A request that an older version stored: 40 KB that expand to 300 MB."""
    async with a_world(journal) as world:
        world.zone("example.com", "127.0.0.1")
        evil = a_message("ada@example.com", personalization=asking("ada@example.com", a="b" * 9_990))
        good = a_message("bob@example.com", personalization=asking("bob@example.com", a="b"))
        await world.accept(evil, good, content=saying("a" * 30_000))
        assert (await world.finished(good)).status is Status.DELIVERED
        row = await world.finished(evil)
        assert row.status is Status.FAILED
        assert row.error_message is not None
        assert row.error_message.startswith("cannot be composed: a text has 299700000 bytes, more than")
        assert not world.crashes


async def test_large_messages_arrive_and_small_ones_do_not_wait_for_them(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with a_world(journal) as world:
        world.zone("example.com", "127.0.0.1")
        composed: list[int] = []
        may_compose = asyncio.Event()
        compose = world.deliverer.deps.composer.compose_large

        async def when_told(order):  # type: ignore[no-untyped-def]
            await may_compose.wait()
            made = await compose(order)
            composed.append(len(made))
            return made

        monkeypatch.setattr(world.deliverer.deps.composer, "compose_large", when_told)
        large = [
            a_message(f"u{number}@example.com", personalization=asking(f"u{number}@example.com", key="é" * 4_900))
            for number in range(3)
        ]
        await world.accept(*large, content=saying("line of text: key\n" * 200))
        small = a_message("bob@example.com")
        await world.accept(small)
        assert (await world.finished(small)).status is Status.DELIVERED
        assert not composed
        may_compose.set()
        for message in large:
            assert (await world.finished(message)).status is Status.DELIVERED
        sizes = sorted(len(envelope.content) for envelope in world.taken)
        assert len(sizes) == 4
        assert sizes[0] < LARGE_BYTES < sizes[1]
        assert not len(world.deliverer.parts.held.large)


async def test_keys_that_take_long_to_find_are_looked_for_in_a_thread(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with a_world(journal) as world:
        world.zone("example.com", "127.0.0.1")
        in_threads = world.composed_in_threads(monkeypatch)
        keys = {"a": "x", "a" * 70 + "b": "y"}
        slow = a_message("ada@example.com", personalization=asking("ada@example.com", **keys))
        usual = a_message("bob@example.com", personalization=asking("bob@example.com", **{"-name-": "Bob"}))
        await world.accept(slow, usual, content=saying("a" * 40_000))
        for message in (slow, usual):
            assert (await world.finished(message)).status is Status.DELIVERED
        assert in_threads == [slow.id]
