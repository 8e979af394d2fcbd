"""One message, from a request's skeleton to the octets of an SMTP transaction.

The delivery actor calls ``compose_message`` for each message it has claimed. Never does: dot-stuffing (that belongs to
DATA alone; BDAT sends the octets as they are), storing, sending.
"""

from collections.abc import Iterable
from datetime import datetime

from msgspec import Struct

from actors.compose import fields
from actors.compose.dkim import Signer
from actors.compose.mime import Skeleton
from cluster.journal.records import Personal


class Wire(Struct, frozen=True):
    """A complete RFC 5322 message with CRLF line ends, and whether SMTP has to carry it with SMTPUTF8."""

    data: bytes
    smtputf8: bool


def compose_message(
    skeleton: Skeleton,
    personal: Personal,
    signer: Signer | None,
    *,
    message_id: str,
    date: datetime,
    signed_at: datetime,
    envelope: Iterable[str] = (),
) -> Wire:
    """The message of one personalization, signed by ``signer`` if there is one.

    ``message_id`` is the whole field value. ``date`` is the message's own and the same in every attempt, ``signed_at``
    the time of this one; both know their zone. ``envelope``: the addresses of the transaction, which may need SMTPUTF8
    where the header does not (a blind copy). Raises NotComposable for what no message can be made of.
    """
    composed = skeleton.compose(personal, message_id=message_id, date=date)
    pieces: list[bytes] = []
    if signer is not None:
        body_hash = skeleton.body_hash(composed.body)
        signature = signer.sign(composed.header_fields, body_hash, int(signed_at.timestamp()))
        pieces += (b"DKIM-Signature: ", signature, b"\r\n")
    for name, value in composed.header_fields:
        # An empty value stands without the space: some relays trim it, which no signature should depend on.
        pieces += (name, b": ", value, b"\r\n") if value else (name, b":\r\n")
    pieces += (b"\r\n", composed.body)
    smtputf8 = composed.smtputf8 or any(fields.address(email)[1] for email in envelope)
    return Wire(b"".join(pieces), smtputf8)
