"""The program in docs/webhooks.md takes what is signed as posts are, and nothing else."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from cluster.ids import new_id
from cluster.webhooks.endpoints import Dialect, Endpoint
from cluster.webhooks.signing import new_secret, signed
from tests.documents import blocks
from tests.webhooks import VAULT

BODY = b'[{"event_id": "evt_1"}]'
FIELD = "X-ScaiSend-Signature"
SERVED = 'HTTPServer(("127.0.0.1", 9000), Receiver).serve_forever()'
TOLD = 'server = HTTPServer(("127.0.0.1", 0), Receiver); print(server.server_port, flush=True); server.serve_forever()'


@pytest.fixture
def secret() -> str:
    return new_secret()


@pytest.fixture
async def url(secret: str) -> AsyncIterator[str]:
    """Where the program listens."""
    (text,) = (one.text for one in blocks("python") if one.page == "docs/webhooks.md" and SERVED in one.text)
    program = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        text.replace(SERVED, TOLD),
        env={**os.environ, "SECRET": secret},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,  # it logs each request
    )
    assert program.stdout is not None
    port = int(await asyncio.wait_for(program.stdout.readline(), 10))
    yield f"http://127.0.0.1:{port}/"
    program.kill()
    await program.wait()


def a_signature(secret: str, now: datetime, *, former: str | None = None) -> str:
    """The signature of ``BODY``; of a ``former`` secret too, as after a rotation."""
    endpoint = Endpoint(
        id=new_id("wh_"),
        tenant_id=new_id("tnt_"),
        dialect=Dialect.POSTRAY,
        url="https://hooks.example.com/",
        sealed_secret=VAULT.seal(secret.encode()),
        sealed_former=VAULT.seal(former.encode()) if former else None,
        former_until=now + timedelta(hours=1) if former else None,
        created_at=now,
        updated_at=now,
    )
    return signed(endpoint, VAULT, BODY, at=int(now.timestamp()), post_id="post_1")[FIELD]


async def test_it_takes_what_is_signed_now_with_its_secret(url: str, secret: str) -> None:
    now = datetime.now(UTC)
    good = a_signature(secret, now)
    async with httpx.AsyncClient(base_url=url) as http:

        async def status(field: str | None, body: bytes = BODY) -> int:
            headers = {} if field is None else {FIELD: field}
            return (await http.post("/", content=body, headers=headers)).status_code

        assert await status(good) == 204
        assert await status(a_signature(new_secret(), now, former=secret)) == 204, "the secret before the rotation"
        assert await status(good, BODY + b" ") == 403
        assert await status(a_signature(new_secret(), now)) == 403
        assert await status(a_signature(secret, now - timedelta(minutes=6))) == 403
        for field in (None, "", "v1", good.partition(",")[2], good.partition(",")[0]):
            assert await status(field) == 403, field
