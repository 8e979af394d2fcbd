"""TLS reports (RFC 8460): the counted results of sessions with a domain, and the report document of a day.

Pure. The counts come from the journal's table ``tls_results``; ``actors.tls_reports`` sends the reports.
"""

from collections import Counter
from collections.abc import Iterable
from datetime import UTC, date, datetime, time, timedelta
from hashlib import sha256

import msgspec
from msgspec import Struct

from cluster.policy.tls.policy import PolicyType

MOST_DETAILS = 1000
"""Failures of one policy that a report lists one by one, the most frequent first. The rest are summed by result type,
so the summary stays the sum of the details."""


class TlsResult(Struct, frozen=True, kw_only=True):
    """One kind of result of sessions with a domain, on one day (UTC)."""

    day: date
    domain: str
    policy_type: PolicyType
    policy: str = ""
    """The policy's lines; empty when there is none."""
    result_type: str = ""
    """A ``TlsFailure``; empty for a success."""
    mx_host: str = ""
    sending_ip: str = ""
    """Empty when the system chose the address."""
    receiving_ip: str = ""


class _Document(Struct, frozen=True, kw_only=True, rename="kebab", omit_defaults=True):
    pass


class DateRange(_Document, frozen=True, kw_only=True):
    start_datetime: datetime
    end_datetime: datetime


class ReportedPolicy(_Document, frozen=True, kw_only=True):
    policy_type: PolicyType
    policy_string: tuple[str, ...] = ()
    policy_domain: str
    mx_host: tuple[str, ...] = ()
    """The patterns of an MTA-STS policy."""


class Summary(_Document, frozen=True, kw_only=True):
    total_successful_session_count: int
    total_failure_session_count: int


class FailureDetails(_Document, frozen=True, kw_only=True):
    result_type: str
    sending_mta_ip: str = ""
    receiving_mx_hostname: str = ""
    receiving_ip: str = ""
    failed_session_count: int


class PolicyResults(_Document, frozen=True, kw_only=True):
    policy: ReportedPolicy
    summary: Summary
    failure_details: tuple[FailureDetails, ...] = ()


class TlsReport(_Document, frozen=True, kw_only=True):
    organization_name: str
    date_range: DateRange
    contact_info: str
    report_id: str
    policies: tuple[PolicyResults, ...]


def report_id(domain: str, day: date, submitter: str) -> str:
    """The same each time, so a receiver recognises a repeated report. It is an id-left and an id-right of RFC 5322
    §3.6.4."""
    return f"{day:%Y%m%d}.{sha256(domain.encode()).hexdigest()[:16]}@{submitter}"


def file_name(domain: str, day: date, submitter: str) -> str:
    """The name of the compressed document (RFC 8460 §5.1)."""
    begin, end = _range(day)
    return f"{submitter}!{domain}!{begin.timestamp():.0f}!{end.timestamp():.0f}.json.gz"


def report(
    domain: str, day: date, counts: Iterable[tuple[TlsResult, int]], *, organization: str, contact: str, report_id: str
) -> bytes:
    """The JSON document (RFC 8460 §4.4) for a domain's day; ``counts`` are of that domain and day only."""
    by_policy: dict[tuple[PolicyType, str], list[tuple[TlsResult, int]]] = {}
    for result, sessions in counts:
        by_policy.setdefault((result.policy_type, result.policy), []).append((result, sessions))
    begin, end = _range(day)
    document = TlsReport(
        organization_name=organization,
        date_range=DateRange(start_datetime=begin, end_datetime=end),
        contact_info=contact,
        report_id=report_id,
        policies=tuple(_policy_results(domain, *key, by_policy[key]) for key in sorted(by_policy)),
    )
    return msgspec.json.encode(document)


def _range(day: date) -> tuple[datetime, datetime]:
    """The first and the last second of a day."""
    begin = datetime.combine(day, time(), UTC)
    return begin, begin + timedelta(days=1, seconds=-1)


def _policy_results(
    domain: str, policy_type: PolicyType, policy: str, counts: list[tuple[TlsResult, int]]
) -> PolicyResults:
    lines = tuple(policy.splitlines())
    failed = [(result, sessions) for result, sessions in counts if result.result_type]
    return PolicyResults(
        policy=ReportedPolicy(
            policy_type=policy_type,
            policy_string=lines,
            policy_domain=domain,
            mx_host=tuple(line.removeprefix("mx: ") for line in lines if line.startswith("mx: ")),
        ),
        summary=Summary(
            total_successful_session_count=sum(sessions for result, sessions in counts if not result.result_type),
            total_failure_session_count=sum(sessions for _, sessions in failed),
        ),
        failure_details=_details(failed),
    )


def _details(failed: list[tuple[TlsResult, int]]) -> tuple[FailureDetails, ...]:
    if len(failed) > MOST_DETAILS:
        failed = sorted(failed, key=lambda one: -one[1])
    rest: Counter[str] = Counter()
    for result, sessions in failed[MOST_DETAILS:]:
        rest[result.result_type] += sessions
    details = [
        FailureDetails(
            result_type=result.result_type,
            sending_mta_ip=result.sending_ip,
            receiving_mx_hostname=result.mx_host,
            receiving_ip=result.receiving_ip,
            failed_session_count=sessions,
        )
        for result, sessions in failed[:MOST_DETAILS]
    ]
    details += [FailureDetails(result_type=type, failed_session_count=rest[type]) for type in sorted(rest)]
    return tuple(details)
