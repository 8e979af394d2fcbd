"""Reports on delivery in fields (RFC 3464, and RFC 6533 for addresses that are not ASCII)."""

import re

from cluster.mail_in.addresses import host_of, moment, typed_address
from cluster.mail_in.parts import Part, field_blocks
from cluster.mail_in.replies import Reply, reply_in
from cluster.mail_in.report import MOST_RECIPIENTS, Action, RecipientReport

STATUS_TYPES = frozenset(("message/delivery-status", "message/global-delivery-status"))
_STATUS = re.compile(r"(?<![\d.])([245]\.\d{1,3}\.\d{1,3})(?![\d.])")
_ACTION = re.compile(r"[a-z]+")
_ACTIONS = {action.value: action for action in Action} | {
    "fail": Action.FAILED,
    "failure": Action.FAILED,
    "error": Action.FAILED,  # OpenSMTPD
    "bounced": Action.FAILED,
    "delay": Action.DELAYED,
    "relay": Action.RELAYED,
}
_BY_STATUS = {"2": Action.DELIVERED, "4": Action.DELAYED, "5": Action.FAILED}
_VAGUE = re.compile(r"[245]\.0\.0")


def status_parts(whole: Part) -> list[Part]:
    """The parts with fields of a report, outside of what it returns. Some hosts declare them as text."""
    found: list[Part] = []
    for part in _outside(whole):
        is_one = part.media_type in STATUS_TYPES
        if is_one or (part.media_type == "text/plain" and not part.children and _looks_like_one(part)):
            found.append(part)
    return found


def reporting_mta(part: Part) -> str:
    """The host that reports; "" where it is not named."""
    return next(
        (host_of(block["reporting-mta"]) for block in field_blocks(part.text)[:1] if "reporting-mta" in block), ""
    )


def read_status(part: Part) -> list[RecipientReport]:
    """The recipients of a part. Fields of one about whom nothing is said are left out."""
    recipients: list[RecipientReport] = []
    for block in field_blocks(part.text):
        if len(recipients) < MOST_RECIPIENTS and (recipient := _recipient(block)) is not None:
            recipients.append(recipient)
    return recipients


def _outside(whole: Part) -> list[Part]:
    """The parts that the report itself consists of."""
    if whole.media_type.startswith("multipart/"):
        return [part for child in whole.children for part in _outside(child)]
    return [whole]


def _looks_like_one(part: Part) -> bool:
    text = part.body[:4096].lower()
    return "final-recipient:" in text and "action:" in text and text.lstrip().startswith(("reporting-mta:", "final-"))


def _recipient(block: dict[str, str]) -> RecipientReport | None:
    final = typed_address(block.get("final-recipient", ""))
    original = typed_address(block.get("original-recipient", "") or block.get("x-actual-recipient", ""))
    status = _STATUS.search(block.get("status", ""))
    said = block.get("diagnostic-code", "")
    if not ("final-recipient" in block or "original-recipient" in block or ("action" in block and (status or said))):
        return None
    action = _action(block.get("action", ""), status[1] if status else "")
    if action is None:
        return None
    reply = _diagnostic(said)
    return RecipientReport(
        action=action,
        final_recipient=final,
        original_recipient=original,
        status=_better(reply.status, status[1] if status else ""),
        diagnostic=reply.text,
        remote_mta=host_of(block.get("remote-mta", "")),
        will_retry_until=moment(block.get("will-retry-until", "")),
    )


def _action(value: str, status: str) -> Action | None:
    """The action that the field names; without one, or with one that does not exist, what the status says."""
    found = _ACTION.search(value.lower())
    return _ACTIONS.get(found[0] if found else "", _BY_STATUS.get(status[:1]))


def _diagnostic(value: str) -> Reply:
    """RFC 3464 §2.3.6: a type, a semicolon, and what the host said. Some leave the type out."""
    kind, semicolon, said = value.partition(";")
    return reply_in(said if semicolon and re.fullmatch(r"\s*[\w.+-]{1,40}\s*", kind) else value)


def _better(said: str, field: str) -> str:
    """The status of the reply, as at RCPT; the field's where it has none, or where only the field has a detail."""
    if not said or (_VAGUE.fullmatch(said) and said[0] == field[:1]):
        return field or said
    return said
