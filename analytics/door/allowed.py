"""What a query may name: table functions, functions, formats, settings, system tables. Pure lists; whatever is not on
one is refused, so that what a later version of ClickHouse brings is refused until someone has looked at it."""

import re
from functools import cache
from importlib import resources

from analytics.erasing import TABLES

VIEWS_OF_TENANTS = ("events_once", "engagement")
"""Views over ``TABLES`` alone."""
OF_TENANTS = frozenset({*TABLES, *VIEWS_OF_TENANTS})
"""The tables and views that a tenant may read."""

TABLE_FUNCTIONS = frozenset({"numbers", "zeros", "values", "generateseries", "generate_series", "view"})
"""In lower case. They make rows from their arguments."""

IN = frozenset(
    {
        "in",
        "notin",
        "globalin",
        "globalnotin",
        "nullin",
        "notnullin",
        "globalnullin",
        "globalnotnullin",
    }
)
"""In lower case: functions whose second argument may be the name of a table."""

SYSTEM_TABLES = frozenset(
    {
        "aggregate_function_combinators",
        "asynchronous_metrics",
        "build_options",
        "collations",
        "columns",
        "contributors",
        "data_skipping_indices",
        "data_type_families",
        "databases",
        "detached_parts",
        "disks",
        "errors",
        "events",
        "formats",
        "functions",
        "keywords",
        "licenses",
        "merge_tree_settings",
        "merges",
        "metrics",
        "mutations",
        "numbers",
        "one",
        "parts",
        "parts_columns",
        "processes",
        "settings",
        "table_engines",
        "table_functions",
        "tables",
        "time_zones",
        "zeros",
    }
)
"""Those that the operator may read."""
SYSTEM_TABLES_OF_TENANTS = frozenset(
    {
        "aggregate_function_combinators",
        "collations",
        "data_type_families",
        "formats",
        "functions",
        "keywords",
        "numbers",
        "one",
        "settings",
        "table_functions",
        "time_zones",
        "zeros",
    }
)
"""Those that say nothing of the data. ``databases``, ``tables`` and ``columns`` are replaced (``checking``)."""
INFORMATION_SCHEMA = frozenset({"columns", "schemata", "tables", "views"})

FORMATS = frozenset(
    {
        "Arrow",
        "ArrowStream",
        "Avro",
        "BSONEachRow",
        "CSV",
        "CSVWithNames",
        "CSVWithNamesAndTypes",
        "JSON",
        "JSONColumns",
        "JSONColumnsWithMetadata",
        "JSONCompact",
        "JSONCompactColumns",
        "JSONCompactEachRow",
        "JSONCompactEachRowWithNames",
        "JSONCompactEachRowWithNamesAndTypes",
        "JSONCompactStrings",
        "JSONCompactStringsEachRow",
        "JSONCompactStringsEachRowWithNames",
        "JSONCompactStringsEachRowWithNamesAndTypes",
        "JSONEachRow",
        "JSONLines",
        "JSONObjectEachRow",
        "JSONStrings",
        "JSONStringsEachRow",
        "Markdown",
        "MsgPack",
        "NDJSON",
        "Native",
        "Null",
        "ORC",
        "Parquet",
        "Pretty",
        "PrettyCompact",
        "PrettyCompactMonoBlock",
        "PrettyCompactNoEscapes",
        "PrettyCompactNoEscapesMonoBlock",
        "PrettyJSONEachRow",
        "PrettyJSONLines",
        "PrettyMonoBlock",
        "PrettyNDJSON",
        "PrettyNoEscapes",
        "PrettySpace",
        "PrettySpaceNoEscapes",
        "RawBLOB",
        "RowBinary",
        "RowBinaryWithNames",
        "RowBinaryWithNamesAndTypes",
        "SQLInsert",
        "TSKV",
        "TSV",
        "TSVRaw",
        "TSVRawWithNames",
        "TSVWithNames",
        "TSVWithNamesAndTypes",
        "TabSeparated",
        "TabSeparatedRaw",
        "TabSeparatedRawWithNames",
        "TabSeparatedWithNames",
        "TabSeparatedWithNamesAndTypes",
        "Values",
        "Vertical",
        "XML",
    }
)
"""Formats that need no file beside the query, as templates and schemas do."""

TRANSPORT = frozenset(
    {
        "buffer_size",
        "cancel_http_readonly_queries_on_client_close",
        "client_protocol_version",
        "enable_http_compression",
        "http_headers_progress_interval_ms",
        "http_zlib_compression_level",
        "log_comment",
        "log_queries",
        "max_threads",
        "quota_key",
        "readonly",
        "role",
        "send_progress_in_http_headers",
        "session_check",
        "session_id",
        "session_timeout",
        "use_query_cache",
        "wait_end_of_query",
    }
)
"""Accepted and without effect: they are of HTTP, or the door sets them itself."""
CAPPED = frozenset({"max_execution_time", "max_memory_usage", "max_result_rows"})
"""A query may lower them."""
SETTINGS = frozenset(
    {
        "aggregate_functions_null_for_empty",
        "any_join_distinct_right_table_keys",
        "bool_false_representation",
        "bool_true_representation",
        "cast_keep_nullable",
        "cross_to_inner_join_rewrite",
        "date_time_input_format",
        "date_time_output_format",
        "decimal_check_overflow",
        "distinct_overflow_mode",
        "enable_unaligned_array_join",
        "extremes",
        "format_csv_delimiter",
        "format_csv_null_representation",
        "format_tsv_null_representation",
        "group_by_use_nulls",
        "interval_output_format",
        "join_default_strictness",
        "join_use_nulls",
        "limit",
        "max_block_size",
        "offset",
        "prefer_column_name_to_alias",
        "result_overflow_mode",
        "session_timezone",
        "totals_auto_threshold",
        "totals_mode",
        "transform_null_in",
        "union_default_mode",
    }
)
OUTPUT = "output_format_[a-z0-9_]+"
FILES = "schema"
"""Regular expressions for ClickHouse and Python: the names of settings of formats, and what those that name files have
in theirs."""
_COMBINATORS = re.compile(r"(?:OrDefault|OrNull|Distinct|ForEach|ArgMax|ArgMin|Resample|Tuple|Array|Merge|State|If)$")


def may_set(name: str) -> bool:
    """Whether a query may change this setting. Of the formats' settings, those that name files may not be set."""
    return name in SETTINGS or (re.fullmatch(OUTPUT, name) is not None and re.search(FILES, name) is None)


def changeable() -> frozenset[str]:
    """The settings that a query may name, beside those of formats."""
    return SETTINGS | CAPPED | TRANSPORT


@cache
def functions() -> frozenset[str]:
    """The functions that may be called, in lower case."""
    text = resources.files("analytics.door").joinpath("functions.txt").read_text(encoding="ascii")
    return frozenset(line.lower() for line in text.splitlines() if line and not line.startswith("#"))


def may_call(name: str) -> bool:
    """Whether a function may be called. An aggregate function may have combinators, such as ``countIf``."""
    while name.lower() not in functions():
        shorter = _COMBINATORS.sub("", name)
        if shorter == name:
            return False
        name = shorter
    return True
