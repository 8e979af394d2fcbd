"""Searches do not delay sending."""

import asyncio

import httpx
import psycopg
import pytest

from cluster.journal import database
from tests.integration.api.conftest import Site
from tests.unit.api.bodies import mail


async def test_slow_searches_hold_up_no_mail(site: Site) -> None:
    async with httpx.AsyncClient(base_url=site.url, headers=site.headers, timeout=30) as client:
        async with await psycopg.AsyncConnection.connect(site.dsn) as slow:
            await slow.execute("LOCK TABLE outcomes")  # a search waits for it, and an acceptance does not
            searches = [asyncio.create_task(client.get("/v3/messages?subject=x")) for _ in range(12)]
            await asyncio.sleep(0)
            for _ in range(20):
                assert (await client.post("/v3/mail/send", json=mail())).status_code == 202
            assert not any(search.done() for search in searches)
        assert [(await search).status_code for search in searches] == [200] * 12


async def test_a_search_that_takes_too_long_says_what_to_do(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "LONGEST_SEARCH_S", 0.05)
    async with httpx.AsyncClient(base_url=site.url, headers=site.headers, timeout=30) as client:
        async with await psycopg.AsyncConnection.connect(site.dsn) as slow:
            await slow.execute("LOCK TABLE outcomes")
            answer = await client.get("/v3/messages?subject=x")
        assert answer.status_code == 503
        assert "narrow it" in answer.json()["detail"]
