"""The CSV file of a query, marked for spreadsheets: no text in it is computed that begins as a formula does. Pure."""

import re

from cluster.suppression.cells import BEGINNINGS, written

_CELL = re.compile(rb'"((?:[^"]|"")*+)"')
"""ClickHouse has quotes around texts and dates, and around no number."""
_ANY = re.compile(rb'(?:\A|[,\n])"\'*[%b]' % re.escape("".join(BEGINNINGS)).encode())


def marked(data: bytes) -> bytes:
    """The file by the rule of ``cluster/suppression/cells``."""
    return _CELL.sub(_marked, data) if _ANY.search(data) else data


def _marked(cell: re.Match[bytes]) -> bytes:
    return b'"%b"' % written(cell[1].decode("latin-1")).encode("latin-1")  # a mark is ASCII: bytes stay as they are
