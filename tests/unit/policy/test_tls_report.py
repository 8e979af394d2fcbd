from datetime import date

import msgspec

from cluster.policy.tls.policy import PolicyType
from cluster.policy.tls.report import TlsResult, report

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
