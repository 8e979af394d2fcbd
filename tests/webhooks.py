"""What the routes of webhooks work with, in tests without actors."""

from datetime import UTC, datetime
from typing import Any

from analytics.feed import FeedPage
from api.webhooks.parts import WebhookParts
from cluster.events import WebhookAttempt
from cluster.journal.journal import Journal
from cluster.peers import PeerGone
from cluster.policy.webhooks.failing import PostResult
from cluster.settings import WebhookSettings
from cluster.vault import Vault
from cluster.webhooks.answer import Answer

VAULT = Vault("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=")
NOW = datetime(2026, 5, 1, tzinfo=UTC)


class Actors:
    """The processes that the routes call: an endpoint answers a test with ``status``, and the feed has ``pages``."""

    def __init__(self) -> None:
        self.status = 200
        self.attempts: list[WebhookAttempt] | None = []
        """None: the recorder is away."""
        self.pages: dict[str, FeedPage] = {}
        """Of the feed, by the position that they are asked after."""
        self.asked: list[tuple[Any, ...]] = []

    async def call(self, actor: str, method: str, *arguments: Any) -> Any:
        self.asked.append((actor, method, *arguments))
        if method == "test":
            return Answer(result=PostResult(began=NOW, ended=NOW, status=self.status), body="ok")
        if method == "feed":
            return self.pages.get(arguments[1], FeedPage([], arguments[1], is_full=False))
        assert method == "attempts"
        if self.attempts is None:
            raise PeerGone(actor, "dead")
        return self.attempts


def webhook_parts(journal: Journal, actors: Actors | None = None) -> WebhookParts:
    """The parts over a journal."""
    settings = WebhookSettings(most_endpoints=20)
    return WebhookParts(journal=journal, vault=VAULT, settings=settings, call=(actors or Actors()).call)
