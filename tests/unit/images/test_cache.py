"""The cache of images that a process serves, over a journal in memory."""

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest

from api.images import cache as module
from api.images.cache import FRESH_S, Gone, ImageCache, Served
from cluster.ids import new_id
from cluster.intake.backpressure import Overloaded
from cluster.journal.images import PublicImage
from cluster.journal.journal import Unavailable

MB = 1024 * 1024


class World:
    def __init__(self) -> None:
        self.images: dict[str, bool] = {}
        """Whether each is deleted."""
        self.size = 10
        self.looks = self.reads = 0
        self.away = False
        self.gate: asyncio.Event | None = None
        self.now = 0.0
        journal = SimpleNamespace(images=SimpleNamespace(public=self._public, content=self._content))
        self.cache = ImageCache(cast(Any, journal), lambda: self.now)

    async def _public(self, id: str) -> PublicImage | None:
        self.looks += 1
        if self.gate is not None:
            await self.gate.wait()
        if self.away:
            raise Unavailable("away")
        if id not in self.images:
            return None
        return PublicImage(
            tenant_id="t",
            content_type="image/png",
            file=id.encode(),
            thumbnail_type="image/jpeg",
            thumbnail=b"small",
            is_deleted=self.images[id],
        )

    async def _content(self, tenant_id: str, sha: bytes) -> bytes | None:
        self.reads += 1
        return bytes(self.size)

    def add(self) -> str:
        id = new_id("img_")
        self.images[id] = False
        return id


async def test_an_image_is_read_once_and_looked_at_again_when_that_is_old() -> None:
    world = World()
    id = world.add()
    assert world.cache.get((id, False)) is None
    served = await world.cache.load((id, False))
    assert isinstance(served, Served) and world.cache.get((id, False)) is served
    world.now = FRESH_S + 0.1
    assert world.cache.get((id, False)) is None
    assert await world.cache.load((id, False)) is served
    assert (world.looks, world.reads) == (2, 1)
    assert world.cache.get((id, False)) is served
    world.images[id] = True
    world.now *= 3
    assert await world.cache.load((id, False)) == Gone()
    assert world.cache.get((id, False)) is None


async def test_many_clients_wait_for_one_look() -> None:
    world = World()
    id = world.add()
    world.gate = asyncio.Event()
    waiting = [asyncio.create_task(world.cache.load((id, False))) for _ in range(50)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    world.gate.set()
    found = await asyncio.gather(*waiting[1:])
    assert world.looks == 1 and all(one is found[0] for one in found)


async def test_what_is_held_is_served_while_the_journal_is_away() -> None:
    world = World()
    id = world.add()
    served = await world.cache.load((id, False))
    world.away, world.now = True, 100.0
    assert await world.cache.load((id, False)) is served
    assert world.cache.get((id, False)) is served  # not asked for again at once
    with pytest.raises(Unavailable):
        await world.cache.load((world.add(), False))


async def test_it_is_bounded() -> None:
    world = World()
    world.size = 10 * MB
    ids = [world.add() for _ in range(10)]
    for id in ids:
        await world.cache.load((id, False))
        world.cache.get((ids[0], False))  # it stays in use
    held = [id for id in ids if world.cache.get((id, False))]
    assert held == [ids[0], *ids[-5:]]
    world.size = 100 * MB
    await world.cache.load((world.add(), False))
    assert not any(world.cache.get((id, False)) for id in ids)


async def test_too_many_looks_at_once_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_WAITING", 2)
    world = World()
    world.gate = asyncio.Event()
    ids = [world.add() for _ in range(3)]
    waiting = [asyncio.create_task(world.cache.load((id, False))) for id in ids[:2]]
    await asyncio.sleep(0)
    with pytest.raises(Overloaded):
        await world.cache.load((ids[2], False))
    assert await world.cache.load(("img_1", False)) is None  # no id: nothing is looked up
    world.gate.set()
    await asyncio.gather(*waiting)


async def test_a_deletion_here_holds_at_once_also_for_a_look_under_way() -> None:
    world = World()
    id = world.add()
    world.gate = asyncio.Event()
    waiting = asyncio.create_task(world.cache.load((id, False)))
    await asyncio.sleep(0)
    world.cache.forget(id)
    world.gate.set()
    await waiting
    assert world.cache.get((id, False)) is None


async def test_the_thumbnail_is_another_content() -> None:
    world = World()
    id = world.add()
    image, small = [await world.cache.load((id, thumbnail)) for thumbnail in (False, True)]
    assert isinstance(image, Served) and isinstance(small, Served)
    assert dict(image.headers)[b"content-type"] == b"image/png"
    assert dict(small.headers)[b"content-type"] == b"image/jpeg"
    assert image.etag != small.etag
