"""What operators see of TLS reports: the scheduler's process answers with it, and the API shows it."""

from datetime import datetime

from cluster.policy.forms import Form


class ShownDestination(Form, frozen=True, kw_only=True):
    """One receiver of a report, and what became of it."""

    uri: str
    sent_at: datetime | None = None
    due_at: datetime | None = None
    """When it is tried next."""
    result: str = ""
    """Of the last attempt."""


class ShownReport(Form, frozen=True, kw_only=True):
    """The report on a domain."""

    domain: str
    document: str
    """In JSON (RFC 8460 section 4)."""
    file_name: str
    destinations: tuple[ShownDestination, ...]
    faults: tuple[str, ...]
    """Why the domain's record is not followed, or not in full."""


class ShownReports(Form, frozen=True, kw_only=True):
    """Reports of a day."""

    problem: str | None
    """Why none can be sent by mail."""
    reports: tuple[ShownReport, ...]
    next: str | None
    """``after`` of the next page; None: there is none."""
