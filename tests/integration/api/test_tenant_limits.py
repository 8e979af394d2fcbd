"""The limits of a tenant over a real journal and a real worker process."""

from typing import Any

import httpx
import msgspec
import psycopg

from cluster.tenancy.limits import RequestLimits, encode
from tests.integration.api.conftest import Site
from tests.unit.api.bodies import mail, many, to


async def with_limits(site: Site, **limits: Any) -> None:
    async with await psycopg.AsyncConnection.connect(site.dsn, autocommit=True) as connection:
        stored = encode(RequestLimits(**limits)).decode()
        await connection.execute("UPDATE tenants SET limits = %s WHERE id = %s", [stored, site.tenant_id])


async def used(site: Site) -> list[tuple[str, int]]:
    async with await psycopg.AsyncConnection.connect(site.dsn) as connection:
        cursor = await connection.execute("SELECT shard, messages FROM tenant_usage ORDER BY shard")
        return await cursor.fetchall()


def large(messages: int) -> bytes:
    """A request that the worker takes."""
    people = [to(email) for email in many(messages)]
    return msgspec.json.encode(
        mail(personalizations=people, content=[{"type": "text/plain", "value": "x" * 1_200_000}])
    )


async def test_a_large_request_is_charged_and_held_against_the_quota(site: Site) -> None:
    await with_limits(site, messages_per_s=10, messages_per_day=100)
    async with httpx.AsyncClient(base_url=site.url, headers=site.headers, timeout=60) as client:
        refused = await client.post("/v3/mail/send", content=large(101))
        assert refused.status_code == 429, refused.text
        assert refused.json()["detail"] == "Daily quota exceeded"
        assert "100 of 100" in refused.json()["errors"][0]["help"]
        assert [refused.headers[f"X-RateLimit-{name}"] for name in ("Limit", "Remaining")] == ["100", "100"]

        accepted = await client.post("/v3/mail/send", content=large(90))
        assert accepted.status_code == 202
        assert await used(site) == [("test-large", 90)]
        assert accepted.headers["X-RateLimit-Limit"] == "10" and accepted.headers["X-RateLimit-Remaining"] == "0"

        refused = await client.post("/v3/mail/send", content=msgspec.json.encode(mail()))
        assert refused.status_code == 429 and refused.json()["detail"] == "Rate limit exceeded"
        assert 6 <= int(refused.headers["Retry-After"]) <= 9
        # A body that is not read closes the connection, after the answer.
        refused = await client.post("/v3/mail/send", content=large(1))
        assert refused.status_code == 429

    await with_limits(site, messages_per_s=0, messages_per_day=100)
    another = site.another()
    url = await another.start()
    try:
        async with httpx.AsyncClient(base_url=url, headers=site.headers, timeout=60) as client:
            three = mail(personalizations=[to(email) for email in many(3)])
            codes = [(await client.post("/v3/mail/send", json=three)).status_code for _ in range(4)]
            assert codes == [202, 202, 202, 429]
    finally:
        await another.stop()
    assert sum(messages for _, messages in await used(site)) == 99
