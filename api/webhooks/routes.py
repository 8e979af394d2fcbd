"""All routes of webhooks."""

from api.http.routes import RouteGroup
from api.webhooks.calls import WebhookCalls
from api.webhooks.parts import WebhookParts
from api.webhooks.sendgrid import SendGridSettings


def webhook_routes(parts: WebhookParts) -> tuple[RouteGroup, ...]:
    """The groups of routes."""
    return (WebhookCalls(parts).routes(), SendGridSettings(parts).routes())
