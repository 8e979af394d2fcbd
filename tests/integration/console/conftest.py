"""The console over a running postray's API, and an operator who is logged in."""

import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from cluster.keys import new_operator_token, operator_token
from cluster.vault import secret_key
from tests.integration.operating.conftest import Postray
from tests.integration.operating.conftest import postray as postray

_CSRF = re.compile(r'name="csrf" value="([^"]+)"')


def csrf(page: httpx.Response) -> str:
    """The token of the forms of a page."""
    found = _CSRF.search(page.text)
    assert found is not None, page.text
    return found[1]


class Console:
    """A browser, as far as cookies and forms go."""

    def __init__(self, postray: Postray, http: httpx.AsyncClient) -> None:
        self.postray = postray
        self.http = http
        self.token = operator_token(secret_key("", postray.data_dir))

    async def login(self, token: str | None = None, **more: str) -> httpx.Response:
        page = await self.http.get("/login")
        fields = {"csrf": csrf(page), "token": self.token if token is None else token, **more}
        return await self.http.post("/login", data=fields)

    async def send(self, page: str, path: str, **fields: Any) -> httpx.Response:
        """Load a page, and send a form of it."""
        return await self.http.post(path, data={"csrf": csrf(await self.http.get(page)), **fields})

    async def named_token(self, name: str) -> str:
        secret, prefix, hash = new_operator_token()
        made = await self.postray.journal.operator_tokens.create(name, prefix=prefix, hash=hash, at=datetime.now(UTC))
        assert made is not None
        return secret


@pytest.fixture
async def visitor(postray: Postray) -> AsyncIterator[Console]:
    """One who is not logged in."""
    async with httpx.AsyncClient(base_url=postray.server.console_url) as http:
        yield Console(postray, http)


@pytest.fixture
async def console(visitor: Console) -> Console:
    """One who is logged in."""
    answer = await visitor.login()
    assert answer.status_code == 303, answer.text
    return visitor
