"""Complaints: RFC 5965 (ARF), and the forms that some large receivers use instead."""

from cluster.mail_in.parts import RETURNED, Part, field_blocks

COMPLAINTS = frozenset(("abuse", "fraud", "virus", "other"))
"""RFC 5965 §7.3. The others ("not-spam" of RFC 6430, "auth-failure" of RFC 6591, "opt-out" …) are no complaints."""
FEEDBACK_TYPE = "message/feedback-report"


def feedback_fields(whole: Part) -> dict[str, str] | None:
    """The fields of a feedback report; None when the message is none."""
    is_declared = whole.parameter("report-type").strip('"') == "feedback-report"
    for part in whole.walk():
        if part.media_type == FEEDBACK_TYPE or (is_declared and _has_fields(part)):
            blocks = field_blocks(part.text)
            return {name: value for block in reversed(blocks) for name, value in block.items()}
        if part.media_type in RETURNED:
            break
    return {} if is_declared else None


def feedback_type_of(fields: dict[str, str]) -> str:
    """Of a report that names none: abuse, which nearly all are."""
    return fields.get("feedback-type", "").strip("\"' ").lower()[:40] or "abuse"


def _has_fields(part: Part) -> bool:
    return part.media_type.startswith("text/plain") and part.body[:200].lower().lstrip().startswith("feedback-type:")
