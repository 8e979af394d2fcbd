"""The events of deliveries that ended without a transaction: cancelled, or set aside. Pure, except for ids and the
clock."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from cluster.events import Dropped, encode_batch
from cluster.ids import new_id
from cluster.journal.records import Ended, Tell

CANCELLED = "Cancelled before delivery"


def tell_dropped(reason: str, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> Tell:
    """Builds an event for each delivery; without it, the timeline of a message would end in "processed"."""

    def tell(ended: Sequence[Ended]) -> bytes:
        at = clock().timestamp()
        return encode_batch(
            [
                Dropped(
                    id=new_id("evt_"),
                    at=at,
                    tenant_id=delivery.tenant_id,
                    message_id=delivery.message_id,
                    recipient=delivery.recipient,
                    batch_id=delivery.batch_id,
                    categories=delivery.categories,
                    reason=reason,
                )
                for delivery in ended
            ]
        )

    return tell


tell_cancelled = tell_dropped(CANCELLED)
