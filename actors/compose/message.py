"""Messages, from a request's skeleton to the octets of an SMTP transaction.

The delivery actor drafts each message that it has claimed and finishes several together. This module does not
dot-stuff (only DATA needs that; BDAT sends the octets as they are), store or send.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime

from msgspec import Struct

from actors.compose import dkim
from actors.compose.dkim import Signer, Unsigned
from actors.compose.skeleton import Skeleton
from actors.compose.transform import Addressee
from cluster.journal.records import PreparedPersonalization
from cluster.templates.compiled import Filled


class WireMessage(Struct, frozen=True):
    """A complete RFC 5322 message with CRLF line ends, and whether its header asks for SMTPUTF8. The addresses of a
    transaction may ask for that as well."""

    data: bytes
    smtputf8: bool
    downgraded: bytes | None = None
    """The message for a host without SMTPUTF8, if its header has such a form."""


class Draft(Struct, frozen=True):
    """A message before it is signed, if it is to be signed."""

    pieces: list[bytes]
    smtputf8: bool
    unsigned: Sequence[Unsigned] = ()
    """Its signatures, in the order of their fields."""
    downgraded: "Draft | None" = None


def draft_message(
    skeleton: Skeleton,
    personalization: PreparedPersonalization,
    signer: Signer | None,
    *,
    message_id: str,
    date: datetime,
    signed_at: datetime,
    addressee: Addressee | None = None,
    filled: Filled | None = None,
    feedback_id: bytes = b"",
) -> Draft:
    """The message of one personalization, to be signed by ``signer`` if there is one.

    ``message_id`` is the whole field value. ``date`` is the same in every attempt, ``signed_at`` is the time of this
    attempt; both are timezone-aware. ``addressee``: the recipient of a copy, if each recipient gets one. ``filled``:
    the result of ``Skeleton.fill`` for this message, if it is at hand. ``feedback_id``: the value of Feedback-ID unless
    the sender gives one. Raises NotComposable when the message cannot be
    composed.
    """
    composed = skeleton.compose(
        personalization, message_id=message_id, date=date, addressee=addressee, filled=filled, feedback_id=feedback_id
    )
    body_hash = skeleton.body_hash(composed.body, composed.relaxed) if signer is not None else b""
    at = int(signed_at.timestamp())
    downgraded = None
    if composed.downgraded is not None:
        downgraded = _draft(composed.downgraded, composed.body, False, signer, body_hash, at)
    return _draft(
        composed.header_fields,
        composed.body,
        composed.smtputf8,
        signer,
        body_hash,
        at,
        downgraded=downgraded,
        header=composed.header,
    )


def _draft(
    header_fields: tuple[tuple[bytes, bytes], ...],
    body: bytes,
    smtputf8: bool,
    signer: Signer | None,
    body_hash: bytes,
    signed_at: int,
    *,
    downgraded: Draft | None = None,
    header: bytes | None = None,
) -> Draft:
    pieces = _lines(header_fields) if header is None else [header]
    pieces += (b"\r\n", body)
    unsigned = signer.unsigned(header_fields, body_hash, signed_at) if signer is not None else ()
    return Draft(pieces, smtputf8, unsigned, downgraded)


def _lines(header_fields: Iterable[tuple[bytes, bytes]]) -> list[bytes]:
    pieces: list[bytes] = []
    for name, value in header_fields:
        # An empty value has no space before it: some relays trim that space, and no signature should depend on it.
        pieces += (name, b": ", value, b"\r\n") if value else (name, b":\r\n")
    return pieces


def finish(drafts: Sequence[Draft]) -> Iterator[WireMessage]:
    """The messages, signed: several at a time take less time than one by one. Each is joined when the iterator yields
    it."""
    forms = [form for draft in drafts for form in (draft, draft.downgraded) if form is not None]
    signatures = iter(dkim.sign_all([one for form in forms for one in form.unsigned]))
    octets = (_joined(form, signatures) for form in forms)
    return (
        WireMessage(next(octets), draft.smtputf8, None if draft.downgraded is None else next(octets))
        for draft in drafts
    )


def _joined(form: Draft, signatures: Iterator[bytes]) -> bytes:
    pieces: list[bytes] = []
    for _ in form.unsigned:
        pieces += (b"DKIM-Signature: ", next(signatures), b"\r\n")
    pieces += form.pieces
    return b"".join(pieces)
