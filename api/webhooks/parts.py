"""What the routes of webhooks work with."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from analytics.client import ClickHouseUnavailable
from api.http import help_texts
from api.http.existing import WEBHOOK, missing
from api.http.refusals import Fault, Invalid, NotFound
from cluster.intake.backpressure import Overloaded
from cluster.journal.journal import Journal, Unavailable
from cluster.journal.webhooks import TooManyEndpoints
from cluster.peers import Call, PeerGone, call_within
from cluster.policy.routes.networks import Networks, networks
from cluster.settings import WebhookSettings
from cluster.vault import Vault
from cluster.webhooks.endpoints import Endpoint

ANSWER_S = 15.0
"""How long a process may take to answer, beyond what an endpoint may."""
NOT_NOW = "Webhooks cannot be reached now; try again later"


def utc_now() -> datetime:
    """The time now."""
    return datetime.now(UTC)


class TestAnswer(Struct, frozen=True):
    """What an endpoint answered to an example. ``status`` is None, and ``error`` says why, where it did not."""

    status: int | None
    error: str
    duration_ms: int
    body: str
    """Its first 4 KB."""


class WebhookParts(Struct, frozen=True, kw_only=True):
    """The collaborators of the routes. ``call`` calls the process of webhooks, and the recorder."""

    journal: Journal
    vault: Vault
    settings: WebhookSettings
    call: Call
    now: Callable[[], datetime] = utc_now

    @property
    def networks(self) -> Networks:
        """The addresses that may be posted to."""
        return networks(allowed=self.settings.allow_networks, setting="webhooks.allow_networks")

    async def ask(self, actor: str, method: str, *arguments: Any) -> Any:
        """The answer of an actor. Raises Overloaded when it is away."""
        try:
            return await call_within(self.settings.timeout_s + ANSWER_S, self.call, actor, method, *arguments)
        except (PeerGone, ClickHouseUnavailable, Unavailable):
            raise Overloaded(NOT_NOW) from None

    async def add(self, endpoint: Endpoint) -> None:
        """Store a new endpoint. Raises Invalid when the tenant has too many, and NotFound when it is deleted."""
        most = self.settings.most_endpoints
        try:
            has_tenant = await self.journal.webhooks.add(endpoint, most)
        except TooManyEndpoints:
            raise Invalid([Fault(f"A tenant has at most {most} endpoints", None, help_texts.WEBHOOKS)]) from None
        if not has_tenant:
            raise NotFound("The tenant does not exist", help=help_texts.KEY)

    async def change(self, endpoint: Endpoint, change: Callable[[Endpoint], Endpoint]) -> Endpoint:
        """Change an endpoint as it is stored now. Raises NotFound when it was removed meanwhile."""
        now = self.now()
        after = await self.journal.webhooks.change(
            endpoint.tenant_id, endpoint.id, lambda before: replace(change(before), updated_at=now)
        )
        if after is None:
            raise missing(WEBHOOK)
        return after

    async def remove(self, endpoint: Endpoint) -> None:
        """Remove an endpoint. Raises NotFound when it was removed meanwhile."""
        if not await self.journal.webhooks.remove(endpoint.tenant_id, endpoint.id):
            raise missing(WEBHOOK)

    async def tested(self, endpoint: Endpoint) -> TestAnswer:
        """Post examples to an endpoint. Raises Overloaded when the process of webhooks is away."""
        answer = await self.ask("webhooks", "test", endpoint)
        return TestAnswer(answer.result.status or None, answer.result.error, answer.duration_ms, answer.body)
