"""The watched scenario: what looking costs mail: end-to-end while a monitor scrapes the metrics each second and ten
operators have the console open, and without them, in turn."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Annotated

import httpx
from msgspec import Meta

from benchmarks.consoles import ANSWER_S, live_now, logged_in
from benchmarks.mail import Mail
from benchmarks.phases import Tell
from benchmarks.records import Better, Repeat
from benchmarks.runner import Measure
from benchmarks.scenarios.blast import Options
from benchmarks.scenarios.in_turn import InTurn, delivered, together
from benchmarks.scenarios.sending import COUNTED, Messages, SendingWorld

ALONE, WATCHED = "alone", "watched"
SCRAPED_EVERY_S = 1.0


class WatchedOptions(Options, frozen=True, kw_only=True):
    messages: Messages = 15_000
    consoles: Annotated[int, Meta(ge=0, le=100, description="Consoles that have Now open, live.")] = 10


class Watched:
    """The watched scenario."""

    name = "watched"
    title = "End to end, alone and watched: a scrape each second, and ten consoles"
    notes = (
        COUNTED,
        "The consoles and the scrapes are made by the harness, on the same cores. The two ways are measured in turn, "
        "each repeat beginning with the other. The flight recorder samples in both.",
    )

    def __init__(self, options: WatchedOptions) -> None:
        self.settings = options
        self._mail = Mail(options.shape)
        self._sending = SendingWorld(options)
        self._in_turn = InTurn(self._sending, options)

    @property
    def measures(self) -> tuple[Measure, ...]:
        return (
            Measure(f"delivered, {ALONE}", "msg/s", Better.HIGHER),
            Measure(f"delivered, {WATCHED}", "msg/s", Better.HIGHER),
            Measure(f"delivered, {WATCHED} / {ALONE}", "times", Better.HIGHER, 0.97),
            Measure("scrapes", "a repeat", Better.HIGHER),
            Measure("live parts", "a repeat", Better.HIGHER),
        )

    async def open(self, tell: Tell) -> None:
        await self._sending.open(tell)

    async def close(self) -> None:
        await self._sending.close()

    async def measure(self, share: float, tell: Tell) -> Repeat:
        """Raises RuntimeError when a console got nothing."""
        looks = Looks()
        mails = dict.fromkeys((ALONE, WATCHED), self._mail)
        found = await self._in_turn.measure(mails, share, tell, {WATCHED: partial(self._watched, looks)})
        if not all(looks.parts):
            raise RuntimeError("a console got no part of the page")
        figures = delivered(found, WATCHED, ALONE) | {"scrapes": looks.scrapes, "live parts": sum(looks.parts)}
        return together(found, figures, WATCHED)

    @asynccontextmanager
    async def _watched(self, looks: "Looks") -> AsyncIterator[None]:
        """Consoles, each of which has the page, and scrapes, until the end of the block. Raises what ended one of them
        before."""
        postray = self._sending.world.postray
        async with AsyncExitStack() as stack:
            consoles = [await stack.enter_async_context(logged_in(postray)) for _ in range(self.settings.consoles)]
            looks.parts = [0] * len(consoles)
            tasks = [asyncio.create_task(looks.follow(number, http)) for number, http in enumerate(consoles)]
            tasks.append(asyncio.create_task(looks.scrape(postray.url)))
            try:
                async with asyncio.timeout(ANSWER_S):
                    while not all(looks.parts) and not any(task.done() for task in tasks):
                        await asyncio.sleep(0.1)
                yield
            finally:
                ended = [task for task in tasks if task.done()]
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
            for task in ended:
                task.result()


class Looks:
    """What those who look have got."""

    def __init__(self) -> None:
        self.scrapes = 0
        self.parts: list[int] = []
        """Of each console."""

    async def follow(self, number: int, http: httpx.AsyncClient) -> None:
        (await http.get("/")).raise_for_status()
        async for line in live_now(http):
            self.parts[number] += line.startswith("event: part")

    async def scrape(self, url: str) -> None:
        loop = asyncio.get_running_loop()
        async with httpx.AsyncClient(base_url=url, timeout=ANSWER_S) as http:
            next_at = loop.time()
            while True:
                (await http.get("/metrics")).raise_for_status()
                self.scrapes += 1
                next_at = max(next_at + SCRAPED_EVERY_S, loop.time())
                await asyncio.sleep(next_at - loop.time())
