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
    """Whether the client asks for a CSV file, rather than for JSON."""
    weights = accepted(request.scope)
    return weights.get("text/csv", 0.0) > weights.get("application/json", 0.0)


def csv_file(head: Sequence[str], rows: Iterable[Sequence[str | int]]) -> Response[Any]:
    """A file with a header line."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(head)
    writer.writerows(rows)
    return Response(text.getvalue().encode(), media_type=CSV)
