"""A journal whose recipients are erased, with a recorder and delivery actors that answer as told."""

from typing import Any

from actors.erasing import RecipientEraser
from cluster.journal.journal import Journal
from cluster.journal.recipient_erasure import EraseJob
from cluster.peers import PeerGone
from tests.integration.journal.builders import a_request
from tests.integration.journal.stored import StoredJournal

ADA = "Ada@example.com"
BOB = "bob@example.com"


class World(StoredJournal):
    """``events``: whether ClickHouse has events of a job's recipients."""

    def __init__(self, journal: Journal, dsn: str) -> None:
        super().__init__(journal, dsn)
        self.events = True
        self.asked: list[EraseJob] = []
        self.gone = 0
        """How many calls of delivery actors are lost."""
        self.forgotten: list[str] = []
        """The delivery actors that were asked to forget what is committed."""
        self.eraser = RecipientEraser(journal, self._call, pause_s=0, sending_wait_s=0, read_wait_s=0)

    async def _call(self, actor: str, method: str, job: EraseJob | None = None) -> bool:
        if job is None:
            assert method == "forget_committed"
            if self.gone:
                self.gone -= 1
                raise PeerGone(actor, "restarts")
            self.forgotten.append(actor)
            return True
        assert (actor, method) == ("recorder", "erase_recipients")
        self.asked.append(job)
        had, self.events = self.events, False
        return not had

    async def ask(self, tenant_id: str, *emails: str) -> str:
        return await self.journal.recipient_erasure.add(tenant_id, emails, after_s=0)

    async def stage(self, id: str) -> str:
        [(stage,)] = await self.sql("SELECT stage FROM erase_jobs WHERE id = %s", id)
        return str(stage)

    async def to_end(self, id: str) -> None:
        for _ in range(12):
            await self.read_log()
            assert await self.eraser.round()
            if await self.stage(id) == "done":
                return
        raise AssertionError(await self.stage(id))


async def finished(world: World, tenant_id: str, *messages: Any) -> None:
    await world.journal.intake.accept([a_request(tenant_id, *messages)])
    for message in messages:
        await world.journal.commands.cancel(tenant_id, message.id)


async def ids(world: World) -> set[str]:
    return {id for (id,) in await world.sql("SELECT id FROM messages")}
