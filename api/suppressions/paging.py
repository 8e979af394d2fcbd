"""Pages of a list, the newest first: by offset, or after the last entry of the page before, which is as fast."""

import base64
import binascii
from datetime import UTC
from typing import Annotated
from urllib.parse import urlencode

import msgspec
from litestar.params import QueryParameter

from api.http.body import ApiRequest
from api.http.refusals import Fault, Invalid
from cluster.journal.suppressions import Position, Suppression

Offset = Annotated[int, QueryParameter(ge=0, le=2**63 - 1)]
After = Annotated[str | None, QueryParameter(max_length=1000)]
"""The position of an entry, as ``next_page`` writes it."""
_POSITION = msgspec.json.Decoder(Position)


def place_of(entry: Suppression) -> Position:
    """Where an entry of one list stands."""
    return Position(entry.created_at.astimezone(UTC), entry.address)


def next_page(request: ApiRequest, last: Position) -> str:
    """A Link header (RFC 8288) to the page after an entry."""
    after = base64.urlsafe_b64encode(msgspec.json.encode(last)).decode()
    query = {name: value for name, value in request.query_params.items() if name not in ("after", "offset")}
    return f'<{request.url.path}?{urlencode({**query, "after": after})}>; rel="next"'


def position(after: str | None) -> Position | None:
    """Where the entry stands that ``next_page`` named. Raises Invalid."""
    if after is None:
        return None
    try:
        found = _POSITION.decode(base64.urlsafe_b64decode(after))
    except (ValueError, binascii.Error, msgspec.DecodeError):
        found = None
    if found is None or "\0" in found.address:
        raise Invalid([Fault("Take it from the Link header of a page", "after")])
    return found
