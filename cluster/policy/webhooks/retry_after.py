"""The Retry-After field of an answer (RFC 9110 §10.2.3): seconds, or a date."""

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

LONGEST_S = 86_400.0
"""An endpoint that asks for more is tried again after a day."""
_SECONDS = re.compile(r"[0-9]{1,12}", re.ASCII)
_MORE_SECONDS = re.compile(r"[0-9]{13,}", re.ASCII)


def retry_after_s(text: str, now: datetime) -> float | None:
    """The seconds to wait, 0 to ``LONGEST_S``; None when the text is neither a number nor a date."""
    text = text.strip()
    if _SECONDS.fullmatch(text):
        return min(float(text), LONGEST_S)
    if _MORE_SECONDS.fullmatch(text):
        return LONGEST_S
    try:
        at = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    if at.tzinfo is None:  # "-0000"; a date of HTTP is in GMT
        at = at.replace(tzinfo=UTC)
    return min(max((at - now).total_seconds(), 0.0), LONGEST_S)
