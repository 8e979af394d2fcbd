"""What the routes of webhooks work with."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from msgspec import Struct

from analytics.client import ClickHouseUnavailable
from cluster.intake.backpressure import Overloaded
from cluster.journal.journal import Journal, Unavailable
from cluster.peers import Call, PeerGone
from cluster.policy.routes.networks import Networks, networks
from cluster.settings import WebhookSettings
from cluster.vault import Vault

NOT_NOW = "Webhooks cannot be reached now; try again later"


def utc_now() -> datetime:
    """The time now."""
    return datetime.now(UTC)


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
            return await self.call(actor, method, *arguments)
        except (PeerGone, ClickHouseUnavailable, Unavailable):
            raise Overloaded(NOT_NOW) from None
