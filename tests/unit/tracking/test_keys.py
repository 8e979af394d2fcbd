"""The keys of a process, and how it learns of newer ones."""

from types import SimpleNamespace
from typing import cast

import pytest

from cluster.ids import new_id
from cluster.journal.journal import Journal, Unavailable
from cluster.tracking.keys import TokenKeys
from cluster.tracking.tokens import Kind, Recipient, key_id
from cluster.vault import Vault
from tests.domains import SECRET
from tests.tracking import open_token


class Rows:
    def __init__(self) -> None:
        self.keys: list[tuple[int, bytes]] = []
        self.reads = 0
        self.broken = False

    async def all(self) -> list[tuple[int, bytes]]:
        self.reads += 1
        if self.broken:
            raise Unavailable("away")
        return list(self.keys)

    async def add(self, known: int, sealed_key: bytes) -> None:
        if len(self.keys) == known:
            self.keys.append((known + 1, sealed_key))


async def test_a_key_of_another_process_is_looked_for_once_a_second() -> None:
    now = 100.0
    rows = Rows()
    journal = cast(Journal, SimpleNamespace(token_keys=rows))
    here, there = (TokenKeys(journal, Vault(SECRET), lambda: now) for _ in range(2))
    await here.load()
    await there.rotate()
    who = Recipient(tenant_number=1, message_id=new_id("msg_"), recipient_no=0, email="ada@example.com")
    token = open_token(there, who)
    assert key_id(token) == 2
    named = await here.read(token, Kind.OPEN)
    assert named is not None and named.recipient == who
    assert await here.read(token, Kind.CLICK) is None
    reads = rows.reads
    for unknown in ("_" * 40, "_" * 40, "", "x", "é" * 4, "a" * 40_000):
        assert await here.read(unknown, Kind.OPEN) is None
    assert rows.reads == reads, "anybody can name keys"
    now += 1.5
    rows.broken = True
    for _ in range(3):
        with pytest.raises(Unavailable):
            await here.read("_" * 40, Kind.OPEN)
    assert rows.reads == reads + 1
    assert await here.read(token, Kind.OPEN) == named
