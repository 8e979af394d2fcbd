"""What ClickHouse knows of messages that a restored journal has unfinished, or does not have. Only SELECT."""

from collections.abc import Sequence

from msgspec import Struct

from analytics.client import ClickHouse

# The last event decides: a report that came later may have made a delivered message bounce, and its sender may have
# had it sent again.
ENDS = """
SELECT message_id, recipient, argMax(event, (at, sequence)), toUnixTimestamp64Milli(max(at)),
    argMax(reason, (at, sequence))
FROM events PREWHERE message_id IN {ids:Array(String)}
WHERE event IN ('delivered', 'bounce', 'blocked', 'dropped')
GROUP BY message_id, recipient
"""
ACCEPTED = """
SELECT message_id, any(tenant_id), toUnixTimestamp64Milli(min(at)), uniqExactIf(recipient, event = 'delivered'),
    uniqExact(recipient)
FROM events PREWHERE message_id > {after:String}
WHERE event IN ('processed', 'delivered', 'bounce', 'blocked', 'dropped')
GROUP BY message_id ORDER BY message_id LIMIT {limit:UInt32}
"""


class End(Struct, frozen=True):
    """How the delivery of a message to a recipient ended at last."""

    message_id: str
    recipient: str
    event: str
    """``delivered``, ``bounce``, ``blocked`` or ``dropped``."""
    at_ms: int
    """Milliseconds since the epoch."""
    reason: str


class AcceptedMessage(Struct, frozen=True):
    """A message that has events."""

    message_id: str
    tenant_id: str
    at_ms: int
    """Of its first event, in milliseconds since the epoch."""
    delivered: int
    """Recipients."""
    recipients: int


def ends(client: ClickHouse, message_ids: Sequence[str]) -> list[End]:
    """How the deliveries of these messages ended, of those that did. Raises ClickHouseUnavailable."""
    return [End(*row) for row in client.rows(ENDS, ids=list(message_ids))]


def accepted_after(client: ClickHouse, message_id: str, limit: int) -> list[AcceptedMessage]:
    """The next messages that were accepted after this one, in the order of their ids. Raises ClickHouseUnavailable."""
    return [AcceptedMessage(*row) for row in client.rows(ACCEPTED, after=message_id, limit=limit)]
