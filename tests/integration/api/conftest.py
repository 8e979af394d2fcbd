"""The API on a real port over a real journal, with a tenant, a key and a sender domain."""

from collections.abc import AsyncIterator, Sequence
from typing import Any

import httpx
import pytest

from analytics.queries import MessageEvents
from analytics.statistics import Names, Statistics
from api.http.auth import Tokens
from api.server import ApiServer
from api.stats.asking import AskRecorder
from api.submission.server import SubmissionParts
from cluster.intake.backpressure import WhyFull, never_full
from cluster.journal.journal import Journal
from cluster.journal.records import DueDelivery, NewRequest
from cluster.keys import new_key
from cluster.settings import DEFAULT_TRACKING, HttpSettings, TrackingSettings
from cluster.tenancy.directory import TenantDirectory
from tests.domains import a_domain, a_manager
from tests.integration.api.author import Author
from tests.integration.api.library import Library
from tests.integration.large import large_requests
from tests.limiting import a_limiter
from tests.policies import a_policy
from tests.tracking import token_keys
from tests.webhooks import Actors, webhook_parts

SCOPES = (
    *("mail.send", "mail.schedule", "mail.cancel", "domains.read", "domains.write", "images.read", "images.write"),
    *("templates.read", "templates.write", "templates.delete", "webhooks.read", "webhooks.write"),
)


class Site:
    """A running API and what a client needs of it."""

    def __init__(self, journal: Journal, dsn: str, tenant_id: str, key: str) -> None:
        self.journal = journal
        self.dsn = dsn
        self.due: list[DueDelivery] = []
        """Requests that a worker has accepted, to be offered."""
        self.tenant_id = tenant_id
        self.key = key
        self.url = ""
        self.offered: list[NewRequest] = []
        self.recorder: AskRecorder | None = None
        self.aliases: dict[str, Sequence[str] | None] = {}
        """Where the CNAME records of a host lead; None: the DNS does not answer."""
        self.token_keys = token_keys(journal)
        self.actors = Actors()
        self.server = self.another()

    def another(
        self,
        why_full: WhyFull = never_full,
        directory: TenantDirectory | None = None,
        trusted_proxies: tuple[str, ...] = (),
        tokens: Tokens | None = None,
        tracking: TrackingSettings = DEFAULT_TRACKING,
        submission: SubmissionParts | None = None,
    ) -> ApiServer:
        """A server over the same journal."""
        directory = directory or TenantDirectory(self.journal)
        limiter = a_limiter(self.journal, directory)
        return ApiServer(
            HttpSettings(
                bind="127.0.0.1:0", public_url="https://mail.postray.example", trusted_proxies=trusted_proxies
            ),
            journal=self.journal,
            directory=directory,
            limiter=limiter,
            active_policy=a_policy(self.journal),
            domains=a_manager(self.journal),
            aliases=self._aliases,
            token_keys=self.token_keys,
            lifetime_s=3600,
            offers=self._offer,
            large=large_requests(self.dsn, limiter, self.due.extend),
            timeline=self._timeline,
            ask_recorder=self._ask_recorder,
            webhooks=webhook_parts(self.journal, self.actors),
            readiness=self._readiness,
            why_full=why_full,
            tokens=tokens,
            tracking=tracking,
            submission=submission,
        )

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json"}

    async def _aliases(self, host: str) -> Sequence[str] | None:
        return self.aliases.get(host, ())

    def _offer(self, requests: Sequence[NewRequest]) -> None:
        self.offered += requests

    async def _timeline(self, tenant_id: str, message_id: str) -> MessageEvents:
        return MessageEvents([])

    async def _ask_recorder(self, method: str, wanted: Statistics | Names) -> list[Any]:
        return await self.recorder(method, wanted) if self.recorder is not None else []

    async def _readiness(self) -> dict[str, str | None]:
        return {"journal": None}


@pytest.fixture
async def site(journal: Journal, journal_dsn: str) -> AsyncIterator[Site]:
    tenant_id = await journal.tenants.create("acme")
    secret, prefix, hash = new_key(sandbox=False)
    await journal.api_keys.create(tenant_id, name="all", prefix=prefix, hash=hash, scopes=SCOPES, sandbox=False)
    await a_domain(
        journal,
        tenant_id,
        "mail.example.com",
        verified=True,
        selector="s1",
        public_key="AAA=",
        sealed_private_key=b"x",
    )
    site = Site(journal, journal_dsn, tenant_id, secret)
    site.url = await site.server.start()
    yield site
    await site.server.stop()


def _client(site: Site) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=site.url, headers={"Authorization": f"Bearer {site.key}"}, timeout=30)


@pytest.fixture
async def library(site: Site) -> AsyncIterator[Library]:
    async with _client(site) as http:
        yield Library(site, http)


@pytest.fixture
async def author(site: Site) -> AsyncIterator[Author]:
    async with _client(site) as http:
        yield Author(site, http)
