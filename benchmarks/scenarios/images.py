"""The images scenario: one image of the library, fetched as readers of a popular mail do, from one API process.

The image is uploaded once; from then on it is in the cache. Each client has one kept-alive connection and asks again
when it is answered.
"""

import asyncio
import os
import time
from io import BytesIO
from typing import Annotated
from urllib.parse import urlsplit

import httpx
from msgspec import Meta
from PIL import Image

from benchmarks.load import Load
from benchmarks.phases import Tell
from benchmarks.records import Better, Repeat
from benchmarks.runner import Measure
from benchmarks.scenarios.sending import SendingWorld, WorldOptions
from benchmarks.series import percentile, thinned

SIDE = 200
"""Noise of so many pixels squared is a PNG of 40 KB."""


class Options(WorldOptions, frozen=True, kw_only=True):
    """The options of a run."""

    seconds: Annotated[float, Meta(ge=1, le=300, description="Of each repeat.")] = 5.0
    clients: Annotated[int, Meta(ge=1, le=256, description="Connections.")] = 32


class Images:
    """The images scenario."""

    name = "images"
    title = "An image of the library, fetched by readers of mail"
    notes = ("The image has 40 KB and is in the cache; the load shares the machine's cores with the one API process.",)

    def __init__(self, options: Options) -> None:
        self.settings = options
        self._sending = SendingWorld(options)
        self._path = ""
        self._content = b""

    @property
    def measures(self) -> tuple[Measure, ...]:
        return (
            Measure("images", "req/s", Better.HIGHER, 3000.0),
            Measure("p50", "ms", Better.LOWER),
            Measure("p99", "ms", Better.LOWER),
        )

    async def open(self, tell: Tell) -> None:
        await self._sending.open(tell)
        buffer = BytesIO()
        Image.frombytes("L", (SIDE, SIDE), os.urandom(SIDE * SIDE)).save(buffer, "PNG")
        self._content = buffer.getvalue()
        postray = self._sending.world.postray
        async with httpx.AsyncClient(headers={"Authorization": f"Bearer {postray.key}"}) as http:
            files = {"file": ("noise.png", self._content, "image/png")}
            answer = await http.post(f"{postray.url}/v3/images", files=files)
        self._path = urlsplit(answer.raise_for_status().json()["url"]).path

    async def close(self) -> None:
        await self._sending.close()

    async def measure(self, share: float, tell: Tell) -> Repeat:
        watch = self._sending.world.watch()
        load = self._sending.load(self.settings.clients)
        await load.open()
        await watch.start()
        tell("fetching", 0)
        began = time.monotonic()
        ends = began + share * self.settings.seconds
        try:
            fetched = await asyncio.gather(*(self._one(load, ends) for _ in range(self.settings.clients)))
        finally:
            load.close()
        took_s = time.monotonic() - began
        samples = [ms for took, _ in fetched for ms in took]
        return Repeat(
            figures={
                "images": len(samples) / took_s,
                "p50": percentile(samples, 0.5),
                "p99": percentile(samples, 0.99),
            },
            seconds=round(took_s, 3),
            promised=len(samples),
            counted=sum(whole for _, whole in fetched),
            usage=await watch.stop(),
            latencies_ms={"images": thinned(samples)},
        )

    async def _one(self, load: Load, ends: float) -> tuple[list[float], int]:
        """The milliseconds of each answer, and how many were the image."""
        took: list[float] = []
        whole = 0
        while time.monotonic() < ends:
            seconds, body = await load.get(self._path)
            took.append(seconds * 1000)
            whole += body == self._content
        return took, whole
