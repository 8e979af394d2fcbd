"""Errors of queries, as ClickHouse's HTTP interface tells them: a code, its name, and an HTTP status."""

import re
from collections.abc import Mapping
from enum import IntEnum


class ErrorCode(IntEnum):
    """ClickHouse's numbers of errors that the door itself raises, or gives an HTTP status of their own."""

    BAD_ARGUMENTS = 36
    CHECKSUM_DOESNT_MATCH = 40
    UNKNOWN_FUNCTION = 46
    UNKNOWN_IDENTIFIER = 47
    NOT_IMPLEMENTED = 48
    TYPE_MISMATCH = 53
    UNKNOWN_TABLE = 60
    SYNTAX_ERROR = 62
    UNKNOWN_AGGREGATE_FUNCTION = 63
    UNKNOWN_FORMAT = 73
    UNKNOWN_TYPE_OF_QUERY = 78
    UNKNOWN_DATABASE = 81
    UNKNOWN_SETTING = 115
    TIMEOUT_EXCEEDED = 159
    QUERY_IS_TOO_LARGE = 168
    TOO_MANY_SIMULTANEOUS_QUERIES = 202
    NETWORK_ERROR = 210
    CANNOT_DECOMPRESS = 271
    UNKNOWN_QUERY_PARAMETER = 456
    BAD_QUERY_PARAMETER = 457
    ACCESS_DENIED = 497
    AUTHENTICATION_FAILED = 516


_STATUSES: Mapping[int, int] = {
    ErrorCode.BAD_ARGUMENTS: 400,
    ErrorCode.CHECKSUM_DOESNT_MATCH: 400,
    ErrorCode.CANNOT_DECOMPRESS: 400,
    ErrorCode.TYPE_MISMATCH: 400,
    ErrorCode.SYNTAX_ERROR: 400,
    ErrorCode.UNKNOWN_QUERY_PARAMETER: 400,
    ErrorCode.BAD_QUERY_PARAMETER: 400,
    ErrorCode.ACCESS_DENIED: 403,
    ErrorCode.AUTHENTICATION_FAILED: 403,
    ErrorCode.UNKNOWN_FUNCTION: 404,
    ErrorCode.UNKNOWN_IDENTIFIER: 404,
    ErrorCode.UNKNOWN_TABLE: 404,
    ErrorCode.UNKNOWN_AGGREGATE_FUNCTION: 404,
    ErrorCode.UNKNOWN_FORMAT: 404,
    ErrorCode.UNKNOWN_TYPE_OF_QUERY: 404,
    ErrorCode.UNKNOWN_DATABASE: 404,
    ErrorCode.UNKNOWN_SETTING: 404,
    ErrorCode.TIMEOUT_EXCEEDED: 408,
    ErrorCode.QUERY_IS_TOO_LARGE: 413,
    ErrorCode.NOT_IMPLEMENTED: 501,
    ErrorCode.TOO_MANY_SIMULTANEOUS_QUERIES: 503,
    ErrorCode.NETWORK_ERROR: 503,
}
"""As ClickHouse has them (src/Server/HTTPHandler.cpp); all others are 500. Three differ: a refused query is 403 and a
missing parameter 400, so that no client takes them for faults of the server, and a full queue is 503, which clients may
repeat."""
_CODE = re.compile(r"Code: (\d+)\. DB::")
_REPEATED = re.compile(r"^(?:Code: \d+\. DB::Exception: )+(?=Code: \d+\. DB::)")


class QueryFailed(Exception):
    """A query that is refused, or failed. ``text`` is as ClickHouse words it."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(code, text)
        self.code = code
        self.text = text

    @property
    def status(self) -> int:
        """The HTTP status."""
        return _STATUSES.get(self.code, 500)


def failed(code: ErrorCode, reason: str) -> QueryFailed:
    """An error of the door, worded like one of ClickHouse."""
    return QueryFailed(code, f"Code: {code.value}. DB::Exception: {reason}. ({code.name})")


def engine_failed(message: str) -> QueryFailed:
    """An error of the engine."""
    text = _REPEATED.sub("", message[max(message.find("Code: "), 0) :].strip())
    found = _CODE.match(text)
    return QueryFailed(int(found[1]) if found else 1001, text)  # 1001: STD_EXCEPTION


def timed_out(most_s: float) -> QueryFailed:
    """The error of a query that, with the reading of its answer, took too long."""
    return failed(ErrorCode.TIMEOUT_EXCEEDED, f"The query and its answer took more than {most_s:g} seconds")
