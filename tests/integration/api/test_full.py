"""A system that is full accepts nothing, loses nothing, and goes on by itself when there is room again."""

import asyncio
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import psycopg
import pytest

from cluster.installation.embedded import EmbeddedPostgres
from cluster.intake.backpressure import Watch
from cluster.journal.journal import Journal, Unavailable, migrate
from cluster.policy.backpressure import LoadBounds
from tests.integration.api.conftest import Site
from tests.integration.journal.builders import a_message, a_request, a_tenant
from tests.unit.api.bodies import mail

# What Postgres reports of a disk that is full (53100), at an insert and at the commit.
FULL = """
CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = 'disk_full'; END $$;
"""
AT_INSERT = "CREATE TRIGGER full_disk BEFORE INSERT ON deliveries EXECUTE FUNCTION full_disk()"
AT_COMMIT = """CREATE CONSTRAINT TRIGGER full_disk AFTER INSERT ON messages DEFERRABLE INITIALLY DEFERRED
FOR EACH ROW EXECUTE FUNCTION full_disk()"""


@pytest.mark.parametrize(("trigger", "table"), [(AT_INSERT, "deliveries"), (AT_COMMIT, "messages")])
async def test_a_disk_that_is_full_at_the_commit(site: Site, journal_dsn: str, trigger: str, table: str) -> None:
    async with (
        await psycopg.AsyncConnection.connect(journal_dsn, autocommit=True) as postgres,
        httpx.AsyncClient(base_url=site.url, headers=site.headers) as client,
    ):
        kept = (await client.post("/v3/mail/send", json=mail())).json()["message_id"]
        await postgres.execute(FULL.encode() + trigger.encode())
        answers = await asyncio.gather(*(client.post("/v3/mail/send", json=mail()) for _ in range(5)))
        assert [answer.status_code for answer in answers] == [503] * 5
        assert int(answers[0].headers["retry-after"]) > 0
        assert [message["id"] for message in (await client.get("/v3/messages")).json()["messages"]] == [kept]
        assert [len(request.messages) for request in site.offered] == [1]
        await postgres.execute(f"DROP TRIGGER full_disk ON {table}".encode())
        assert (await client.post("/v3/mail/send", json=mail())).status_code == 202
        assert (await client.get("/v3/messages")).json()["total"] == 2


async def test_a_queue_that_is_full(journal: Journal) -> None:
    tenant = await a_tenant(journal)
    batch = await journal.batches.create(tenant)
    await journal.intake.accept([a_request(tenant, *(a_message() for _ in range(20)), batch_id=batch)])
    bounds = LoadBounds(backlog=20, free_disk_mb=0)

    def a_watch() -> Watch:
        return Watch(bounds, backlog=journal.queue.backlog, count_backlog=journal.queue.count_backlog, journal_dir=None)

    watch = a_watch()
    await watch.look()
    assert watch.why_full() == "The queue is full: 20 deliveries wait, of 20 at most"
    await journal.batches.cancel(tenant, batch)
    watch = a_watch()
    await watch.look()
    assert watch.why_full() is None


async def test_a_full_server_refuses_and_still_answers(site: Site) -> None:
    full = ["The disk is full"]
    server = site.another(lambda: full[0] if full else None)
    url = await server.start()
    async with httpx.AsyncClient(base_url=url, headers=site.headers) as client:
        refused = await client.post("/v3/mail/send", json=mail())
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "30")
        assert (await client.get("/v3/messages")).json()["total"] == 0
        full.clear()
        assert (await client.post("/v3/mail/send", json=mail())).status_code == 202
    await server.stop()


# A real disk: Postgres on its own file system, which fills up.


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A directory on its own file system of 200 MB; the test is skipped where mounting is not allowed."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("needs the right to mount")
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=200m,mode=755", "tmpfs", disk], capture_output=True)
    if mounted.returncode:
        pytest.skip(f"needs the right to mount: {mounted.stderr.decode()}")
    yield disk
    subprocess.run(["umount", disk], check=True)


async def test_a_real_disk_that_fills_up(small_disk: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    server = EmbeddedPostgres(small_disk / "postgres", tmp_path_factory.mktemp("links"))
    dsn = await asyncio.to_thread(server.start)
    try:
        await migrate(dsn)
        journal = Journal(dsn, application="test", max_wait_s=10)
        await journal.open()
        tenant = await a_tenant(journal)
        promised = [message := a_message()]
        await journal.intake.accept([a_request(tenant, message)])
        filler = small_disk / "filler"
        with filler.open("wb") as file:
            file.write(b"\0" * (shutil.disk_usage(small_disk).free - 1_000_000))
        deadline = time.monotonic() + 30
        refused = 0
        while refused < 3:
            messages = [a_message() for _ in range(1000)]
            try:
                await journal.intake.accept([a_request(tenant, *messages)])
                promised += messages
            except Unavailable:
                refused += 1
            assert time.monotonic() < deadline
        filler.unlink()
        while True:
            try:
                await journal.intake.accept([a_request(tenant, message := a_message())])
                break
            except Unavailable:
                assert time.monotonic() < deadline
        promised.append(message)
        # Every accepted message is there, and no refused one.
        async with await psycopg.AsyncConnection.connect(dsn) as connection:
            for table, column in (("messages", "id"), ("deliveries", "message_id")):
                cursor = await connection.execute(f"SELECT {column} FROM {table}".encode())
                assert {id for (id,) in await cursor.fetchall()} == {message.id for message in promised}
        await journal.close()
    finally:
        await asyncio.to_thread(server.stop)
