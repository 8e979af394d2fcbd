"""The console scenario: how long each page of the console takes to open, with a million deliveries queued for ten
thousand sites.

Direct mode, with the harness's DNS server, in which every domain is a site; a rule allows each site a message an hour,
so that nothing ends while pages are asked for. One operator asks for one page after the other, as ``Now`` is followed
live in another window.
"""

import asyncio
import re
import tempfile
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Annotated
from urllib.parse import urlencode

import httpx
from msgspec import Meta

from benchmarks.blocking import to_its_end
from benchmarks.console_filling import Amounts, Filled, fill
from benchmarks.consoles import ANSWER_S, live_now, logged_in
from benchmarks.phases import Tell
from benchmarks.records import Better, Repeat
from benchmarks.runner import Measure
from benchmarks.scenarios.sending import Messages, SendingWorld, WorldOptions
from benchmarks.series import percentile, thinned
from benchmarks.server_process import ServerProcess
from benchmarks.world import direct

MESSAGES, SITES = 1_000_000, 10_000
"""The amounts of the target."""
MOST_MS = 200.0
SETTLED_S = 60.0
"""The sites are in memory within this time; what is not then stays parked."""


def pages(filled: Filled) -> Mapping[str, tuple[str, str]]:
    """Each page by what the record calls it: its path, and what must stand in it."""

    def at(path: str, **parameters: str | int) -> str:
        return f"{path}?{urlencode(parameters)}" if parameters else path

    tenant, site = filled.tenant, filled.site
    return {
        "now": (at("/"), "Sites with mail"),
        "sites": (at("/sites"), "Deepest first"),
        "sites by a part": (at("/sites", pattern="mx.d77"), "mx.d77"),
        "site": (at("/site", name=site), "the message rate"),
        "site, 7 days": (at("/site", name=site, since="7 d"), "the message rate"),
        "messages": (at("/messages", tenant=tenant), "Older"),
        "messages, queued": (at("/messages", tenant=tenant, status="queued"), "Older"),
        "messages, delivered": (at("/messages", tenant=tenant, status="delivered"), "Messages"),
        "messages to one": (at("/messages", tenant=tenant, to_email="user4321@d4321.bench.test"), "Messages"),
        "messages by subject": (at("/messages", tenant=tenant, subject="Offer 4321"), "Messages"),
        "message": (at("/message", id=filled.message), "Timeline"),
        "batches": (at("/batches", tenant=tenant), "Older"),
        "batch": (at("/batch", id=filled.batch), "queued"),
        "tenants": (at("/tenants"), "More"),
        "tenant": (at("/tenant", id=tenant), "API keys"),
        "domains": (at("/domains"), "sender.test"),
        "domains by a part": (at("/domains", domain="d99"), "d99"),
        "domain": (at("/domain", id=filled.domain), "DNS records"),
        "suppressions": (at("/suppressions", tenant=tenant, list="bounces"), "example.com"),
        "suppressions by a part": (at("/suppressions", tenant=tenant, list="bounces", email="user4321"), "user4321"),
        "webhooks": (at("/webhooks"), "hook"),
        "webhook": (at("/webhook", id=filled.endpoint), "The last posts"),
        "sources": (at("/sources"), "Sources"),
        "storage": (at("/storage"), "deliveries"),
        "audit": (at("/audit"), "suspend site"),
    }


NAMES = tuple(pages(Filled(tenant="", batch="", message="", endpoint="", domain=0, site="")))


class ConsoleOptions(WorldOptions, frozen=True, kw_only=True):
    messages: Messages = MESSAGES
    sites: Annotated[int, Meta(ge=10, le=100_000, description="Sites that the messages are for.")] = SITES
    tenants: Annotated[int, Meta(ge=101, le=100_000)] = 5000
    domains: Annotated[int, Meta(ge=10, le=1_000_000, description="Sender domains.")] = 10_000
    suppressed: Annotated[int, Meta(ge=1, le=10_000_000, description="Addresses on a tenant's list.")] = 500_000
    endpoints: Annotated[int, Meta(ge=1, le=10_000, description="Webhooks, none of them on.")] = 1000
    audited: Annotated[int, Meta(ge=101, le=1_000_000, description="Commands that operators have given.")] = 100_000
    times: Annotated[int, Meta(ge=1, le=1000, description="That each page is asked for in a repeat.")] = 10


class ConsolePages:
    """The console scenario."""

    name = "console"
    title = "Pages of the console, with a full queue and many sites"
    notes = (
        "One operator, one page after the other, each with everything that it shows; another follows Now live.",
        "The first opening of each page after a start is in the warm-up, which is not counted.",
    )

    def __init__(self, options: ConsoleOptions) -> None:
        self.settings = options
        self._stack = AsyncExitStack()
        self._nameserver = ""
        self._shaping = Path()
        self._sending = SendingWorld(options, self._route)
        self._pages: Mapping[str, tuple[str, str]] = {}

    @property
    def measures(self) -> tuple[Measure, ...]:
        meant = self.settings.messages >= MESSAGES and self.settings.sites >= SITES
        target = MOST_MS if meant else None
        return tuple(Measure(f"{name} p50", "ms", Better.LOWER, target) for name in NAMES)

    async def open(self, tell: Tell) -> None:
        directory = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="pr-console-")))
        names = ServerProcess("benchmarks.names", (), directory / "names.err")
        self._stack.push_async_callback(to_its_end, names.stop)
        self._nameserver = await to_its_end(names.start)
        self._shaping = directory / "shaping.toml"
        self._stack.push_async_callback(self._sending.close)
        await self._sending.open(tell)  # its first life creates tenant and schema
        postray = self._sending.world.postray
        self._sending.world.beside["names"] = names.pid
        tell("filling journal and ClickHouse", 0)
        await to_its_end(postray.stop)
        options = self.settings
        amounts = Amounts(
            messages=options.messages,
            sites=options.sites,
            tenants=options.tenants,
            domains=options.domains,
            suppressed=options.suppressed,
            endpoints=options.endpoints,
            audited=options.audited,
        )
        self._pages = pages(await to_its_end(fill, postray.data_dir, amounts))
        tell("starting again", 0)
        await to_its_end(postray.start)
        tell("until the sites are in memory", 0)
        await self._settled()

    async def close(self) -> None:
        await self._stack.aclose()

    def _route(self, sink: str) -> Mapping[str, str]:
        self._shaping.write_text('[[rule]]\nname = "all"\nmessage_rate = "1/h"\n', encoding="ascii")
        return direct(sink, self._nameserver) | {"POSTRAY_DELIVERY_SHAPING_FILE": str(self._shaping)}

    async def _settled(self) -> None:
        """Return when the actors take no more into memory."""
        postray, found = self._sending.world.postray, -1.0
        deadline = time.monotonic() + SETTLED_S
        async with httpx.AsyncClient() as http:
            while time.monotonic() < deadline:
                metrics = (await http.get(f"{postray.url}/metrics", timeout=ANSWER_S)).text
                held = sum(float(one) for one in re.findall(r"^postray_sites\{[^}]*\} (\S+)", metrics, re.MULTILINE))
                if held and held == found:
                    return
                found = held
                await asyncio.sleep(5)

    async def measure(self, share: float, tell: Tell) -> Repeat:
        watch = self._sending.world.watch()
        began = time.monotonic()
        samples: dict[str, list[float]] = {name: [] for name in self._pages}
        whole = 0
        times = max(1, round(share * self.settings.times))
        async with logged_in(self._sending.world.postray) as http, self._followed(http):
            await watch.start()
            for number in range(times):
                for name, (path, words) in self._pages.items():
                    tell(name, number / times)
                    asked = time.perf_counter()
                    answer = await http.get(path)
                    samples[name].append((time.perf_counter() - asked) * 1000)
                    whole += answer.status_code == 200 and words in answer.text
            usage = await watch.stop()
        return Repeat(
            figures={f"{name} p50": percentile(sorted(took), 0.5) for name, took in samples.items()},
            seconds=round(time.monotonic() - began, 3),
            promised=times * len(self._pages),
            counted=whole,
            usage=usage,
            latencies_ms={name: thinned(tuple(sorted(took))) for name, took in samples.items()},
        )

    @asynccontextmanager
    async def _followed(self, http: httpx.AsyncClient) -> AsyncIterator[None]:
        """``Now`` is open in another window."""

        async def follow() -> None:
            async for _ in live_now(http):
                pass

        following = asyncio.create_task(follow())
        try:
            yield
        finally:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)
