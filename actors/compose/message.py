"""Messages, from a request's skeleton to the octets of an SMTP transaction.

The delivery actor drafts each message that it has claimed and finishes several together. Never does: dot-stuffing (that
belongs to DATA alone; BDAT sends the octets as they are), storing, sending.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime

from msgspec import Struct

from actors.compose import dkim
from actors.compose.dkim import Signer, Unsigned
from actors.compose.mime import Skeleton
from cluster.journal.records import Personal


class Wire(Struct, frozen=True):
    """A complete RFC 5322 message with CRLF line ends, and whether its header asks for SMTPUTF8. The addresses of a
    transaction may ask for that as well."""

    data: bytes
    smtputf8: bool


class Draft(Struct, frozen=True):
    """A message that lacks its signature, if it is to have one."""

    pieces: list[bytes]
    smtputf8: bool
    unsigned: Unsigned | None


def draft_message(
    skeleton: Skeleton,
    personal: Personal,
    signer: Signer | None,
    *,
    message_id: str,
    date: datetime,
    signed_at: datetime,
) -> Draft:
    """The message of one personalization, to be signed by ``signer`` if there is one.

    ``message_id`` is the whole field value. ``date`` is the message's own and the same in every attempt, ``signed_at``
    the time of this one; both know their zone. Raises NotComposable for what no message can be made of.
    """
    composed = skeleton.compose(personal, message_id=message_id, date=date)
    unsigned = None
    if signer is not None:
        body_hash = skeleton.body_hash(composed.body)
        unsigned = signer.unsigned(composed.header_fields, body_hash, int(signed_at.timestamp()))
    pieces: list[bytes] = []
    for name, value in composed.header_fields:
        # An empty value stands without the space: some relays trim it, which no signature should depend on.
        pieces += (name, b": ", value, b"\r\n") if value else (name, b":\r\n")
    pieces += (b"\r\n", composed.body)
    return Draft(pieces, composed.smtputf8, unsigned)


def finish(drafts: Sequence[Draft]) -> Iterator[Wire]:
    """The messages, signed: several at a time take less than one after the other. Each is joined as it is taken."""
    signatures = iter(dkim.sign_all([draft.unsigned for draft in drafts if draft.unsigned is not None]))
    return (
        Wire(
            b"".join(
                draft.pieces
                if draft.unsigned is None
                else (b"DKIM-Signature: ", next(signatures), b"\r\n", *draft.pieces)
            ),
            draft.smtputf8,
        )
        for draft in drafts
    )
