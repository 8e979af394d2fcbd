"""A SQL door over the embedded engine, with the events of two tenants."""

import asyncio
import base64
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlencode

import aiohttp
from msgspec import Struct, structs

from analytics.client import ClickHouse
from analytics.door.server import SqlDoor
from analytics.rows import columns
from cluster.events import Event
from cluster.journal.records import ApiKey
from cluster.keys import key_hash
from cluster.settings import AnalyticsSettings, ClickHouseSettings
from tests.unit.analytics.samples import delivered, every_kind

PASSWORD = "0123456789abcdef0123456789abcdef"
OURS, OTHERS = "tnt_ours", "tnt_others"
KEY = "sg_live_00000000000000000000000000000001"
SECRET = "secret-of-others"
"""In each row of the other tenant: in its addresses."""


def keys(scopes: frozenset[str] = frozenset({"stats.export"}), **changed: object) -> Mapping[bytes, ApiKey]:
    key = ApiKey(id="key_1", tenant_id=OURS, scopes=scopes, sandbox=False)
    return {key_hash(KEY): structs.replace(key, **changed)}


def fill(clickhouse: ClickHouse) -> list[Event]:
    """Events of both tenants; returns those of ``OURS``."""
    ours = [
        structs.replace(event, tenant_id=OURS, message_id=f"msg_ours_{n}")
        for n, event in enumerate([*every_kind(), delivered(7)])
    ]
    others = [
        structs.replace(event, tenant_id=OTHERS, message_id=f"msg_others_{n}", recipient=f"{SECRET}-{n}@example.net")
        for n, event in enumerate([*every_kind(), *(delivered(n) for n in range(20))])
    ]
    positions = [(1, n) for n in range(1, len(ours) + len(others) + 1)]
    clickhouse.insert(columns([*others, *ours], positions))
    return ours


class Answer(Struct, frozen=True):
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode(errors="replace")


class Client(Struct, frozen=True):
    """Asks the door at ``url``."""

    url: str
    session: aiohttp.ClientSession
    door: SqlDoor

    async def ask(
        self,
        query: str,
        *,
        tenant: bool = False,
        headers: Mapping[str, str] = {},
        url: Mapping[str, str] = {},
        **given: str,
    ) -> Answer:
        login = f"apikey:{KEY}" if tenant else f"postray:{PASSWORD}"
        basic = {"Authorization": "Basic " + base64.b64encode(login.encode()).decode()}
        return await self.raw(
            "POST", query.encode(errors="surrogateescape"), headers={**basic, **headers}, **{**url, **given}
        )

    async def raw(
        self, method: str, body: bytes = b"", *, path: str = "/", headers: Mapping[str, str] = {}, **given: str
    ) -> Answer:
        url = f"{self.url}{path}" + (f"?{urlencode(given)}" if given else "")
        async with self.session.request(method, url, data=body, headers=headers) as answer:
            return Answer(answer.status, answer.headers.copy(), await answer.read())


@asynccontextmanager
async def opened(
    data_dir: Path, known: Mapping[bytes, ApiKey] | None = None, **changed: object
) -> AsyncIterator[Client]:
    """A door over the engine that is open in this directory."""
    found = keys() if known is None else known

    async def find(hash: bytes) -> ApiKey | None:
        return found.get(hash)

    settings = structs.replace(AnalyticsSettings(bind="127.0.0.1:0", tenants="always"), **changed)
    door = SqlDoor(
        settings,
        ClickHouseSettings(),
        data_dir,
        PASSWORD,
        find,
        require_ready=lambda: None,
        confine=lambda: None,
    )
    url = await door.start()
    try:
        async with aiohttp.ClientSession(auto_decompress=False, timeout=aiohttp.ClientTimeout(60)) as session:
            yield Client(url, session, door)
    finally:
        await asyncio.wait_for(door.stop(), 20)
