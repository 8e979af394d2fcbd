"""What endpoints become owed, from events: each with what its message says, for each endpoint that wants it. Pure."""

from collections.abc import Iterable, Mapping

from cluster.events import Event, WebhookDisabled, name_of
from cluster.journal.webhook_owing import OwedMessage
from cluster.webhooks.bundles import OwedEvent
from cluster.webhooks.endpoints import Dialect, Endpoint

_UNKNOWN = OwedMessage("", {}, 0, "")
"""What is said of a message that is gone."""


def owed_event(sequence: int, event: Event, message: OwedMessage | None) -> OwedEvent:
    """An event with what its message says; None for a message that is gone."""
    message = message or _UNKNOWN
    return OwedEvent(
        event=event,
        sequence=sequence,
        smtp_id=message.smtp_id,
        custom_args=message.custom_args,
        asm_group_id=message.asm_group_id,
    )


def owed(
    sequence: int, event: Event | WebhookDisabled, messages: Mapping[str, OwedMessage], endpoints: Iterable[Endpoint]
) -> list[tuple[str, OwedEvent]]:
    """The event for each of a tenant's endpoints that wants it, by the endpoint's id."""
    if isinstance(event, WebhookDisabled):
        one = OwedEvent(event=event, sequence=sequence)
        return [(endpoint.id, one) for endpoint in endpoints if _hears(endpoint, event)]
    message = messages.get(event.message_id, _UNKNOWN)
    one = owed_event(sequence, event, message)
    name = name_of(event)
    return [
        (endpoint.id, one)
        for endpoint in endpoints
        if endpoint.is_enabled and endpoint.wants(name, event.categories, message.key_id)
    ]


def _hears(endpoint: Endpoint, event: WebhookDisabled) -> bool:
    """Whether an endpoint is told that another one was disabled: SendGrid's dialect has no such event."""
    return endpoint.is_enabled and endpoint.dialect is Dialect.POSTRAY and endpoint.id != event.webhook_id
