"""What follows from a report for the recipients of the message that it is about. Pure.

A report is believed only of a recipient that the message went to: the one that its address names, or that the report
names as the message had it, or the only one where the report names none.
"""

from collections.abc import Sequence
from datetime import datetime

from msgspec import Struct

from cluster.access.client_address import client_address
from cluster.journal.mail_in import Complaint, Delay, Effect, Failure, ReportedMessage
from cluster.journal.suppressions import entry_fed_by
from cluster.mail_in.classification import classified
from cluster.mail_in.report import Action, Kind, RecipientReport, Report
from cluster.message.dsn import original_address
from cluster.suppression.address import compared

_TOLD = (Action.FAILED, Action.DELAYED)


class Decision(Struct, frozen=True):
    """The effects, and why others have none."""

    effects: tuple[Effect, ...]
    why: tuple[str, ...] = ()


def decide(report: Report, message: ReportedMessage, recipient_no: int | None, at: datetime) -> Decision:
    """``recipient_no``: the recipient that the address of the report names; None: any of the message's."""
    if report.kind is Kind.COMPLAINT:
        return _complaint(report, message, recipient_no)
    effects: dict[int, Effect] = {}
    why: list[str] = []
    for one in report.recipients:
        if one.action not in _TOLD:
            continue
        number = _recipient(one, message, recipient_no)
        if number is None:
            named = one.original_recipient or one.final_recipient or "no recipient"
            why.append(f"it names {named}, and the message went to {_listed(message, recipient_no)}")
        elif number not in effects:
            effects[number] = _effect(one, number, message, one.remote_mta or report.reporting_mta, at)
    return Decision(tuple(effects.values()), tuple(why))


def _complaint(report: Report, message: ReportedMessage, recipient_no: int | None) -> Decision:
    number = recipient_no
    if number is None:
        number = _among(report.returned_ids.recipients, message)
        if number is None and len(message.recipients) == 1:
            number = 0
    if number is None or number >= len(message.recipients):
        return Decision((), (f"it does not say which of {len(message.recipients)} recipients complains",))
    source = client_address(report.source_ip, (), ())
    ip = "" if isinstance(source, str) else str(source)
    return Decision((Complaint(recipient_no=number, reason=report.feedback_type or "abuse", ip=ip),))


def _recipient(one: RecipientReport, message: ReportedMessage, recipient_no: int | None) -> int | None:
    """The number of the recipient that a report is about; None where it is about no recipient of the message."""
    named = [address for address in (one.original_recipient, one.final_recipient) if address]
    number = _among(named, message)
    if number is not None:
        return number if recipient_no in (None, number) else None
    # Only hosts that were told of an original recipient name one, and what they were told has gone with the body.
    is_told = message.is_expired and bool(one.original_recipient)
    if named and not is_told:
        return None
    if recipient_no is not None:
        return recipient_no if recipient_no < len(message.recipients) else None
    return 0 if len(message.recipients) == 1 else None


def _among(addresses: Sequence[str], message: ReportedMessage) -> int | None:
    known = {compared(email): number for number, email in reversed(list(enumerate(message.recipients)))}
    # A report repeats ORCPT as its submitter gave it.
    for recipient, original in (message.dsn.original_recipients if message.dsn else {}).items():
        if recipient in known:
            known.setdefault(compared(original_address(original)), known[recipient])
    return next((known[found] for address in addresses if (found := compared(address)) in known), None)


def _effect(one: RecipientReport, number: int, message: ReportedMessage, reporter: str, at: datetime) -> Effect:
    """``reporter``: the host that refused, or else that reports."""
    verdict = classified(one)
    reason = one.diagnostic or one.status or "a host reported it"
    bounce_class = verdict.bounce_class or ""
    if one.action is Action.DELAYED:
        return Delay(
            recipient_no=number,
            bounce_class=bounce_class,
            reason=reason,
            response=one.diagnostic,
            reporter=reporter,
            until=one.will_retry_until,
        )
    return Failure(
        recipient_no=number,
        bounce_type=verdict.bounce_type or "soft",
        bounce_class=bounce_class,
        reason=reason,
        response=one.diagnostic,
        reporter=reporter,
        listed=None
        if message.is_notice
        else entry_fed_by(
            verdict,
            one.status or None,
            tenant_id=message.tenant_id,
            email=message.recipients[number],
            reason=reason,
            at=at,
        ),
    )


def _listed(message: ReportedMessage, recipient_no: int | None) -> str:
    if recipient_no is not None and recipient_no < len(message.recipients):
        return message.recipients[recipient_no]
    return f"{len(message.recipients)} others" if len(message.recipients) > 1 else message.recipients[0]
