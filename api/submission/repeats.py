"""The idempotency key of a submitted message: its Message-ID and its recipients. Pure.

A client that lost the answer submits the same message to the same recipients again. A relay splits a message with many
recipients into several submissions with one Message-ID, and a list server submits one for each reader: those are no
repeats, so the recipients belong to the key.
"""

from collections.abc import Sequence
from hashlib import sha256

from cluster.journal.idempotency import IdempotencyKey
from cluster.message.submitted.header import header_at, without_fields

TRACE = (b"received", b"return-path")
"""Fields that say which way a message came (RFC 5321 §4.4), and may differ in a repeat."""


def name_of(recipients: Sequence[str], message: bytes, *, sandbox: bool) -> IdempotencyKey | None:
    """The idempotency key of a submitted message; None where it has no Message-ID."""
    header = header_at(message)
    field = header.first(b"message-id")
    message_id = field.text(message) if field is not None else ""
    if not message_id:
        return None
    named = "\n".join((message_id, *sorted(set(recipients))))
    digest = sha256(named.encode("utf-8", "surrogateescape")).hexdigest()
    return IdempotencyKey(
        # A key of the API comes from an HTTP header and has no line end, so the two never coincide.
        text=f"Message-ID\n{digest}",
        sandbox=sandbox,
        body_sha256=sha256(without_fields(message, TRACE, header)).digest(),
    )
