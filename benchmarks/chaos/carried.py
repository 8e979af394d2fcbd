"""What copies of mail of past days must have: their file, whole, and a signature that verifies. Pure."""

from collections.abc import Mapping
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from hashlib import shake_256

import dkim

FILE_BYTES = 3000
SHARED_EVERY = 4
"""Every so many requests have the same file."""


def key_of(number: int) -> str:
    """The name of the file of a request's messages, by the request's number."""
    return "shared" if number % SHARED_EVERY == 0 else f"file{number}"


def file_of(key: str) -> bytes:
    """What is in the file of this name."""
    return shake_256(key.encode()).digest(FILE_BYTES)


def lacking(copy: bytes, number: int, records: Mapping[str, str]) -> str:
    """What a copy of a message of this request lacks; "" for nothing. ``records``: the texts in the DNS of the sender's
    keys, by name."""
    message = message_from_bytes(copy, EmailMessage, policy=default)
    files = {part.get_filename(): part.get_payload(decode=True) for part in message.iter_attachments()}
    key = key_of(number)
    if files != {f"{key}.bin": file_of(key)}:
        return f"its file {key}"
    return "" if _is_signed(copy, records) else "a signature that verifies"


def _is_signed(copy: bytes, records: Mapping[str, str]) -> bool:
    def look_up(name: bytes, timeout: int = 5) -> bytes | None:
        text = records.get(name.decode("ascii").removesuffix("."))
        return None if text is None else text.encode("ascii")

    try:
        return bool(dkim.DKIM(copy).verify(0, look_up))
    except dkim.DKIMException:
        return False
