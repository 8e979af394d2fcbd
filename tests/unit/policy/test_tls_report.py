import re
from datetime import date
from typing import Any

import jsonschema
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.policy.tls.failure import TlsFailure
from cluster.policy.tls.policy import PolicyType
from cluster.policy.tls.report import MOST_DETAILS, TlsResult, file_name, report, report_id

DAY = date(2026, 3, 1)
STS = "version: STSv1\nmode: testing\nmx: *.mail.example.com\nmax_age: 86400"


def result(policy_type: PolicyType, policy: str = "", result_type: str = "", **more: str) -> TlsResult:
    return TlsResult(
        day=DAY, domain="example.com", policy_type=policy_type, policy=policy, result_type=result_type, **more
    )


def test_the_document() -> None:
    counts = [
        (result(PolicyType.STS, STS, mx_host="a.mail.example.com", receiving_ip="192.0.2.1"), 5326),
        (result(PolicyType.STS, STS, mx_host="b.mail.example.com", receiving_ip="192.0.2.2"), 1),
        (
            result(
                PolicyType.STS,
                STS,
                "certificate-expired",
                mx_host="a.mail.example.com",
                sending_ip="2001:db8::1",
                receiving_ip="192.0.2.1",
            ),
            100,
        ),
        (result(PolicyType.STS, "", "sts-policy-fetch-error"), 2),
        (result(PolicyType.TLSA, "3 1 1 AB\n3 1 1 CD"), 7),
        (result(PolicyType.NONE), 9),
    ]
    text = report(
        "example.com", DAY, counts, organization="Postray", contact="mailto:tls@sender.test", report_id="2026-03-01-1"
    )
    assert msgspec.json.decode(text) == {
        "organization-name": "Postray",
        "date-range": {"start-datetime": "2026-03-01T00:00:00Z", "end-datetime": "2026-03-01T23:59:59Z"},
        "contact-info": "mailto:tls@sender.test",
        "report-id": "2026-03-01-1",
        "policies": [
            {
                "policy": {"policy-type": "no-policy-found", "policy-domain": "example.com"},
                "summary": {"total-successful-session-count": 9, "total-failure-session-count": 0},
            },
            {
                "policy": {"policy-type": "sts", "policy-domain": "example.com"},
                "summary": {"total-successful-session-count": 0, "total-failure-session-count": 2},
                "failure-details": [{"result-type": "sts-policy-fetch-error", "failed-session-count": 2}],
            },
            {
                "policy": {
                    "policy-type": "sts",
                    "policy-string": STS.splitlines(),
                    "policy-domain": "example.com",
                    "mx-host": ["*.mail.example.com"],
                },
                "summary": {"total-successful-session-count": 5327, "total-failure-session-count": 100},
                "failure-details": [
                    {
                        "result-type": "certificate-expired",
                        "sending-mta-ip": "2001:db8::1",
                        "receiving-mx-hostname": "a.mail.example.com",
                        "receiving-ip": "192.0.2.1",
                        "failed-session-count": 100,
                    }
                ],
            },
            {
                "policy": {
                    "policy-type": "tlsa",
                    "policy-string": ["3 1 1 AB", "3 1 1 CD"],
                    "policy-domain": "example.com",
                },
                "summary": {"total-successful-session-count": 7, "total-failure-session-count": 0},
            },
        ],
    }


def test_a_day_without_sessions() -> None:
    document = msgspec.json.decode(report("a.test", DAY, [], organization="o", contact="c", report_id="1"))
    assert document["policies"] == []


_COUNT = {"type": "integer", "minimum": 0}
_NAMES = {"type": "array", "items": {"type": "string", "minLength": 1}, "minItems": 1}
_TIME = {"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$"}
SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["organization-name", "date-range", "contact-info", "report-id", "policies"],
    "additionalProperties": False,
    "properties": {
        "organization-name": {"type": "string", "minLength": 1},
        "date-range": {
            "type": "object",
            "required": ["start-datetime", "end-datetime"],
            "additionalProperties": False,
            "properties": {"start-datetime": _TIME, "end-datetime": _TIME},
        },
        "contact-info": {"type": "string", "minLength": 1},
        "report-id": {"type": "string", "minLength": 1},
        "policies": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "required": ["policy", "summary"],
                "additionalProperties": False,
                "properties": {
                    "policy": {
                        "type": "object",
                        "required": ["policy-type", "policy-domain"],
                        "additionalProperties": False,
                        "properties": {
                            "policy-type": {"enum": ["tlsa", "sts", "no-policy-found"]},
                            "policy-string": _NAMES,
                            "policy-domain": {"type": "string", "minLength": 1},
                            "mx-host": _NAMES,
                        },
                    },
                    "summary": {
                        "type": "object",
                        "required": ["total-successful-session-count", "total-failure-session-count"],
                        "additionalProperties": False,
                        "properties": dict.fromkeys(
                            ("total-successful-session-count", "total-failure-session-count"), _COUNT
                        ),
                    },
                    "failure-details": {
                        "type": "array",
                        "maxItems": MOST_DETAILS + 11,
                        "items": {
                            "type": "object",
                            "required": ["result-type", "failed-session-count"],
                            "additionalProperties": False,
                            "properties": {
                                "result-type": {
                                    "enum": [
                                        *("starttls-not-supported", "certificate-host-mismatch"),
                                        *("certificate-expired", "certificate-not-trusted", "validation-failure"),
                                        *("tlsa-invalid", "dnssec-invalid", "dane-required"),
                                        *("sts-policy-fetch-error", "sts-policy-invalid", "sts-webpki-invalid"),
                                    ]
                                },
                                "sending-mta-ip": {"type": "string", "minLength": 1},
                                "receiving-mx-hostname": {"type": "string", "minLength": 1},
                                "receiving-ip": {"type": "string", "minLength": 1},
                                "failed-session-count": {"type": "integer", "minimum": 1},
                            },
                        },
                    },
                },
            },
        },
    },
}
"""RFC 8460 §4.4, with the result types of §4.3, written from its text."""

RFC_EXAMPLE = {
    "organization-name": "Company-X",
    "date-range": {"start-datetime": "2016-04-01T00:00:00Z", "end-datetime": "2016-04-01T23:59:59Z"},
    "contact-info": "sts-reporting@company-x.example",
    "report-id": "5065427c-23d3-47ca-b6e0-946ea0e8c4be",
    "policies": [
        {
            "policy": {
                "policy-type": "sts",
                "policy-string": ["version: STSv1", "mode: testing", "mx: *.mail.company-y.example", "max_age: 86400"],
                "policy-domain": "company-y.example",
                "mx-host": ["*.mail.company-y.example"],
            },
            "summary": {"total-successful-session-count": 5326, "total-failure-session-count": 303},
            "failure-details": [
                {
                    "result-type": "certificate-expired",
                    "sending-mta-ip": "2001:db8:abcd:0012::1",
                    "receiving-mx-hostname": "mx1.mail.company-y.example",
                    "failed-session-count": 100,
                }
            ],
        }
    ],
}
"""The structure of the example in RFC 8460, appendix B, without its optional members that we do not use."""


def of_counts(counts: list[tuple[TlsResult, int]]) -> dict[str, Any]:
    text = report(
        "example.com", DAY, counts, organization="Example", contact="tls@sender.test", report_id="1@sender.test"
    )
    found: dict[str, Any] = msgspec.json.decode(text)
    jsonschema.validate(found, SCHEMA)
    return found


def test_the_schema_takes_the_example_of_the_rfc() -> None:
    jsonschema.validate(RFC_EXAMPLE, SCHEMA)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**RFC_EXAMPLE, "policies": []}, SCHEMA)


def test_the_counts_of_the_rfc_give_its_example() -> None:
    policy = "\n".join(RFC_EXAMPLE["policies"][0]["policy"]["policy-string"])  # type: ignore[index]  # of this form
    common = {"day": date(2016, 4, 1), "domain": "company-y.example", "policy_type": PolicyType.STS, "policy": policy}
    failed = {"result_type": "certificate-expired", "sending_ip": "2001:db8:abcd:0012::1"}
    counts = [
        (TlsResult(**common), 5326),  # type: ignore[arg-type]  # its fields
        (TlsResult(**common, **failed, mx_host="mx1.mail.company-y.example"), 100),  # type: ignore[arg-type]
        (TlsResult(**common, result_type="starttls-not-supported", mx_host="mx2.mail.company-y.example"), 200),  # type: ignore[arg-type]
        (TlsResult(**common, result_type="validation-failure"), 3),  # type: ignore[arg-type]
    ]
    text = report(
        "company-y.example",
        date(2016, 4, 1),
        counts,
        organization="Company-X",
        contact="sts-reporting@company-x.example",
        report_id="5065427c-23d3-47ca-b6e0-946ea0e8c4be",
    )
    found = msgspec.json.decode(text)
    details = found["policies"][0]["failure-details"]
    assert [one["failed-session-count"] for one in details] == [100, 200, 3]
    found["policies"][0]["failure-details"] = details[:1]
    assert found == RFC_EXAMPLE


def test_many_failures_are_summed_by_result_type() -> None:
    counts = [
        (result(PolicyType.STS, STS, "certificate-expired", receiving_ip=f"2001:db8::{i:x}"), i + 1)
        for i in range(MOST_DETAILS + 5)
    ]
    counts.append((result(PolicyType.STS, STS, "validation-failure"), 1))
    (policy,) = of_counts(counts)["policies"]
    details = policy["failure-details"]
    assert len(details) == MOST_DETAILS + 2
    assert details[0]["failed-session-count"] == MOST_DETAILS + 5
    assert details[-2:] == [
        {"result-type": "certificate-expired", "failed-session-count": 1 + 2 + 3 + 4 + 5},
        {"result-type": "validation-failure", "failed-session-count": 1},
    ]
    assert sum(one["failed-session-count"] for one in details) == policy["summary"]["total-failure-session-count"]


_results = st.builds(
    result,
    st.sampled_from(PolicyType),
    st.sampled_from(["", STS, "3 1 1 AB"]),
    st.sampled_from(["", *TlsFailure]),
    mx_host=st.sampled_from(["", "mx.example.com"]),
    receiving_ip=st.sampled_from(["", "192.0.2.1"]),
)


@given(st.lists(st.tuples(_results, st.integers(1, 2**40)), min_size=1))
def test_every_report_keeps_to_the_schema_and_loses_no_session(counts: list[tuple[TlsResult, int]]) -> None:
    found = of_counts(counts)
    totals = [sum(one["summary"].values()) for one in found["policies"]]
    assert sum(totals) == sum(sessions for _, sessions in counts)


def test_names() -> None:
    """RFC 8460 §5.1, and an id-left and id-right of RFC 5322 for the subject of §5.3."""
    assert file_name("example.com", DAY, "sender.test") == "sender.test!example.com!1772323200!1772409599.json.gz"
    ids = {report_id(domain, DAY, "sender.test") for domain in ("example.com", "example.net", f"{'a.' * 120}test")}
    assert len(ids) == 3
    assert all(re.fullmatch(r"20260301\.[0-9a-f]{16}@sender\.test", id) for id in ids)
