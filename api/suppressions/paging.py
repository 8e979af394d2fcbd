"""Pages of a list, the newest first: by offset, or after the last entry of the page before, which is as fast."""

import base64
import binascii
from datetime import UTC, datetime
from typing import Annotated
from urllib.parse import urlencode

from litestar.params import QueryParameter

from api.http.body import ApiRequest
from api.http.refusals import Fault, Invalid
from cluster.journal.suppressions import Suppression

Offset = Annotated[int, QueryParameter(ge=0, le=2**63 - 1)]
After = Annotated[str | None, QueryParameter(max_length=1000)]
"""The position of an entry, as ``next_page`` writes it."""


def next_page(request: ApiRequest, entry: Suppression) -> str:
    """A Link header (RFC 8288) to the page after an entry."""
    at = f"{entry.created_at.astimezone(UTC).isoformat()} {entry.address}"
    after = base64.urlsafe_b64encode(at.encode()).decode()
    query = {name: value for name, value in request.query_params.items() if name not in ("after", "offset")}
    return f'<{request.url.path}?{urlencode({**query, "after": after})}>; rel="next"'


def position(after: str | None) -> tuple[datetime, str] | None:
    """The time and the address of the entry that ``next_page`` wrote. Raises Invalid."""
    if after is None:
        return None
    try:
        moment, _, address = base64.urlsafe_b64decode(after).decode().partition(" ")
        at = datetime.fromisoformat(moment)
    except (ValueError, binascii.Error):
        raise Invalid([Fault("Take it from the Link header of a page", "after")]) from None
    if at.tzinfo is None or "\0" in address:
        raise Invalid([Fault("Take it from the Link header of a page", "after")])
    return at, address
