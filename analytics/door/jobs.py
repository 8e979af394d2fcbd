"""A checked query on its way to an engine, and what comes back."""

from collections.abc import Mapping
from typing import Protocol

from msgspec import Struct

from analytics.door.parsing import Checked

COMPRESSIONS = frozenset({"br", "deflate", "gzip", "lz4", "zstd"})
"""Of answers: the names that both ClickHouse and HTTP know."""
READ_BYTES = 64 * 1024
"""Of an answer, at once."""


class Job(Struct, frozen=True, kw_only=True):
    """A query to run. ``settings``: by name, as texts. ``parameters``: as the client wrote them, escaped as in TSV.
    ``compression``: one of COMPRESSIONS; "" for none."""

    query: Checked
    format: str
    settings: Mapping[str, str]
    parameters: Mapping[str, str]
    database: str
    compression: str = ""


class Totals(Struct, frozen=True, kw_only=True):
    """What a query that has ended read and returned."""

    read_rows: int
    read_bytes: int
    result_rows: int
    elapsed_ns: int


class RunningQuery(Protocol):
    """A query that runs."""

    async def read(self) -> bytes:
        """The next bytes of the answer; none when it is complete. Raises QueryFailed."""

    async def close(self) -> None:
        """End the query if it still runs."""

    @property
    def totals(self) -> Totals | None:
        """What the query did, once it has ended well."""


class Backend(Protocol):
    """What runs queries."""

    async def open(self) -> None:
        """Call it once, before the others. Raises OSError."""

    async def check(self, text: str, *, is_tenant: bool) -> Checked:
        """Check a query's text. Raises QueryFailed."""

    async def start(self, job: Job) -> RunningQuery:
        """Begin to run a query. Raises QueryFailed."""

    def hold(self) -> bool:
        """Let queries wait for a moment, where they take cores from this machine. Returns whether they wait already."""

    async def close(self) -> None:
        """End."""
