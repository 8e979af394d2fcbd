"""What follows if a delivery actor's process ended while it worked on a message: the message gets a strike. After the
second strike it is set aside as failed, with that reason. Called at the start of the next life."""

import logging

from actors.delivery.marker import Marker
from cluster.journal.journal import Journal

log = logging.getLogger(__name__)


async def settle_marker(marker: Marker, journal: Journal, actor: str) -> None:
    """Record a strike for what the last life worked on when it ended. Raises Unavailable when the journal does not
    answer; the marker stays as it is, and the call is to be repeated.

    Call it before that life's leases are taken back: then no actor can claim a message that is to be set aside.
    """
    life = marker.left()
    for struck in life.struck if life is not None else ():
        assert life is not None
        verdict = await journal.strikes.record(struck, life=life.epoch, actor=actor)
        what = "the content of its request" if struck.shared else "it"
        log.error(
            "the last life ended at work on %s message=%s tenant=%s epoch=%d pid=%d strikes=%d",
            what,
            struck.message_id,
            struck.tenant_id,
            life.epoch,
            life.pid,
            verdict.strikes,
        )
        if verdict.aside is not None:
            log.error(
                "set aside scope=%s message=%s deliveries=%d reason=%r",
                verdict.aside.scope.value,
                struck.message_id,
                verdict.ended,
                verdict.aside.reason,
            )
