"""The hosts that take mail and report on it later, by SMTP: on each copy to a recipient whose fate it is.

As a mail system does, a report is sent again until it is answered with 250. Some are sent again even then, since an
answer may be lost.
"""

import asyncio
import math
import time
from random import Random

from benchmarks.chaos.mail import fate_of
from benchmarks.chaos.records import ReportKind, SentReport
from benchmarks.chaos.report_mail import FEEDBACK, complaint, failure_report
from benchmarks.chaos.submitting import Refused, Submitting
from benchmarks.client import NotSent, Unanswered
from benchmarks.sink_log import Line, Receipt
from benchmarks.tail import Tail

KINDS = {"returned": ReportKind.RETURNED, "complains": ReportKind.COMPLAINT}
"""By the recipient's fate."""
AT_ONCE_SHARE = 0.3
"""Of the reports: some of them come before the outcome of the delivery is on disk."""
WITHIN_S = 8.0
"""Of the others: some come after the time in which a message counts as sent."""
CONNECTIONS = 8
"""Open at the same time; postray allows 20 from one address."""
TWICE_SHARE = 0.1
LOOK_S = 0.05
AGAIN_S = 1.0
MAX_WAIT_S = 60.0
"""How long reports are still sent again once everything runs again. Until then there is no limit: real hosts keep
trying for days."""


class Reporters:
    """All hosts that report. ``reports`` is their record so far."""

    def __init__(self, to: Submitting, tail: Tail[Line], random: Random) -> None:
        self._to = to
        self._tail = tail
        self._random = random
        self._places = asyncio.Semaphore(CONNECTIONS)
        self._copies = 0
        self._gives_up_at = math.inf
        self.reports: list[SentReport] = []
        self.problems: list[str] = []

    async def run(self, ends: asyncio.Event) -> None:
        """Report until ``ends`` is set; returns when every report on what had arrived is answered."""
        async with asyncio.TaskGroup() as group:
            is_last = False
            while not is_last:
                if is_last := ends.is_set():
                    self._gives_up_at = time.monotonic() + MAX_WAIT_S
                for line in self._tail.take():
                    if isinstance(line, Receipt) and line.accepted:
                        self._copies += 1
                        for recipient in line.recipients:
                            if kind := KINDS.get(fate_of(recipient)):
                                report = SentReport(message_id=line.message_id, recipient=recipient, kind=kind)
                                self.reports.append(report)
                                group.create_task(self._report(report, line.sender, f"report-{self._copies}"))
                await asyncio.sleep(LOOK_S)

    async def _report(self, report: SentReport, sender: str, name: str) -> None:
        if self._random.random() >= AT_ONCE_SHARE:
            await asyncio.sleep(self._random.uniform(0, WITHIN_S))
        to, mail = sender, failure_report(sender, report.recipient, name)
        if report.kind is ReportKind.COMPLAINT:
            to, mail = self._random.choice((sender, FEEDBACK)), complaint(sender, report.recipient, name)
        times = 2 if self._random.random() < TWICE_SHARE else 1
        report.asked_at = time.time()
        while times and time.monotonic() < self._gives_up_at:
            report.tries += 1
            try:
                async with self._places:
                    await self._to.submit("", [to], mail)
            except (NotSent, Unanswered):
                pass
            except Refused as error:
                if error.code >= 500:
                    self.problems.append(f"{report.kind} of {report.message_id} to {report.recipient}: {error}")
                    return
            else:
                report.answered_at = report.answered_at or time.time()
                times -= 1
                continue
            await asyncio.sleep(AGAIN_S)
