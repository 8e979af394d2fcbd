"""All routes of webhooks."""

from api.http.routes import RouteGroup
from api.webhooks.attempts import AttemptCalls
from api.webhooks.calls import WebhookCalls
from api.webhooks.feed import Feed
from api.webhooks.parts import WebhookParts
from api.webhooks.replays import ReplayCalls
from api.webhooks.sendgrid import SendGridSettings


def webhook_routes(parts: WebhookParts) -> tuple[RouteGroup, ...]:
    """The groups of routes."""
    return (
        WebhookCalls(parts).routes(),
        AttemptCalls(parts).routes(),
        ReplayCalls(parts).routes(),
        SendGridSettings(parts).routes(),
        Feed(parts).routes(),
    )
