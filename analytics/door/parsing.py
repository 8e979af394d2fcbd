"""From the text of a query to one that has been checked, with the parser of the embedded engine.

The parser is that of the engine that runs the query, so the two cannot read a text differently. What runs is not the
client's text but that of the checked tree, and only after it was parsed once more into the same tree. In front of the
operator's own server the embedded engine only parses; its canonical text leaves the server nothing to read otherwise.
"""

from collections.abc import Mapping
from typing import Any, Protocol

import msgspec
from msgspec import Struct

from analytics.door import allowed
from analytics.door.checking import Asked, Reader, Tree, check, check_plain, not_read, shown_to_tenant
from analytics.door.failures import ErrorCode, QueryFailed, engine_failed, failed
from cluster.clickhouse_values import escaped

MOST_BYTES = 256 * 1024
"""Of a query's text, as ClickHouse's max_query_size."""
DEFAULT_FORMAT = "TabSeparated"

_PARSE = "SELECT parseQueryToJSON({query:String}) FORMAT TSVRaw"
_WRITE = "SELECT formatQueryFromJSON({query:String}) FORMAT TSVRaw"
_IN_ONE_LINE = "SELECT formatQuerySingleLine({query:String}) FORMAT TSVRaw"
_NO_TREE = "does not support JSON serialization"
_IN_SCOPE = ": In scope SELECT "

_OF_TENANT_TABLES = ", ".join(f"'{name}'" for name in sorted(allowed.OF_TENANTS))
_CHANGEABLE = ", ".join(f"'{name}'" for name in sorted(allowed.changeable()))
_REPLACED = {
    "settings": "SELECT * REPLACE (toUInt8(NOT (name IN (" + _CHANGEABLE + ") OR "
    f"match(name, '^{allowed.OUTPUT}$') AND NOT match(name, '{allowed.FILES}'))) AS readonly) FROM system.settings",
}
"""What everybody reads in place of system tables: of the settings, which a query may change here. Drivers look."""
_OF_TENANT = {
    "databases": "SELECT name, engine, '' AS data_path, '' AS metadata_path, uuid, '' AS engine_full, comment "
    "FROM system.databases WHERE name = currentDatabase()",
    "tables": "SELECT database, name, uuid, engine, is_temporary, CAST([], 'Array(String)') AS data_paths, "
    "'' AS metadata_path, metadata_modification_time, CAST([], 'Array(String)') AS dependencies_database, "
    "CAST([], 'Array(String)') AS dependencies_table, '' AS create_table_query, '' AS engine_full, '' AS as_select, "
    "partition_key, sorting_key, primary_key, sampling_key, '' AS storage_policy, CAST(NULL, 'Nullable(UInt64)') AS "
    "total_rows, CAST(NULL, 'Nullable(UInt64)') AS total_bytes, CAST(NULL, 'Nullable(UInt64)') AS parts, comment, "
    "has_own_data "
    f"FROM system.tables WHERE database = currentDatabase() AND name IN ({_OF_TENANT_TABLES})",
    "columns": "SELECT database, table, name, type, position, default_kind, default_expression, "
    "toUInt64(0) AS data_compressed_bytes, toUInt64(0) AS data_uncompressed_bytes, toUInt64(0) AS marks_bytes, "
    "comment, is_in_partition_key, is_in_sorting_key, is_in_primary_key, is_in_sampling_key, compression_codec, "
    "character_octet_length, numeric_precision, numeric_precision_radix, numeric_scale, datetime_precision "
    f"FROM system.columns WHERE database = currentDatabase() AND table IN ({_OF_TENANT_TABLES})",
}
"""What a tenant reads in place of system tables: nothing that counts rows or bytes of all tenants."""


class EngineConnection(Protocol):
    """A connection of the embedded engine."""

    def query(self, query: str, format: str = ..., params: Mapping[str, str] | None = ...) -> Any:
        """Raises RuntimeError."""


class Checked(Struct, frozen=True, kw_only=True):
    """A query that may run. ``text`` has neither a format nor settings."""

    text: str
    format: str
    settings: Mapping[str, str]


class Parser:
    """Checks queries. Its connection is used by one thread at a time."""

    def __init__(self, connection: EngineConnection, database: str) -> None:
        """``database``: of the tables."""
        self._connection = connection
        self._database = database
        self._replaced: dict[str, Tree] = {}

    def check(self, text: str, *, is_tenant: bool) -> Checked:
        """Check a text. Raises QueryFailed."""
        if len(text.encode(errors="surrogatepass")) > MOST_BYTES:
            raise failed(ErrorCode.QUERY_IS_TOO_LARGE, f"A query has at most {MOST_BYTES} bytes")
        reader = Reader(database=self._database, is_tenant=is_tenant, replaced=self._replacements(is_tenant))
        tree = self._tree(text)
        if is_tenant and isinstance(tree, dict) and (instead := shown_to_tenant(tree, self._database)):
            format_node = tree.get("format_ast")
            tree = self._tree(instead)
            if format_node is not None:
                tree["format_ast"] = format_node
        if isinstance(tree, str):
            checked, asked = check_plain(tree, reader)
        else:
            asked = check(tree, reader)
            checked = self._written(tree)
        if asked.format and asked.format not in allowed.FORMATS:
            raise failed(ErrorCode.UNKNOWN_FORMAT, f"Format {asked.format[:100]} is not available here")
        return Checked(text=checked, format=asked.format, settings=asked.settings)

    def _replacements(self, is_tenant: bool) -> Mapping[str, Tree]:
        if not self._replaced:
            self._replaced = {name: self._subquery(text) for name, text in {**_REPLACED, **_OF_TENANT}.items()}
        return self._replaced if is_tenant else {name: self._replaced[name] for name in _REPLACED}

    def _subquery(self, text: str) -> Tree:
        tree = self._tree(f"SELECT 1 FROM ({text}) AS t")
        tables = tree["list_of_selects"]["children"][0]["tables"]["children"]
        found: Tree = tables[0]["table_expression"]["subquery"]
        return found

    def _tree(self, text: str) -> Any:
        """The tree of a text; for a statement that has none, the statement in one line."""
        try:
            return _decoded(self._ask(_PARSE, text))
        except QueryFailed as error:
            if _NO_TREE in error.text:
                return self._ask(_IN_ONE_LINE, text)
            if "is not supported by parseQueryToJSON" in error.text:
                raise not_read() from None
            raise

    def _written(self, tree: Tree) -> str:
        encoded = msgspec.json.encode(tree).decode()
        text = self._ask(_WRITE, encoded)
        if _decoded(self._ask(_PARSE, text)) != tree:
            raise failed(ErrorCode.NOT_IMPLEMENTED, "This query cannot be checked: write it in another way")
        return text

    def _ask(self, statement: str, value: str) -> str:
        try:
            answer = self._connection.query(statement, "TSVRaw", params={"query": escaped(value)})
        except RuntimeError as error:
            found = engine_failed(str(error))
            # Without the door's own statement around it.
            reason, _, rest = found.text.partition(_IN_SCOPE)
            raise QueryFailed(found.code, reason + (f". ({rest.rpartition('. (')[2]}" if rest else "")) from None
        text: str = answer.bytes().decode(errors="replace")
        return text.removesuffix("\n")


def _decoded(text: str) -> Tree:
    try:
        tree: Tree = msgspec.json.decode(text)
    except (RecursionError, msgspec.DecodeError):
        raise failed(ErrorCode.QUERY_IS_TOO_LARGE, "The query is nested too deeply") from None
    return tree


def settings_of(asked: Asked | Checked, of_request: Mapping[str, str], caps: Mapping[str, int]) -> dict[str, str]:
    """The settings that a client may set and has set, those of the query over those of the request. ``caps``: the most
    of those that may be lowered. Raises QueryFailed for others."""
    found: dict[str, str] = {}
    for name, value in {**of_request, **asked.settings}.items():
        if name in allowed.TRANSPORT:
            continue
        if name in caps:
            found[name] = str(_lowered(value, caps[name]))
        elif allowed.may_set(name):
            found[name] = value
        else:
            raise failed(ErrorCode.UNKNOWN_SETTING, f"Setting {name[:100]} cannot be changed here")
    return found


def _lowered(value: str, most: int) -> int:
    try:
        wanted = int(float(value))
    except (ValueError, OverflowError):
        return most
    return min(wanted, most) if wanted > 0 else most
