"""Why is a site slow? The console alone says it: real deliveries that something holds back, each time something else,
and what the pages say of it."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
from dnslib import RCODE
from markupsafe import escape
from msgspec.structs import replace

from actors.sampling.sampler import Sampler
from analytics.samples import Sample, SiteSample
from cluster.journal.journal import Journal
from cluster.peers import PeerGone
from cluster.policy.limits.advice import ADVICE
from cluster.policy.limits.binding import Bound
from cluster.routing.describe import Describing
from cluster.routing.views import SiteOfDomain, SourceState
from cluster.settings import DeliverySettings
from tests.integration.console.conftest import Console
from tests.integration.delivery.receiver import receiving
from tests.integration.delivery.test_sources import sources
from tests.integration.delivery.world import DELIVERY, World, a_world
from tests.integration.journal.builders import a_message
from tests.integration.operating.conftest import Postray
from tests.integration.operating.facts import ACTOR

HOST = "127.0.0.11"
SITE = "mx0.example.com"
LATER = replace(DELIVERY, retry_schedule_s=(60.0,), connection_idle_s=5.0)
SLOW_S = 0.2


class Watched(Postray):
    """A postray whose delivery actor is that of a world."""

    def __init__(self, world: World, dsn: str, data_dir: Path) -> None:
        self.world = world
        deps = world.deliverer.deps
        self.describing = Describing(
            world.journal,
            deps.active_policy,
            deps.router,
            world.resolver,
            ring=lambda: world.dispatcher.ring,
            tls_of=self._no_tls,
        )
        super().__init__(world.journal, dsn, data_dir, data_dir / "postray.toml")

    async def _no_tls(self, domain: str, level: Any) -> Any:
        raise AssertionError("no route is described here")

    async def _call(self, name: str, method: str, *arguments: Any) -> Any:
        if name == ACTOR:
            return await self.world.call(name, method, *arguments)
        return await super()._call(name, method, *arguments)

    async def _site_of(self, domain: str) -> str:
        return await self.describing.site_of(domain)

    async def _find_site(self, domain: str) -> SiteOfDomain:
        return await self.describing.find_site(domain)

    async def _sources(self) -> list[SourceState]:
        return await self.describing.sources()


class Looking:
    """An operator who looks at the console while a world sends."""

    def __init__(self, world: World, console: Console) -> None:
        self.world = world
        self.console = console
        self.samples: list[SiteSample] = []
        self.rounds = 0
        self.sampler = Sampler(world.journal, self._call, self._store, every_s=1)

    async def _call(self, actor: str, method: str, *arguments: Any) -> Any:
        if actor == "supervisor":
            raise PeerGone(actor, "there is none here")
        return await self.world.call(actor, method, *arguments)

    async def _store(self, sites: Sequence[SiteSample], whole: Sample) -> None:
        self.samples += sites
        self.rounds += 1

    async def finds(self, bound: Bound, *words: str, site: str = SITE) -> None:
        """Wait until the site's page names the cause, in these words too; the first page must name it at the top, and
        the flight recorder must have it."""
        said = [escape(some) for some in (*words, "What to do", ADVICE[bound])]

        async def is_told() -> bool:
            page = await self._read(f"/site?name={site}")
            return all(some in page for some in said)

        await self.world.eventually(is_told)

        async def is_first() -> bool:
            now = await self._read("/")
            troubles = now[now.index("What to look at") : now.index("Sites with mail")] if "What to look" in now else ""
            return site in troubles and said[0] in troubles

        await self.world.eventually(is_first)
        await self.world.eventually(lambda: bound in {one.binds for one in self.samples if one.site == site})

    async def _read(self, path: str) -> str:
        answer = await self.console.http.get(path)
        return answer.text if answer.status_code == 200 else ""


@asynccontextmanager
async def looking(
    journal: Journal, dsn: str, folder: Path, settings: DeliverySettings = LATER, **how: Any
) -> AsyncIterator[Looking]:
    """``how``: what the site's host is like, as ``Receiver`` takes it."""
    data_dir = folder / "data"
    data_dir.mkdir()
    async with a_world(journal, settings=settings) as world, receiving(world.port, HOST, **how):
        world.zone("example.com", HOST)
        postray = Watched(world, dsn, data_dir)
        await postray.server.start()
        try:
            async with httpx.AsyncClient(base_url=postray.server.console_url) as http:
                console = Console(postray, http)
                assert (await console.login()).status_code == 303
                look = Looking(world, console)
                await look.sampler.start()
                await world.eventually(lambda: look.rounds > 0)  # what comes before its first round does not count
                yield look
                await look.sampler.stop()
        finally:
            await postray.server.stop()


def some(count: int) -> list[Any]:
    return [a_message(f"user{number}@example.com") for number in range(count)]


async def test_a_rate(journal: Journal, journal_dsn: str, tmp_path: Path) -> None:
    async with looking(journal, journal_dsn, tmp_path, replace(LATER, messages_per_s_per_site=1.0)) as look:
        await look.world.accept(*some(30))
        await look.finds(Bound.MESSAGE_RATE, "the message rate", "1 messages a second", "binds now")


async def test_connections(journal: Journal, journal_dsn: str, tmp_path: Path) -> None:
    settings = replace(LATER, connections_per_site=2)
    async with looking(journal, journal_dsn, tmp_path, settings, delay_s=SLOW_S) as look:
        await look.world.accept(*some(100))
        await look.finds(Bound.CONNECTIONS, "its connections are all in use", "2 of 2", "binds now")


async def test_warm_up(journal: Journal, journal_dsn: str, tmp_path: Path) -> None:
    async with looking(journal, journal_dsn, tmp_path) as look:
        await look.world.put_in_force(routing=sources("3", weights=(1,)))
        await look.world.accept(*some(20), pool="marketing")
        await look.finds(Bound.WARM_UP, "the warm-up of source s0: no more today", "From s0")
        assert len(look.world.taken) <= 3


async def test_a_suspension(journal: Journal, journal_dsn: str, tmp_path: Path) -> None:
    async with looking(journal, journal_dsn, tmp_path, replace(LATER, messages_per_s_per_site=1.0)) as look:
        await look.world.accept(*some(30))
        await look.finds(Bound.MESSAGE_RATE, "the message rate")
        await look.console.send(f"/site?name={SITE}", "/site/suspend", name=SITE, hours="4", reason="They asked")
        await look.finds(Bound.SUSPENSION, "suspended", "They asked", "all tenants until")


async def test_tls(journal: Journal, journal_dsn: str, tmp_path: Path) -> None:
    async with looking(journal, journal_dsn, tmp_path) as look:
        await look.world.put_in_force('[[rule]]\nname = "secret"\ndomain = "example.com"\ntls = "required"\n')
        await look.world.accept(*some(5))
        await look.finds(Bound.TLS, "no connection with the TLS that its mail requires", "Put off: 5")


async def test_the_dns(journal: Journal, journal_dsn: str, tmp_path: Path) -> None:
    async with looking(journal, journal_dsn, tmp_path) as look:
        look.world.dns.rcodes["example.com"] = RCODE.SERVFAIL
        await look.world.accept(*some(5))
        await look.finds(Bound.DNS, "the DNS does not tell which hosts take its mail", site="example.com")


async def test_deferrals(journal: Journal, journal_dsn: str, tmp_path: Path) -> None:
    async with looking(
        journal,
        journal_dsn,
        tmp_path,
        answer=lambda line: b"451 4.3.0 no room <b>now</b>\r\n" if "RCPT" in line else None,
    ) as look:
        await look.world.accept(*some(5))
        await look.finds(
            Bound.DEFERRALS,
            "its hosts put off most of what is tried",
            "Put off: 5",
            "451 4.3.0 no room <b>now</b>",
        )


async def test_another_tenants_turn(journal: Journal, journal_dsn: str, tmp_path: Path) -> None:
    settings = replace(LATER, connections_per_site=1)
    async with looking(journal, journal_dsn, tmp_path, settings, delay_s=SLOW_S) as look:
        other = await look.world.a_tenant("other")
        await look.world.accept(*some(100))
        await look.world.accept_for(other, *some(30))
        await look.finds(Bound.CONNECTIONS, "2 tenants", "acme", "other", "take turns", "its connections are all")


async def test_a_site_that_goes_well_again_is_in_no_trouble(journal: Journal, journal_dsn: str, tmp_path: Path) -> None:
    refused = [True]

    def answer(line: str) -> bytes | None:
        return b"451 4.3.0 not now\r\n" if refused[0] and "RCPT" in line else None

    settings = replace(LATER, retry_schedule_s=(1.0,))
    async with looking(journal, journal_dsn, tmp_path, settings, answer=answer) as look:
        await look.world.accept(*some(5))
        await look.finds(Bound.DEFERRALS, "its hosts put off most of what is tried")
        refused[0] = False

        async def is_well() -> bool:
            return "No trouble" in (await look.console.http.get("/")).text

        await look.world.eventually(is_well)
