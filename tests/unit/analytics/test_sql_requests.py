"""What a request to ClickHouse's HTTP interface says."""

import base64
import gzip
import zlib

import pytest

from analytics.door.blocks import packed
from analytics.door.failures import QueryFailed
from analytics.door.filters import of_tenant
from analytics.door.parsing import MOST_BYTES, settings_of
from analytics.door.parsing import Checked as CheckedQuery
from analytics.door.requests import credentials, inflated, parameters, request_of
from cluster.clickhouse_values import escaped


def test_the_query_comes_in_the_url_and_goes_on_in_the_body() -> None:
    given = parameters(b"query=SELECT+1&param_a=x%5Ct&join_use_nulls=1&database=d")
    found = request_of(given, {"accept-encoding": "gzip"}, b"+ 1")
    assert found.query == "SELECT 1\n+ 1"
    assert found.parameters == {"a": "x\\t"}
    assert found.settings == {"join_use_nulls": "1"}
    assert (found.database, found.accepted) == ("d", ())


def test_an_answer_is_compressed_where_the_client_asks_for_it_twice() -> None:
    headers = {"accept-encoding": "gzip;q=0, lz4, zstd;q=0.5"}
    assert request_of(parameters(b"enable_http_compression=1"), headers, b"").accepted == ("lz4", "zstd")


@pytest.mark.parametrize("given", [b"decompress=1", b"query=%FF"])
def test_what_is_not_spoken_is_refused(given: bytes) -> None:
    with pytest.raises(QueryFailed):
        request_of(parameters(given), {}, b"SELECT 1")


def test_compressed_blocks_come_in_and_go_out_without_another_compression() -> None:
    given = parameters(b"query=SELECT+1&compress=1&decompress=true&enable_http_compression=1")
    headers = {"accept-encoding": "gzip", "content-encoding": "gzip"}
    found = request_of(given, headers, gzip.compress(packed(b"+ 1")))
    assert (found.query, found.in_blocks, found.accepted) == ("SELECT 1\n+ 1", True, ())
    assert not request_of(parameters(b"compress=0&decompress=false"), {}, b"SELECT 1").in_blocks


def test_credentials_in_their_order() -> None:
    basic = "Basic " + base64.b64encode(b"b:p:w").decode()
    given = parameters(b"user=c&password=d")
    assert credentials(given, {"x-clickhouse-user": "a", "authorization": basic}) == ("a", "")
    assert credentials(given, {"authorization": basic}) == ("b", "p:w")
    assert credentials(given, {}) == ("c", "d")
    assert credentials({"query": "1"}, {}) is None
    with pytest.raises(QueryFailed):
        credentials({}, {"authorization": "Basic ?"})


def test_a_body_may_be_compressed_and_is_bounded() -> None:
    assert inflated(gzip.compress(b"x"), "GZIP") == b"x"
    assert inflated(zlib.compress(b"x"), "deflate") == b"x"
    for body, encoding in ((gzip.compress(b" " * (MOST_BYTES + 1)), "gzip"), (b"x", "gzip"), (b"x", "br")):
        with pytest.raises(QueryFailed):
            inflated(body, encoding)


def test_settings_are_lowered_ignored_or_refused() -> None:
    checked = CheckedQuery(text="SELECT 1", format="", settings={"max_execution_time": "5"})
    caps = {"max_execution_time": 60, "max_result_rows": 10}
    given = {"max_execution_time": "90", "max_result_rows": "0", "readonly": "0", "join_use_nulls": "1"}
    assert settings_of(checked, given, caps) == {
        "max_execution_time": "5",
        "max_result_rows": "10",
        "join_use_nulls": "1",
    }
    for name in ("additional_table_filters", "output_format_schema", "profile", "x' = 1, readonly"):
        with pytest.raises(QueryFailed):
            settings_of(checked, {name: "1"}, caps)


def test_values_of_parameters_are_escaped() -> None:
    assert escaped("a\\b\tc\nd\0") == "a\\\\b\\tc\\nd\\0"


def test_a_filter_takes_an_id_and_nothing_else() -> None:
    assert "tenant_id = \\'tnt_1\\'" in of_tenant("postray", "tnt_1")["additional_table_filters"]
    with pytest.raises(ValueError, match="letters"):
        of_tenant("postray", "x' OR 1")
