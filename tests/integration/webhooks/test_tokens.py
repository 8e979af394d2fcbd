"""Posts with an access token, and the test of an endpoint."""

import asyncio

from aiohttp import web
from msgspec.structs import replace

from cluster.events import WebhookAttempt
from cluster.journal.journal import Journal
from cluster.settings import WebhookSettings
from cluster.vault import Vault
from cluster.webhooks.endpoints import Dialect
from cluster.webhooks.examples import example_events
from cluster.webhooks.oauth import Credentials
from tests.domains import SECRET
from tests.integration.journal.builders import a_tenant
from tests.integration.webhooks.world import Hook, an_endpoint, answering, logged, posting, served, some_events


class AuthorizationServer:
    """Gives a new token each time: "token-1", "token-2", …"""

    def __init__(self) -> None:
        self.requests: list[tuple[str, str]] = []
        """Authorization field and body of each."""
        self.status = 200
        self.waits_s = 0.05
        self.url = ""
        self.runner = web.AppRunner(web.Application(), access_log=None)

    async def __aenter__(self) -> "AuthorizationServer":
        self.runner.app.router.add_post("/token", self._answer)
        await self.runner.setup()
        await web.TCPSite(self.runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self.runner.addresses[0][1]}/token"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.runner.cleanup()

    async def _answer(self, request: web.Request) -> web.Response:
        self.requests.append((request.headers["Authorization"], await request.text()))
        await asyncio.sleep(self.waits_s)
        token = {"access_token": f"token-{len(self.requests)}", "token_type": "Bearer", "expires_in": 3600}
        return web.json_response(token, status=self.status)

    def sealed(self) -> bytes:
        return Credentials(client_id="id", client_secret="secret", token_url=self.url).sealed(Vault(SECRET))


async def test_a_token_is_asked_for_once_and_again_when_it_is_refused(journal: Journal) -> None:
    hook, tenant = Hook(), await a_tenant(journal)
    good = "token-1"

    async def only_good(request: web.Request) -> web.Response:
        return web.Response(status=200 if request.headers.get("Authorization") == f"Bearer {good}" else 401)

    hook.answer = only_good
    async with (
        served(hook),
        AuthorizationServer() as server,
        posting(journal, WebhookSettings(retry_schedule_s=(0.2,))) as world,
    ):
        endpoint = replace(an_endpoint(tenant, hook.url), sealed_oauth=server.sealed())
        await journal.webhooks.add(endpoint, 10)
        await world.known.refresh()
        await world.tell(endpoint, some_events(tenant, 20))
        await world.until_nothing_waits(endpoint)
        assert server.requests == [("Basic aWQ6c2VjcmV0", "grant_type=client_credentials")]
        good = "token-2"
        await world.tell(endpoint, some_events(tenant, 1))
        await world.until_nothing_waits(endpoint)
        assert len(server.requests) == 2
    attempts = [one for one in await logged(journal) if isinstance(one, WebhookAttempt)]
    assert [one.status for one in attempts][-2:] == [401, 200]
    assert not any("token-" in one.request_headers for one in attempts)


async def test_without_a_token_nothing_is_posted(journal: Journal) -> None:
    hook, tenant = Hook(), await a_tenant(journal)
    async with served(hook), AuthorizationServer() as server, posting(journal) as world:
        server.status = 500
        endpoint = replace(an_endpoint(tenant, hook.url), sealed_oauth=server.sealed())
        await journal.webhooks.add(endpoint, 10)
        await world.known.refresh()
        await world.tell(endpoint, some_events(tenant, 1))
        standing = await world.until(lambda standing: standing.failures == 1, endpoint)
    assert standing.last_error == "no access token: answered 500"
    assert hook.posts == []


async def test_slow_authorization_servers_hold_up_no_others(journal: Journal) -> None:
    hook, tenant = Hook(), await a_tenant(journal)
    async with served(hook), AuthorizationServer() as slow, AuthorizationServer() as server, posting(journal) as world:
        slow.waits_s = 5.0
        blocked = [replace(an_endpoint(tenant, hook.url), sealed_oauth=slow.sealed()) for _ in range(40)]
        endpoint = replace(an_endpoint(tenant, hook.url), sealed_oauth=server.sealed())
        for one in (*blocked, endpoint):
            await journal.webhooks.add(one, 100)
        await world.known.refresh()
        for one in blocked:
            await world.tell(one, some_events(tenant, 1))
        async with asyncio.timeout(4):
            while len(slow.requests) < len(blocked):
                await asyncio.sleep(0.02)
        async with asyncio.timeout(1):
            await world.tell(endpoint, some_events(tenant, 1))
            await world.until_nothing_waits(endpoint)
    assert len(hook.posts) == 1


async def test_nothing_stays_open_for_tokens_and_tests(journal: Journal) -> None:
    hook, tenant = Hook(), await a_tenant(journal)
    async with served(hook), AuthorizationServer() as server, posting(journal) as world:
        endpoint = replace(an_endpoint(tenant, hook.url), sealed_oauth=server.sealed())
        answer = await world.poster.post_events(endpoint, example_events(endpoint, 0.0)[:1])
        assert answer.result.is_taken
        assert world.client.pools() == []


async def test_the_test_of_an_endpoint(journal: Journal) -> None:
    hook, tenant = Hook(), await a_tenant(journal)
    async with served(hook), posting(journal) as world:
        endpoint = an_endpoint(tenant, hook.url, dialect=Dialect.SENDGRID)
        answer = await world.poster.post_events(endpoint, example_events(endpoint, 0.0))
        assert answer.result.is_taken
        assert {event["event"] for event in hook.posts[0]} >= {"processed", "delivered", "bounce", "open", "click"}
        hook.answer = answering(418)
        assert (await world.poster.post_events(endpoint, example_events(endpoint, 0.0))).result.status == 418
        assert await logged(journal) == []
