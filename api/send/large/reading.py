"""Reads a request from a large body: inflates, counts and decodes it. Takes seconds of CPU time at most. Pure."""

from api.http.inflating import Gunzip
from api.http.refusals import Invalid, Unparseable
from api.send.drafts import Dialect, Draft
from api.send.large.crowding import crowded
from api.send.notes import Notes

PIECE_BYTES = 64 * 1024


def read_draft(dialect: Dialect, body: bytes, notes: Notes) -> Draft:
    """Decode an inflated body. ``notes`` gets the unknown fields. Raises Invalid, Unparseable."""
    if not body:
        raise Unparseable("The body is empty", "json_invalid")
    if (fault := crowded(body)) is not None:
        raise Invalid([fault])
    return dialect.read(body, notes)


def inflated(body: bytes, limit: int) -> bytes:
    """A gzip body, inflated to at most ``limit`` bytes. Raises TooLarge, Invalid."""
    gunzip = Gunzip(limit)
    pieces = [gunzip.feed(body[start : start + PIECE_BYTES]) for start in range(0, len(body), PIECE_BYTES)]
    gunzip.end()
    return b"".join(pieces)
