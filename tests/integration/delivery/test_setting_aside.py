"""A message that ends delivery actors is set aside after two lives; those beside it are delivered."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from actors.compose.mime import MimeSkeleton, compile_content
from actors.compose.skeleton import Composed, Skeleton
from actors.delivery import contents, reporting
from actors.delivery.deliverer import Deliverer
from actors.delivery.job import Job, Report
from actors.delivery.marker import NAME, read
from actors.delivery.outcomes import DeliveryVerdict, verdicts_of
from actors.smtp import client as smtp
from actors.smtp.commands import check_lines
from cluster.events import Dropped
from cluster.journal.journal import Journal, Unavailable
from cluster.journal.records import Address, Content, NewMessage, PreparedPersonalization, encode
from cluster.policy.lifecycle import Status
from cluster.policy.limits.strikes import CONTENT, OWN
from tests.integration.delivery.world import World, a_world
from tests.integration.journal.builders import a_message, some_messages

POISON = "poison@example.com"


class Killed(BaseException):
    """Stands for SIGKILL in the middle of the work: no later step of this life runs."""


@contextmanager
def killing() -> Iterator[None]:
    """Composing mail to ``POISON`` ends the life of the actor that does it."""
    compose = MimeSkeleton.compose

    def ends(skeleton: MimeSkeleton, personalization: PreparedPersonalization, **known: Any) -> Composed:
        if personalization.to[0].email == POISON:
            raise Killed
        return compose(skeleton, personalization, **known)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MimeSkeleton, "compose", ends)
        yield


async def ended(world: World, deliverer: Deliverer, by: type[BaseException] = Killed) -> None:
    """Return when a life of this actor has ended; its files are as a SIGKILL leaves them."""
    await world.eventually(lambda: bool(world.crashes))
    assert [type(crash) for crash in world.crashes] == [by]
    world.crashes.clear()
    await deliverer.deps.tasks.stop()
    deliverer.deps.ledger.close()


async def restart(world: World) -> None:
    """Start the next life; leases are in its name from now on."""
    await world.restart()
    await world.dispatcher.refresh()


def named(deliverer: Deliverer) -> list[str]:
    path: Path = deliverer.deps.marker.path
    assert path.name == NAME
    return [struck.message_id for struck in read(path).struck]


async def set_aside(world: World, message: NewMessage, reason: str) -> None:
    row = await world.finished(message)
    assert (row.status, row.error_message) == (Status.FAILED, reason)
    (event,) = await world.events_of(message, 1)
    assert isinstance(event, Dropped)
    assert event.reason == reason


async def test_two_lives_and_no_more(journal: Journal, caplog: pytest.LogCaptureFixture) -> None:
    async with a_world(journal) as world:
        world.zone("example.com", "127.0.0.1")
        innocents = [a_message(f"u{i}@example.com") for i in range(30)]
        poison = a_message(POISON)
        with killing():
            await world.accept(*innocents[:15], poison, *innocents[15:])
            for _ in range(2):
                await ended(world, world.deliverer)
                assert named(world.deliverer) == [poison.id]
                await restart(world)
            await set_aside(world, poison, OWN)
            for message in innocents:
                assert (await world.finished(message)).status is Status.DELIVERED
        assert not world.crashes
        assert {address for envelope in world.taken for address in envelope.rcpt_to} == {
            f"u{i}@example.com" for i in range(30)
        }
        assert f"set aside scope=message message={poison.id} deliveries=1" in caplog.text


async def test_two_actors_with_one_life_each(journal: Journal) -> None:
    async with a_world(journal) as world:
        world.zone("example.com", "127.0.0.1")
        await world.join("delivery-0-1")
        poison = a_message(POISON)
        with killing():
            await world.accept(poison)
            await world.eventually(lambda: bool(world.crashes))
            (first,) = [one for one in world.deliverers if named(one)]
            (second,) = [one for one in world.deliverers if one is not first]
            await ended(world, first)
            # It is not started again for a while, so the other one takes its work over.
            await journal.membership.retire(first.parts.ownership.name, first.parts.ownership.epoch)
            await second.parts.heartbeat.beat()
            await world.dispatcher.refresh()
            world.others = {first.parts.ownership.name: second, second.parts.ownership.name: second}
            await ended(world, second)
            assert named(first) == named(second) == [poison.id]
            world.others = {}
            await world.restart()
            if world.deliverer.parts.ownership.name == first.parts.ownership.name:
                other = world.make_other(second.parts.ownership.name)
            else:
                other = world.make_other(first.parts.ownership.name)
            world.others = {other.parts.ownership.name: other}
            await other.start()
            await set_aside(world, poison, OWN)


async def test_the_strike_waits_for_the_journal(journal: Journal) -> None:
    async with a_world(journal) as world:
        world.zone("example.com", "127.0.0.1")
        poison = a_message(POISON)

        async def away(*_: object, **__: object) -> None:
            raise Unavailable("for the test")

        with killing():
            await world.accept(poison)
            for _ in range(2):
                await ended(world, world.deliverer)
                with pytest.MonkeyPatch.context() as patch:
                    patch.setattr(journal.strikes, "record", away)
                    with pytest.raises(Unavailable):
                        await world.restart()
                with pytest.MonkeyPatch.context() as patch:
                    patch.setattr(journal.membership, "register", away)
                    with pytest.raises(Unavailable):  # struck by now, and it is struck no more for it
                        await world.restart()
                assert named(world.deliverer) == [poison.id]
                await restart(world)
            await set_aside(world, poison, OWN)


async def test_content_that_ends_lives_ends_its_request(journal: Journal) -> None:
    async with a_world(journal) as world:
        world.zone("example.com", "127.0.0.1")
        poison = some_messages(3)
        innocent = a_message("innocent@example.com")

        def ends(content: Content, *more: Any) -> Skeleton:
            if content.categories == ("poison",):
                raise Killed
            return compile_content(content, *more)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(contents, "compile_content", ends)
            content = Content(from_=Address("hello@mail.example.com"), categories=("poison",))
            await world.accept(*poison, content=encode(content))
            await world.accept(innocent)
            for _ in range(2):
                await ended(world, world.deliverer)
                await restart(world)
            for message in poison:
                await set_aside(world, message, CONTENT)
            assert (await world.finished(innocent)).status is Status.DELIVERED


@pytest.mark.parametrize("place", ["sending", "reporting"])
async def test_an_error_in_the_transaction_that_nothing_foresees(journal: Journal, place: str) -> None:
    async with a_world(journal) as world:
        world.zone("example.com", "127.0.0.1")
        poison, innocent = a_message(POISON), a_message("innocent@example.com")

        def fails_to_send(data: bytes) -> None:
            if POISON.encode() in data:
                raise LookupError("a defect")
            check_lines(data)

        def fails_to_report(job: Job, report: Report) -> list[DeliveryVerdict]:
            if POISON in job.envelope.recipients:
                raise LookupError("a defect")
            return verdicts_of(job, report)

        with pytest.MonkeyPatch.context() as patch:
            if place == "sending":
                patch.setattr(smtp, "check_lines", fails_to_send)
            else:
                patch.setattr(reporting, "verdicts_of", fails_to_report)
            await world.accept(poison, innocent)
            for _ in range(2):
                await ended(world, world.deliverer, LookupError)
                assert named(world.deliverer) == [poison.id]
                await restart(world)
            await set_aside(world, poison, OWN)
            assert (await world.finished(innocent)).status is Status.DELIVERED


async def test_an_orderly_stop_strikes_nothing(journal: Journal) -> None:
    async with a_world(journal) as world:
        world.zone("example.com", "127.0.0.1")
        message = a_message("u@example.com")
        await world.accept(message)
        await world.finished(message)
        assert named(world.deliverer) == []
        await world.deliverer.stop()
        assert named(world.deliverer) == []
        await world.restart()
