"""CSV files (RFC 4180) as answers."""

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Any

from litestar import Response

from api.http.body import ApiRequest
from api.http.media import accepted

CSV = "text/csv; charset=utf-8; header=present"


def wants_csv(request: ApiRequest) -> bool:
    """Whether the client asks for a CSV file, and for nothing else that there is."""
    named = accepted(request.scope)
    return "text/csv" in named and "application/json" not in named


def csv_file(head: Sequence[str], rows: Iterable[Sequence[str | int]]) -> Response[Any]:
    """A file with a header line."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(head)
    writer.writerows(rows)
    return Response(text.getvalue().encode(), media_type=CSV)
