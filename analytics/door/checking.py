"""Whether a query may run, decided on the tree that ClickHouse's parser makes of it. Pure.

Every node, key and name of the tree must be on a list. What a query says of its format and of settings is taken out of
the tree: the door sets both. Tables of tenants are filtered when they are read (``filters.of_tenant``); the filters
know nothing of expressions that run before them, so a tenant's query may not bring any (PREWHERE), nor look at how rows
lie in parts.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from msgspec import Struct

from analytics.door import allowed, nodes
from analytics.door.failures import ErrorCode, failed

Tree = dict[str, Any]

MOST_DEPTH = 250
"""Levels of the tree; Python's own limit is near a thousand calls."""

_OF_PARTS = re.compile(r"_(?:part|block|row|sample|disk|distance|table|database|shard)", re.IGNORECASE)
"""Virtual columns that tell how the rows of all tenants lie in parts."""
_PLAIN = re.compile(
    r"(?P<what>DESCRIBE TABLE|EXISTS TABLE|EXISTS VIEW|EXISTS DATABASE|SHOW CREATE TABLE|SHOW CREATE VIEW) "
    r"(?:(?P<database>\w+|`\w+`)\.)?(?P<name>\w+|`\w+`)(?: FORMAT (?P<format>\w+))?",
    re.ASCII,
)
"""Statements that the parser makes no tree of, as ClickHouse itself formats them."""
_EXPLAINED = frozenset({"EXPLAIN", "EXPLAIN SYNTAX", "EXPLAIN QUERY TREE", "EXPLAIN PIPELINE", "EXPLAIN AST"})
_SHOWS = frozenset({"ShowTablesQuery", "ShowColumnsQuery"})
_OUTFILE = ("append", "truncate")


_CTE = "WITH "
"""Before the names of common table expressions in what runs. No table has it: where ClickHouse looks for such a name in
another scope than this module, as in the expression itself and in ``view``, it finds nothing instead of a table that
was not checked."""


class Reader(Struct, frozen=True, kw_only=True):
    """For whom a query is checked. ``replaced``: nodes that take the place of system tables, by name."""

    database: str
    is_tenant: bool
    replaced: Mapping[str, Tree] = {}


class Asked(Struct, frozen=True, kw_only=True):
    """What a query says of itself. ``format``: "" when it names none."""

    format: str = ""
    settings: Mapping[str, str] = {}


def check(tree: Tree, reader: Reader) -> Asked:
    """Check a query and take its format and settings out of ``tree``, which is changed. Raises QueryFailed."""
    kind = tree.get("type")
    if tree.get("out_file") or tree.get("compression") or any(tree.get(f"is_outfile_{how}") for how in _OUTFILE):
        raise failed(ErrorCode.ACCESS_DENIED, "INTO OUTFILE is not available here: the answer goes to the client")
    asked = _asked(tree)
    try:
        if kind == "ExplainQuery":
            _check_explain(tree, reader)
        elif kind in _SHOWS:
            _check_show(tree, reader)
        elif kind == "SelectWithUnionQuery":
            _Walk(reader).visit(tree, frozenset(), 0)
        else:
            raise not_read()
    except RecursionError:
        raise _too_deep() from None
    return asked


def check_plain(line: str, reader: Reader) -> tuple[str, Asked]:
    """Check a statement without a tree, in one line as ClickHouse formats it. Returns it without its format. Raises
    QueryFailed."""
    found = _PLAIN.fullmatch(line)
    if found is None:
        raise not_read()
    what, name = found["what"], found["name"].strip("`")
    database = (found["database"] or "").strip("`")
    if what == "EXISTS DATABASE":
        text = f"SELECT {int(name == reader.database or (not reader.is_tenant and name == 'system'))} AS result"
    elif what.startswith("EXISTS") and not _may_read((database, name) if database else (name,), reader):
        text = "SELECT 0 AS result"
    else:
        require_table((database, name) if database else (name,), reader)
        text = f"{what} `{database or reader.database}`.`{name}`"
    return text, Asked(format=found["format"] or "")


def not_read() -> Exception:
    """The error for a statement that is none of those that read."""
    return failed(
        ErrorCode.ACCESS_DENIED, "Only SELECT, SHOW, DESCRIBE, EXISTS and EXPLAIN may run here: the login is read-only"
    )


def require_table(parts: tuple[str, ...], reader: Reader) -> None:
    """Raises QueryFailed unless the table may be read."""
    if not _may_read(parts, reader):
        shown = ".".join(parts)[:100]
        raise failed(ErrorCode.ACCESS_DENIED, f"Table {shown} cannot be read with this login")


def _may_read(parts: tuple[str, ...], reader: Reader) -> bool:
    if len(parts) == 1 or (len(parts) == 2 and parts[0] == reader.database):
        return not reader.is_tenant or parts[-1] in allowed.OF_TENANTS
    if len(parts) != 2:
        return False
    database, table = parts
    if database == "system":
        if reader.is_tenant:
            return table in allowed.SYSTEM_TABLES_OF_TENANTS
        return table in allowed.SYSTEM_TABLES
    if database in ("information_schema", "INFORMATION_SCHEMA"):
        return not reader.is_tenant and table.lower() in allowed.INFORMATION_SCHEMA
    return False


def _asked(tree: Tree) -> Asked:
    """What the query says of its format and settings, which leave the tree. Settings of a single SELECT, before its
    FORMAT, are of the whole query."""
    settings: dict[str, str] = {}
    format_node = tree.pop("format_ast", None)
    given = [tree.pop("settings_ast", None)]
    selects = (tree.get("list_of_selects") or {}).get("children") or []
    if selects:
        # After the last SELECT of several, they stand for all.
        given.append(selects[-1].pop("settings", None))
    for node in given:
        for change in (node or {}).get("changes", ()):
            settings[change["name"]] = _setting(change)
        if node and node.keys() - {"type", "changes", "is_standalone"}:
            raise failed(ErrorCode.ACCESS_DENIED, "Settings may only be given values here")
    if format_node is not None and format_node.get("type") != "Identifier":
        raise failed(ErrorCode.UNKNOWN_FORMAT, "The format must be a name")
    return Asked(format=format_node["name"] if format_node else "", settings=settings)


def _setting(change: Tree) -> str:
    value = change["value"]
    kind, text = value.get("field_type"), value.get("value")
    if kind == "Bool":
        return str(int(text))
    if kind not in ("UInt64", "Int64", "Float64", "String"):
        raise failed(ErrorCode.BAD_ARGUMENTS, f"The value of setting {change['name'][:100]} must be a number or a text")
    return str(text)


def _check_explain(tree: Tree, reader: Reader) -> None:
    if reader.is_tenant:
        raise failed(ErrorCode.ACCESS_DENIED, "EXPLAIN needs the operator's login")
    query = tree.get("query")
    if tree.get("kind") not in _EXPLAINED or tree.get("settings") or not isinstance(query, dict):
        raise failed(ErrorCode.ACCESS_DENIED, "This kind of EXPLAIN is not available here")
    if query.get("type") != "SelectWithUnionQuery" or query.get("out_file"):
        raise not_read()
    _Walk(reader).visit(query, frozenset(), 0)


def _check_show(tree: Tree, reader: Reader) -> None:
    kind = tree["type"]
    database = tree.get("database") or (tree.get("from") or {}).get("name") or reader.database
    flags = {key for key, value in tree.items() if value not in (False, None)}
    plain = {"type", "like", "not_like", "case_insensitive_like", "limit_length"}
    if kind == "ShowColumnsQuery":
        if not flags <= plain | {"table", "database", "full", "extended"}:
            raise not_read()
        require_table((database, tree.get("table", "")), reader)
        return
    if reader.is_tenant:
        # Not the server's other tables: replaced below by the caller.
        raise failed(ErrorCode.ACCESS_DENIED, "Read system.tables and system.databases instead of SHOW with conditions")
    if flags <= plain | {"databases"} or flags <= plain | {"settings"} or flags <= plain | {"full"}:
        return
    if flags <= plain | {"from", "full"} and database in (reader.database, "system"):
        return
    raise not_read()


def shown_to_tenant(tree: Tree, database: str) -> str | None:
    """The query in place of a tenant's plain SHOW TABLES or SHOW DATABASES; None for another statement."""
    if tree.get("type") != "ShowTablesQuery":
        return None
    flags = {key for key, value in tree.items() if value not in (False, None)} - {"format_ast"}
    if flags == {"type", "databases"}:
        return "SELECT name FROM system.databases"
    if flags == {"type"} or (flags == {"type", "from"} and tree["from"].get("name") == database):
        return "SELECT name FROM system.tables ORDER BY name"
    return None


class _Walk:
    """One pass over a tree."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def visit(self, node: Tree, named: frozenset[str], depth: int) -> None:
        """``named``: the names of common table expressions in scope."""
        if depth > MOST_DEPTH:
            raise _too_deep()
        kind = node.get("type")
        if kind not in nodes.TYPES:
            raise failed(ErrorCode.ACCESS_DENIED, f"A query with {str(kind)[:100]} cannot run here")
        if unknown := [key for key, value in node.items() if key not in nodes.KEYS and value not in (False, None, "")]:
            raise failed(ErrorCode.ACCESS_DENIED, f"A query with {unknown[0]} in {kind} cannot run here")
        if kind in ("SelectQuery", "SelectWithUnionQuery") and (node.get("settings") or node.get("settings_ast")):
            raise failed(ErrorCode.ACCESS_DENIED, "SETTINGS may stand at the end of the whole query only")
        if node.get("format_ast") or node.get("out_file"):
            raise failed(ErrorCode.ACCESS_DENIED, "A subquery has no FORMAT")
        if kind == "Literal":
            return
        if kind == "WithElement":
            node["name"] = _CTE + node["name"]
        if kind == "SelectQuery":
            named |= _with_names(node)
        elif kind == "SelectWithUnionQuery":
            # ClickHouse gives what the first SELECT names to the others too.
            first = ((node.get("list_of_selects") or {}).get("children") or [{}])[0]
            named |= _with_names(first)
        elif kind == "Function":
            self._function(node, named)
        elif kind == "TableIdentifier":
            self._table(node, named)
            return
        elif kind == "Identifier":
            self._identifier(node)
            return
        elif kind == "QueryParameter" and node.get("param_type") == "Identifier":
            raise failed(ErrorCode.ACCESS_DENIED, "Parameters of the type Identifier are not available here")
        elif kind == "ColumnsApplyTransformer" and (name := node.get("func_name")) and not allowed.may_call(name):
            raise _no_function(name)
        elif kind == "TableExpression" and self._replaces(node):
            return
        if self._reader.is_tenant and node.get("prewhere"):
            raise failed(ErrorCode.ACCESS_DENIED, "PREWHERE needs the operator's login: write WHERE")
        for key, value in node.items():
            if key == "table_function":
                self._inside(list(value.values()), named, depth + 1)  # not its name: that is no function's
            else:
                self._inside(value, named, depth + 1)

    def _inside(self, value: Any, named: frozenset[str], depth: int) -> None:
        if isinstance(value, dict):
            self.visit(value, named, depth)
        elif isinstance(value, list):
            for one in value:
                self._inside(one, named, depth)

    def _function(self, node: Tree, named: frozenset[str]) -> None:
        name = node.get("name", "")
        if not allowed.may_call(name):
            raise _no_function(name)
        arguments = (node.get("arguments") or {}).get("children") or []
        if name.lower() in allowed.IN and len(arguments) > 1 and arguments[1].get("type") == "Identifier":
            # A table, or a common table expression; no column may stand here.
            self._table(arguments[1], named)

    def _replaces(self, node: Tree) -> bool:
        """Check what a table expression names; whether it was replaced by what may be read in its place."""
        function, table = node.get("table_function"), node.get("database_and_table_name")
        if function is not None:
            name = function.get("name", "")
            if name.lower() not in allowed.TABLE_FUNCTIONS:
                raise failed(ErrorCode.ACCESS_DENIED, f"Table function {name[:100]} cannot be used here")
        if table is not None:
            parts = _parts(table)
            if len(parts) == 2 and parts[0] == "system" and (instead := self._reader.replaced.get(parts[1])):
                alias = table.get("alias") or parts[1]
                node.clear()
                node |= {"type": "TableExpression", "subquery": {**instead, "alias": alias}}
                return True
        return False

    def _table(self, node: Tree, named: frozenset[str]) -> None:
        parts = _parts(node)
        if len(parts) == 1 and parts[0] in named:
            if node["type"] == "TableIdentifier":
                node.setdefault("alias", parts[0])
            node["name"] = _CTE + parts[0]
            if "name_parts" in node:
                node["name_parts"] = [node["name"]]
            return
        require_table(parts, self._reader)

    def _identifier(self, node: Tree) -> None:
        if node.get("children"):
            raise failed(ErrorCode.ACCESS_DENIED, "Parameters of the type Identifier are not available here")
        if self._reader.is_tenant and any(_OF_PARTS.match(part) for part in _parts(node)):
            raise failed(ErrorCode.ACCESS_DENIED, f"Column {node['name'][:100]} needs the operator's login")


def _parts(node: Tree) -> tuple[str, ...]:
    """The parts of a name. Raises QueryFailed for a name with a parameter, and for an empty one."""
    parts = tuple(node.get("name_parts") or (node.get("name", ""),))
    if node.get("children") or not all(parts) or (len(parts) > 2 and node["type"] == "TableIdentifier"):
        raise failed(ErrorCode.ACCESS_DENIED, "Parameters of the type Identifier are not available here")
    return parts


def _with_names(select: Tree) -> frozenset[str]:
    children: Iterable[Tree] = (select.get("with") or {}).get("children") or ()
    return frozenset(one["name"] for one in children if one.get("type") == "WithElement")


def _no_function(name: str) -> Exception:
    return failed(ErrorCode.ACCESS_DENIED, f"Function {name[:100]} cannot be used here")


def _too_deep() -> Exception:
    return failed(ErrorCode.QUERY_IS_TOO_LARGE, "The query is nested too deeply")
