"""The cache of compiled versions: bounded by what they hold, each compiled once."""

import asyncio
from types import SimpleNamespace
from typing import cast

import pytest

from cluster.journal.journal import Journal
from cluster.templates.compiled import CompiledTemplate, TextFault
from cluster.templates.store import CompiledTemplates
from cluster.templates.texts import TemplateTexts


class StoredTexts:
    """Stands for the journal: the texts of one tenant, by their number."""

    def __init__(self) -> None:
        self.asked: list[bytes] = []

    async def texts(self, tenant_id: str, sha256: bytes) -> TemplateTexts | None:
        self.asked.append(sha256)
        await asyncio.sleep(0)
        if tenant_id != "tnt_1":
            return None
        return TemplateTexts(html="{{#faulty" if sha256 == b"faulty" else f"<p>{sha256!r} {{{{name}}}}</p>")


def a_cache(stored: StoredTexts, most_bytes: int = 2**20) -> CompiledTemplates[CompiledTemplate]:
    return CompiledTemplates(cast(Journal, SimpleNamespace(templates=stored)), lambda made: made, most_bytes=most_bytes)


async def test_a_version_is_compiled_once() -> None:
    stored = StoredTexts()
    cache = a_cache(stored)
    first = await cache.get("tnt_1", b"1")
    assert first is not None
    assert first.fill({"name": "<"}).holes == (("&lt;",),)
    assert await cache.get("tnt_1", b"1") is first
    assert stored.asked == [b"1"]


async def test_two_that_ask_at_once_get_the_same() -> None:
    stored = StoredTexts()
    cache = a_cache(stored)
    first, second = await asyncio.gather(cache.get("tnt_1", b"1"), cache.get("tnt_1", b"1"))
    assert first is second
    assert stored.asked == [b"1"]
    assert first is not None and cache.size == first.held_bytes


async def test_texts_are_a_tenants_own() -> None:
    cache = a_cache(StoredTexts())
    assert await cache.get("tnt_1", b"1") is not None
    assert await cache.get("tnt_2", b"1") is None


async def test_texts_that_cannot_be_compiled() -> None:
    cache = a_cache(StoredTexts())
    for _ in range(2):
        with pytest.raises(TextFault, match="html"):
            await cache.get("tnt_1", b"faulty")
    assert cache.size == 0


async def test_the_least_recently_used_go_when_there_is_no_room() -> None:
    stored = StoredTexts()
    one = await a_cache(StoredTexts()).get("tnt_1", b"00")
    assert one is not None
    cache = a_cache(stored, most_bytes=5 * one.held_bytes)
    for number in range(10):
        await cache.get("tnt_1", b"%02d" % number)
        await cache.get("tnt_1", b"00")
        assert cache.size <= 5 * one.held_bytes
    assert stored.asked.count(b"00") == 1
    stored.asked.clear()
    for number in range(10):
        await cache.get("tnt_1", b"%02d" % number)
    assert stored.asked == [b"%02d" % number for number in range(1, 10)]
    small = a_cache(stored, most_bytes=1)
    for number in (1, 2, 2):
        last = await small.get("tnt_1", b"%02d" % number)
    assert last is not None and small.size == last.held_bytes
