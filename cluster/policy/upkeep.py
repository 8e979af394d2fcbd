"""Upkeep of the hot tables: which of them take far more room than their rows need. Pure.

After a long outage the queue's table and indexes are as large as at its top. Postgres uses the room again, and vacuum
gives back the end of a table's file while it is empty, but never a page of an index, and nothing before the last row.
"""

from collections.abc import Mapping
from types import MappingProxyType

from msgspec import Struct

MIB = 1024**2


class Widths(Struct, frozen=True):
    """What a row needs, in bytes, or a little more."""

    row: int
    entries: int
    """In all indexes together."""
    movable: bool = False
    """Whether a row may stay for long; the others leave the end of the file by themselves."""


HOT: Mapping[str, Widths] = MappingProxyType(
    {"deliveries": Widths(row=250, entries=200, movable=True), "event_log": Widths(row=2000, entries=50)}
)
"""The tables whose rows come and go. What event_log keeps out of line is not in ``row``."""
CHUNK = 2048
"""A row of a table for values out of line takes about a quarter of a page."""

LEAST = 16 * MIB
"""Smaller files are left alone: it is nothing beside other files."""
LARGE = 3.0
"""Larger than what its rows need, by this factor, is too large."""
FEWER = 1.2
"""When rows have become fewer by this factor since files were large, or since they were seen to, files are looked at
most carefully: in the end they are as small as their rows, however slowly the queue gets shorter."""
SMALL = MIB // 4
RESTS = 60
"""Looks for which a table that was seen to is left alone, unless its rows become fewer: under a steady load, what ended
since the last vacuum may take as much."""
TRIES = 6
"""How often in a row a table is seen to whose file stays too large: vacuum cuts no end off while a transaction uses the
table."""
CALM, FEW = 0.95, 1000
"""While fewer than this share of the rows are left from one look to the next, and ``FEW`` fewer at least, all that is
done would soon be to do again."""
MOST_MOVED = 500_000
"""In a queue of more, rows are not moved: its file has its length for a reason."""
MOST_INDEXED = 2_000_000
"""An index with more entries takes longer to build than vacuum should wait."""


class HotTable(Struct, frozen=True, kw_only=True):
    """What was measured of a table."""

    name: str
    rows: int
    bytes: int
    index_bytes: int
    chunks: int = 0
    """Rows of its table for values out of line."""
    chunk_bytes: int = 0
    """Size of that table with its index."""

    @property
    def needs(self) -> int:
        """Bytes that its rows need."""
        return self.rows * HOT[self.name].row

    @property
    def indexes_need(self) -> int:
        return self.rows * HOT[self.name].entries

    @property
    def chunks_need(self) -> int:
        return self.chunks * CHUNK


class Past(Struct, frozen=True):
    """What is remembered of a table."""

    looked: int | None = None
    """How many rows it had at the last look; None before the first."""
    most: int = 0
    """The most rows that it had while its files were large, since it was seen to, or when it was seen to."""
    rests: int = 0
    """Looks for which it is left alone."""
    tries: int = 0
    """How often in a row it was seen to and its file stayed too large."""

    def after_look(self, table: HotTable, least: int = LEAST) -> "Past":
        is_large = max(table.bytes, table.chunk_bytes, table.index_bytes) > least
        most = max(self.most, table.rows) if is_large else self.most
        return Past(looked=table.rows, most=most, rests=max(0, self.rests - 1), tries=self.tries)

    def after_work(self, table: HotTable, then: HotTable, least: int = LEAST) -> "Past":
        """``table``: as it was when its rows were counted. ``then``: as it is after the work."""
        again = Past(looked=then.rows, most=self.most, tries=self.tries + 1)
        if again.tries < TRIES and upkeep(then, again, least).vacuum:
            return again
        return Past(looked=table.rows, most=table.rows, rests=RESTS)


class Upkeep(Struct, frozen=True):
    """What to do with a table."""

    vacuum: bool = False
    """Its file is too large: vacuum gives back its end."""
    move: bool = False
    """The rows that are left at the end of its file are few: they move to its front."""
    rebuild: bool = False
    """Its indexes are too large."""

    def __bool__(self) -> bool:
        return self.vacuum or self.rebuild


NOTHING = Upkeep()


def upkeep(table: HotTable, past: Past, least: int = LEAST) -> Upkeep:
    """``least``: smaller files are left alone."""
    if past.looked is None or table.rows < min(past.looked * CALM, past.looked - FEW):
        return NOTHING
    large = LARGE
    if past.most > table.rows * FEWER:
        least, large = min(least, SMALL), FEWER
    elif past.rests:
        return NOTHING
    has_large_file = table.bytes > max(least, large * table.needs)
    has_large_chunks = table.chunk_bytes > max(least, large * table.chunks_need)
    has_large_indexes = table.index_bytes > max(least, large * table.indexes_need)
    return Upkeep(
        vacuum=has_large_file or has_large_chunks,
        move=has_large_file and HOT[table.name].movable and table.rows <= MOST_MOVED,
        rebuild=(has_large_indexes or has_large_chunks) and table.rows <= MOST_INDEXED,
    )
