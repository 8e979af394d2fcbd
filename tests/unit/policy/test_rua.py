"""Where domains want their TLS reports: records as they should be, and as strangers may write them."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.policy.tls.rua import (
    LONGEST_URI,
    MOST_DESTINATIONS,
    MOST_FAULTS,
    BadUri,
    Destination,
    ReportRecord,
    read_record,
    read_uri,
)


def uris(*texts: str) -> list[str] | None:
    record = read_record(texts)
    return None if record is None else [one.uri for one in record.destinations]


def test_the_examples_of_the_rfc() -> None:
    """RFC 8460 §3.1."""
    assert uris("v=TLSRPTv1;rua=mailto:reports@example.com") == ["mailto:reports@example.com"]
    both = uris("v=TLSRPTv1; rua=https://reporting.example.com/v1/tlsrpt,mailto:reports@example.com")
    assert both == ["https://reporting.example.com/v1/tlsrpt", "mailto:reports@example.com"]


def test_without_a_record_no_report_is_asked_for() -> None:
    assert uris() is None
    assert uris("v=spf1 -all", "v=TLSRPTv10; rua=mailto:a@example.com", "rua=mailto:a@example.com") is None
    assert uris("v=tlsrptv1; rua=mailto:a@example.com") is None


def test_two_records_ask_for_nothing() -> None:
    record = "v=TLSRPTv1; rua=mailto:a@example.com"
    assert read_record([record, record]) == ReportRecord((), ("there are 2 records, and only one may ask for reports",))
    assert uris("v=spf1 -all", record) == ["mailto:a@example.com"]


def test_fields_that_are_not_known_are_left_out() -> None:
    assert uris("v=TLSRPTv1 ;\tnew=1; rua=mailto:a@example.com ; other=2;") == ["mailto:a@example.com"]


@pytest.mark.parametrize(
    "record", ["v=TLSRPTv1", "v=TLSRPTv1;", "v=TLSRPTv1; rua=mailto:a@b.test; rua=mailto:c@b.test"]
)
def test_a_record_needs_one_field_rua(record: str) -> None:
    found = read_record([record])
    assert found is not None
    assert found.destinations == ()
    assert found.faults


def test_few_destinations_count() -> None:
    many = ",".join(f"mailto:{i}@example.com" for i in range(1000))
    found = read_record([f"v=TLSRPTv1; rua={many}"])
    assert found is not None
    assert len(found.destinations) == MOST_DESTINATIONS
    assert found.faults == (f"only the first {MOST_DESTINATIONS} destinations get a report",)


def test_a_destination_counts_once() -> None:
    assert uris("v=TLSRPTv1; rua=mailto:a@example.com, MAILTO:a@EXAMPLE.com,mailto:%61@example.com?subject=x") == [
        "mailto:a@example.com"
    ]


def test_faults_do_not_keep_good_destinations_from_their_report() -> None:
    found = read_record(["v=TLSRPTv1; rua=ftp://example.com,http://example.com/,mailto:a@example.com"])
    assert found is not None
    assert [one.uri for one in found.destinations] == ["mailto:a@example.com"]
    assert len(found.faults) == 2


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "reports@example.com",
        "http://reports.example.com/",
        "ftp://reports.example.com/",
        "file:///etc/passwd",
        "https://",
        "https:///path",
        "https://192.0.2.1/",
        "https://[2001:db8::1]/",
        "https://[::1",
        "https://127.1/",
        "https://2130706433/",
        "https://0x7f.0x1/",
        "https://user@reports.example.com/",
        "https://user:secret@reports.example.com/",
        "https://reports.example.com:0/",
        "https://reports.example.com:65536/",
        "https://reports.example.com:x/",
        "https://reports.example.com\\@internal/",
        "https://rep orts.example.com/",
        "https://reports.example.com/\r\nHost: internal",
        "https://-bad.example.com/",
        f"https://reports.example.com/{'x' * LONGEST_URI}",
        "mailto:",
        "mailto:example.com",
        "mailto:@example.com",
        "mailto:a@",
        "mailto:a@[192.0.2.1]",
        "mailto:a%0D%0ABcc:b@example.com",
        "mailto:a%00@example.com",
        "mailto:a@example.com%0d%0aRCPT TO:<b@example.com>",
        "mailto:a,b@example.com",
        "mailto:a@example.com,b@example.com",
        "mailto:a%40b@example.com",
        "mailto:%22a b%22@example.com",
        "mailto:a@exam%C3%A9ple.com",
        "mailto:ä@example.com",
        f"mailto:{'a' * 65}@example.com",
        f"mailto:a@{'a' * 64}.com",
    ],
)
def test_a_bad_uri_is_left_out(uri: str) -> None:
    with pytest.raises(BadUri):
        read_uri(uri)


def test_percent_signs_stand_for_octets() -> None:
    assert read_uri("mailto:tls%2Breports@example.com") == Destination(
        "mailto:tls+reports@example.com", "tls+reports@example.com"
    )


def test_a_fragment_goes_and_the_rest_of_a_url_stays() -> None:
    assert read_uri("HTTPS://Reports.Example.com:8443/A?b=%2C#c").uri == "https://reports.example.com:8443/A?b=%2C"


def check(record: ReportRecord | None) -> None:
    if record is None:
        return
    assert len(record.destinations) <= MOST_DESTINATIONS
    assert len(set(record.destinations)) == len(record.destinations)
    assert len(record.faults) <= MOST_FAULTS
    for one in record.destinations:
        assert re.fullmatch(r"[!-~]+", one.uri)
        assert read_uri(one.uri) == one
        assert one.uri == f"mailto:{one.email}" if one.email else one.uri.startswith("https://")


@given(st.lists(st.text(), max_size=3))
def test_any_text_is_read(texts: list[str]) -> None:
    check(read_record(texts))


_pieces = st.sampled_from(
    [
        "mailto:",
        "https://",
        "http://",
        "a",
        "@",
        "example.com",
        "%",
        "%0d%0a",
        "%40",
        ",",
        ";",
        "rua=",
        " ",
        "[::1]",
        "127.0.0.1",
        ":",
        "/",
        "?",
        "#",
        "\\",
        "\n",
        "\0",
        "ä",
        "xn--",
        "..",
        ".",
        "-",
        "v=TLSRPTv1;",
        '"',
        "0x7f",
    ]
)


@given(st.lists(_pieces | st.text(max_size=3), max_size=40))
def test_any_record_is_read(pieces: list[str]) -> None:
    check(read_record([f"v=TLSRPTv1; rua={''.join(pieces)}"]))
