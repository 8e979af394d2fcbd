"""The counts for TLS reports (RFC 8460): sessions are counted in memory, and a flush adds the counts to the journal.

A process that is killed loses the counts of some seconds, and a commit whose answer is lost is counted twice. This is
acceptable for statistics.
"""

import logging
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from typing import Protocol

from cluster.journal.database import Rejected, Unavailable
from cluster.metrics import Counter, Gauge
from cluster.policy.tls.policy import PolicyType
from cluster.policy.tls.report import TlsResult

log = logging.getLogger(__name__)

MAX_RESULTS = 50_000
"""Different results between two flushes; further ones are not counted."""
MAX_POLICY_BYTES = 16 * 1024 * 1024
"""Size of the policies in these results, which receiving domains write; further ones are not counted."""


class ResultCounts(Protocol):
    """The part of the journal that stores the counts."""

    async def add(self, counts: Mapping[TlsResult, int]) -> None: ...


class TlsResults:
    """Counts results until the next flush. ``now`` returns the time with a time zone."""

    sessions = Counter("postray_tls_results_total", "Results of TLS sessions and policies counted for TLS reports.")
    unwritten = Gauge(
        "postray_tls_results_unwritten", "Different results not yet in the journal.", lambda self: len(self._counts)
    )

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self._counts: dict[TlsResult, int] = {}
        self._policy_bytes = 0

    def count(
        self,
        domain: str,
        policy_type: PolicyType,
        *,
        policy: str = "",
        result_type: str = "",
        mx_host: str = "",
        sending_ip: str = "",
        receiving_ip: str = "",
    ) -> None:
        self.sessions += 1
        self._add(
            TlsResult(
                day=self._today(),
                domain=domain,
                policy_type=policy_type,
                policy=policy,
                result_type=result_type,
                mx_host=mx_host,
                sending_ip=sending_ip,
                receiving_ip=receiving_ip,
            ),
            1,
        )

    def counts(self) -> dict[TlsResult, int]:
        """The counts that are not yet in the journal."""
        return dict(self._counts)

    async def flush(self, journal: ResultCounts) -> None:
        """Add the counts to the journal. While it is unavailable, they stay for the next flush; nothing is raised."""
        counts, self._counts, self._policy_bytes = self._counts, {}, 0
        try:
            if counts:
                await journal.add(counts)
        except Unavailable:
            for result, sessions in counts.items():
                self._add(result, sessions)
        except Rejected as error:
            log.warning("counts dropped results=%d reason=%s", len(counts), error.reason)

    def _add(self, result: TlsResult, sessions: int) -> None:
        if result not in self._counts:
            if len(self._counts) >= MAX_RESULTS or self._policy_bytes + len(result.policy) > MAX_POLICY_BYTES:
                return
            self._policy_bytes += len(result.policy)
            self._counts[result] = 0
        self._counts[result] += sessions

    def _today(self) -> date:
        return self._now().astimezone(UTC).date()
