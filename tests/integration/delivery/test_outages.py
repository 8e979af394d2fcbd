"""Postgres stops and starts under mail in flight: nothing is sent twice or lost, and no actor is retired for it."""

import asyncio
import time
from collections.abc import AsyncIterator

import msgspec
import pytest

from actors.delivery.site import CLAIMED_PER_CONNECTION
from actors.supervisor import Supervisor
from cluster.installation.embedded import EmbeddedPostgres
from cluster.journal.journal import Journal, Unavailable, migrate
from cluster.journal.records import NewMessage
from tests.integration.delivery.test_ledger import NAME, delivered_once
from tests.integration.delivery.world import DELIVERY, MAX_WAIT_S, SMTP, World, a_world
from tests.integration.journal.builders import a_message
from tests.unit.actors.keeping_places import keeping_of
from tests.waiting import until


@pytest.fixture
async def own_postgres(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[EmbeddedPostgres, str]]:
    server = EmbeddedPostgres(tmp_path_factory.mktemp("postgres") / "data")  # short enough for its socket
    dsn = await asyncio.to_thread(server.start)
    await migrate(dsn)
    yield server, dsn
    await asyncio.to_thread(server.stop)


@pytest.mark.parametrize("killed", [False, True], ids=["the actor lives", "the actor is killed meanwhile"])
async def test_postgres_stops_and_starts_under_mail_in_flight(
    own_postgres: tuple[EmbeddedPostgres, str], killed: bool
) -> None:
    server, dsn = own_postgres
    journal = Journal(dsn, application="test", offer_grace_s=0, max_wait_s=0.3)
    await journal.open()
    smtp = msgspec.structs.replace(SMTP, data_termination_timeout_s=MAX_WAIT_S)
    settings = msgspec.structs.replace(DELIVERY, lease_s=1.0)
    async with a_world(journal, settings=settings, smtp=smtp) as world:
        world.zone("example.com", "127.0.0.1")
        messages = [a_message(f"u{i}@example.com") for i in range(30)]
        world.reply = asyncio.get_running_loop().create_future()
        await world.accept(*messages)
        await world.scheduler.paging.round()
        # As many as may be claimed at once, a few of them at the peer, which has not replied yet.
        on_their_way = settings.connections_per_site * CLAIMED_PER_CONNECTION
        await until(
            lambda: sum(site.pool.outstanding for site in world.deliverer.parts.sites) == on_their_way, MAX_WAIT_S
        )
        await world.arrived(settings.connections_per_site)
        await asyncio.to_thread(server.stop)

        world.reply.set_result(None)
        await until(lambda: world.deliverer.parts.committer.uncommitted == on_their_way, MAX_WAIT_S)
        assert len(world.taken) == on_their_way, "nothing more can be claimed"
        if killed:
            await world.kill()
            world.deliverer = world.make_deliverer()
            with pytest.raises(Unavailable):
                await world.deliverer.start()

        await asyncio.to_thread(server.start)
        while killed:
            try:
                await world.restart()
                break
            except Unavailable:
                continue
        await paging(world, messages)
        await delivered_once(world, *messages)
        assert {envelope.rcpt_to for envelope in world.taken} == {(m.recipients[0].email,) for m in messages}
    await journal.close()


async def paging(world: World, messages: list[NewMessage]) -> None:
    """Run the scheduler's pages, as usual, through the rest of the outage."""
    deadline = time.monotonic() + MAX_WAIT_S
    while True:
        try:
            for message in messages:
                await world.finished(message)
            return
        except Unavailable:
            assert time.monotonic() < deadline


async def test_silence_counts_only_when_the_journal_could_be_told(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def call(*_: object) -> None: ...

    supervisor = Supervisor(journal, call, keeping_of([]), call)
    lost = journal.membership.lost
    await journal.membership.register(NAME, "node")

    async def all_are_silent(_: float) -> object:
        return await lost(-1.0)

    async def away(_: float) -> object:
        raise Unavailable("for the test")

    monkeypatch.setattr(journal.membership, "lost", all_are_silent)
    await supervisor.take_back(100.0)
    await supervisor.take_back(109.0)
    monkeypatch.setattr(journal.membership, "lost", away)
    await supervisor.take_back(110.0)
    monkeypatch.setattr(journal.membership, "lost", all_are_silent)
    await supervisor.take_back(111.0)
    await supervisor.take_back(120.0)
    assert len(await journal.membership.actors(60)) == 1
    await supervisor.take_back(122.0)
    assert await journal.membership.actors(60) == []
