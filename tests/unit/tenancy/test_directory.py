"""The cache of tenants and keys: what is loaded once, what is forgotten, and what is asked again."""

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest

from cluster.journal.journal import Journal, Unavailable
from cluster.journal.records import ApiKey
from cluster.tenancy.directory import FRESH_S, RELOAD_S, TenantDirectory
from cluster.tenancy.tenant import Tenant


class Store:
    """Tenants and keys as a journal has them, with counts of what was asked."""

    def __init__(self) -> None:
        self.now = 100.0
        self.tenants = {"tnt_1": Tenant(id="tnt_1", name="one"), "tnt_2": Tenant(id="tnt_2", name="two")}
        self.keys = {b"1": ApiKey(id="key_1", tenant_id="tnt_1", scopes=frozenset(), sandbox=False)}
        self.asked: list[Any] = []
        self.changed: set[str] = set()
        self.away = False
        self.answer = asyncio.Event()
        self.answer.set()

    async def find(self, id: str) -> Tenant | None:
        self.asked.append(id)
        found = self.tenants.get(id)
        await self._answered()
        return found

    async def by_hash(self, hash: bytes) -> ApiKey | None:
        self.asked.append(hash)
        await self._answered()
        return self.keys.get(hash)

    async def poll(self, since: int | None) -> tuple[int, frozenset[str]]:
        if self.away:
            raise Unavailable("away")
        self.asked.append(("poll", since))
        changed, self.changed = frozenset(self.changed), set()
        return (since or 0) + 1, changed

    async def _answered(self) -> None:
        await self.answer.wait()
        if self.away:
            raise Unavailable("away")


@pytest.fixture
async def store() -> Store:
    return Store()


@pytest.fixture
async def directory(store: Store) -> TenantDirectory:
    journal = SimpleNamespace(
        tenants=SimpleNamespace(find=store.find, changed=store.poll), api_keys=SimpleNamespace(by_hash=store.by_hash)
    )
    return TenantDirectory(cast(Journal, journal), lambda: store.now)


async def test_a_tenant_and_a_key_are_loaded_once(store: Store, directory: TenantDirectory) -> None:
    for _ in range(3):
        assert await directory.tenant("tnt_1") == store.tenants["tnt_1"]
        assert await directory.key(b"1") == store.keys[b"1"]
    assert store.asked == [("poll", None), "tnt_1", b"1"]


async def test_what_does_not_exist_is_asked_each_time(store: Store, directory: TenantDirectory) -> None:
    assert await directory.tenant("tnt_3") is None
    store.tenants["tnt_3"] = Tenant(id="tnt_3", name="three")
    assert await directory.tenant("tnt_3") == store.tenants["tnt_3"]


async def test_what_changed_is_loaded_again_with_its_keys_and_the_rest_stays(
    store: Store, directory: TenantDirectory
) -> None:
    heard: list[set[str]] = []
    directory.on_change(lambda changed: heard.append(set(changed)))
    await asyncio.gather(directory.tenant("tnt_1"), directory.tenant("tnt_2"), directory.key(b"1"))
    store.changed = {"tnt_1"}
    del store.keys[b"1"]
    store.now += FRESH_S
    assert await directory.key(b"1") is None
    store.asked.clear()
    await directory.tenant("tnt_1")
    await directory.tenant("tnt_2")
    assert store.asked == ["tnt_1"]
    assert heard == [{"tnt_1"}]


async def test_nothing_old_is_used_while_the_journal_is_away(store: Store, directory: TenantDirectory) -> None:
    await directory.tenant("tnt_1")
    store.away = True
    store.now += FRESH_S - 0.1
    assert await directory.tenant("tnt_1") is not None
    store.now += 0.2
    with pytest.raises(Unavailable):
        await directory.tenant("tnt_1")
    store.away = False
    assert await directory.tenant("tnt_1") is not None


async def test_what_was_read_before_a_change_is_not_kept(store: Store, directory: TenantDirectory) -> None:
    await directory.refresh()
    store.answer.clear()
    reading = asyncio.create_task(directory.tenant("tnt_1"))
    while "tnt_1" not in store.asked:
        await asyncio.sleep(0)
    store.tenants["tnt_1"] = Tenant(id="tnt_1", name="one", is_suspended=True)
    store.changed = {"tnt_1"}
    await directory.refresh()
    store.answer.set()
    await reading
    tenant = await directory.tenant("tnt_1")
    assert tenant is not None and tenant.is_suspended


async def test_many_at_once_ask_once_and_one_that_leaves_takes_nothing_from_the_others(
    store: Store, directory: TenantDirectory
) -> None:
    await directory.refresh()
    store.answer.clear()
    leaving, *others = [asyncio.create_task(directory.key(b"1")) for _ in range(5)]
    while b"1" not in store.asked:
        await asyncio.sleep(0)
    leaving.cancel()
    store.answer.set()
    assert await asyncio.gather(*others) == [store.keys[b"1"]] * 4
    assert store.asked.count(b"1") == 1


async def test_a_failed_look_up_fails_for_all_that_wait_and_is_not_kept(
    store: Store, directory: TenantDirectory
) -> None:
    await directory.refresh()
    store.away = True
    found = await asyncio.gather(*[directory.key(b"1") for _ in range(3)], return_exceptions=True)
    assert [type(one) for one in found] == [Unavailable] * 3
    store.away = False
    assert await directory.key(b"1") == store.keys[b"1"]


async def test_a_tenant_is_loaded_again_at_most_once_a_second(store: Store, directory: TenantDirectory) -> None:
    for _ in range(3):
        await directory.reloaded("tnt_1")
    assert store.asked.count("tnt_1") == 1
    store.now += RELOAD_S
    await directory.reloaded("tnt_1")
    assert store.asked.count("tnt_1") == 2


def test_the_domain_under_which_a_tenant_sends() -> None:
    tenant = Tenant(id="tnt_1", name="one", senders={"acme.example": True, "b.example": False, "x.acme.example": False})
    assert tenant.sender_domain("acme.example") == "acme.example"
    assert tenant.sender_domain("news.acme.example") == "acme.example"
    assert tenant.sender_domain("x.acme.example") == "x.acme.example"
    assert tenant.sender_domain("y.x.acme.example") == "acme.example"
    assert tenant.sender_domain("news.b.example") is None
    assert tenant.sender_domain("badacme.example") is None
    assert tenant.sender_domain("example") is None
