"""Operators at the console: a browser that is logged in, and a page that is followed live."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx

from benchmarks.postray import PostrayProcess

ANSWER_S = 30.0
CSRF = re.compile(r'name="csrf" value="([^"]+)"')


@asynccontextmanager
async def logged_in(postray: PostrayProcess) -> AsyncIterator[httpx.AsyncClient]:
    """An operator's browser."""
    async with httpx.AsyncClient(base_url=f"http://{postray.settings.admin.bind}", timeout=ANSWER_S) as http:
        found = CSRF.search((await http.get("/login")).text)
        assert found is not None
        answer = await http.post("/login", data={"csrf": found[1], "token": postray.operator_token})
        assert answer.status_code == 303, answer.text
        yield http


async def live_now(http: httpx.AsyncClient) -> AsyncIterator[str]:
    """The lines of ``Now``, live, until the caller looks no more."""
    async with http.stream("GET", "/live/now", timeout=None) as live:
        live.raise_for_status()
        async for line in live.aiter_lines():
            yield line
