"""The application over a journal in memory, and a client with a key that may do everything."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, cast

import httpx
import msgspec
import pytest
from litestar import Litestar

from analytics.queries import MessageEvents, TimelineEvent
from analytics.statistics import Count, Names, Statistics
from api.app import create_app
from api.images.cache import ImageCache
from api.send.sending import Sending
from api.tracking.recording import Engagements
from cluster.intake.intake import Intake
from cluster.journal.journal import Journal
from cluster.journal.records import NewRequest
from cluster.settings import HttpSettings
from cluster.tenancy.directory import TenantDirectory
from cluster.tenancy.limiter import TenantLimiter
from tests.domains import a_manager
from tests.limiting import DEFAULT_LIMITS
from tests.monitoring import no_metrics
from tests.policies import a_policy
from tests.tracking import token_keys
from tests.unit.api.as_made import AsMade
from tests.unit.api.journal_double import JournalDouble
from tests.unit.api.large_double import LargeHere
from tests.unit.api.operating import TOKEN, Operating
from tests.webhooks import webhook_parts

EVENING = 1_700_006_400 - 4 * 3600 - 1000
"""Unix seconds when ``World.now`` is 0: it begins four hours before midnight (UTC)."""
ALL_SCOPES = ("mail.send", "mail.schedule", "mail.cancel", "domains.read")


class World:
    """An application and everything around it that a test reads or changes."""

    client: httpx.AsyncClient

    def __init__(self) -> None:
        self.journal = JournalDouble()
        self.offered: list[NewRequest] = []
        self.parts: dict[str, str | None] = {"journal": None, "cluster": None}
        self.events: list[TimelineEvent] | Exception = []
        self.events_incomplete = False
        self.counts: list[Count] | list[str] | Exception = []
        self.counted: list[Any] = []
        """What bounces were asked for."""
        self.before_timeline: Callable[[], Awaitable[object]] | None = None
        self.now = 1000.0
        self.aliases: dict[str, Sequence[str] | None] = {}
        """Where the CNAME records of a host lead; None: the DNS does not answer."""
        self.full: str | None = None
        """The reason why nothing is accepted."""
        self.key = self.journal.issue_key(*ALL_SCOPES)
        settings = HttpSettings(commit_window_ms=0.5)
        self.intake = Intake(
            self.journal.intake.accept,
            commit_window_ms=settings.commit_window_ms,
            offers=self._offer,
            why_full=lambda: self.full,
        )
        journal = cast(Journal, self.journal)
        self.directory = TenantDirectory(journal, lambda: self.now)
        self.limiter = TenantLimiter(
            "api",
            journal.tenant_load,
            self.directory,
            DEFAULT_LIMITS,
            clock=lambda: self.now,
            wall=lambda: EVENING + self.now,
        )
        self.policy = a_policy(journal, "bulk", "p" * 64)
        self.large = LargeHere(
            Sending(
                journal,
                self.directory,
                self.intake.commit,
                self.limiter,
                pools=lambda: self.policy.routing.pools,
                lifetime_s=86_400,
                public_url=settings.base_url,
            )
        )
        self.app: Litestar = create_app(
            settings,
            journal=journal,
            directory=self.directory,
            limiter=self.limiter,
            active_policy=self.policy,
            domains=a_manager(journal),
            aliases=self._aliases,
            intake=self.intake,
            images=ImageCache(journal),
            token_keys=token_keys(journal),
            engagements=Engagements(journal),
            large=self.large,
            timeline=self._timeline,
            ask_recorder=self._ask_recorder,
            webhooks=webhook_parts(journal),
            readiness=self._readiness,
            lifetime_s=86_400,
            metrics=no_metrics(),
        )

    def _offer(self, requests: Sequence[NewRequest]) -> None:
        self.offered += requests

    async def _timeline(self, tenant_id: str, message_id: str) -> MessageEvents:
        if self.before_timeline is not None:
            await self.before_timeline()
        if isinstance(self.events, Exception):
            raise self.events
        return MessageEvents(self.events, self.events_incomplete)

    async def _ask_recorder(self, method: str, wanted: Statistics | Names) -> list[Any]:
        self.counted.append(wanted)
        if isinstance(self.counts, Exception):
            raise self.counts
        assert method == ("categories" if isinstance(wanted, Names) else "statistics")
        return self.counts

    async def _aliases(self, host: str) -> Sequence[str] | None:
        return self.aliases.get(host, ())

    async def _readiness(self) -> dict[str, str | None]:
        return self.parts

    async def send(self, body: Any, key: str | None = None, **headers: str) -> httpx.Response:
        """POST /v3/mail/send; a ``body`` of bytes is sent unchanged, any other is encoded."""
        content = body if isinstance(body, bytes) else msgspec.json.encode(body)
        sent = {"Authorization": f"Bearer {key or self.key}", "Content-Type": "application/json", **headers}
        return await self.client.post("/v3/mail/send", content=content, headers=sent)

    async def request(self, method: str, path: str, key: str | None = None, **params: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {key or self.key}"}
        return await self.client.request(method, path, headers=headers, params=params or None)

    async def faults(self, body: Any) -> list[tuple[str | None, str]]:
        """(field, message) of a request that is answered with 400."""
        response = await self.send(body)
        assert response.status_code == 400, response.text
        answer = response.json()
        assert isinstance(answer["detail"], str) and answer["detail"]
        assert all(set(error) == {"message", "field", "help"} for error in answer["errors"])
        return [(error["field"], error["message"]) for error in answer["errors"]]

    async def fields(self, body: Any) -> list[str | None]:
        return [field for field, _ in await self.faults(body)]


# Made for the session, and so before a fixture of a test changes what they are made of.


@pytest.fixture(scope="session")
def made_world() -> AsMade[World]:
    return AsMade(World())


@pytest.fixture(scope="session")
def made_operating() -> AsMade[Operating]:
    return AsMade(Operating())


@pytest.fixture
async def world(made_world: AsMade[World]) -> AsyncIterator[World]:
    world = made_world.again()
    # Not through the application's lifespan: pytest runs the two halves of a fixture in different tasks.
    await world.intake.start()
    transport = httpx.ASGITransport(cast(Any, world.app))
    async with httpx.AsyncClient(transport=transport, base_url="http://postray.test") as world.client:
        yield world
    await world.intake.stop()


@pytest.fixture
async def operating(made_operating: AsMade[Operating]) -> AsyncIterator[Operating]:
    operating = made_operating.again()
    transport = httpx.ASGITransport(cast(Any, operating.app))
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with httpx.AsyncClient(transport=transport, base_url="http://postray.test", headers=headers) as client:
        operating.client = client
        yield operating
