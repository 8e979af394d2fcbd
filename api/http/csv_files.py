"""CSV files (RFC 4180) as answers."""

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Any

from litestar import Response

from api.http.access import CSV_FILE
from api.http.body import ApiRequest
from api.http.media import accepted
from api.http.routes import access_of

CSV = "text/csv; header=present"
"""Litestar adds the charset."""


def wants_csv(request: ApiRequest) -> bool:
    """Whether the client asks for a CSV file, rather than for JSON."""
    weights = accepted(request.scope)
    return weights.get("text/csv", 0.0) > weights.get("application/json", 0.0)


def may_have_csv(request: ApiRequest) -> bool:
    """Whether to answer with a CSV file, on routes where it takes a scope of its own. Raises Forbidden when the key may
    not have one."""
    if not wants_csv(request):
        return False
    access_of(request.route_handler).require(request.auth, CSV_FILE)
    return True


def csv_file(head: Sequence[str], rows: Iterable[Sequence[str | int]]) -> Response[Any]:
    """A file with a header line."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(head)
    writer.writerows(rows)
    return Response(text.getvalue().encode(), media_type=CSV)
