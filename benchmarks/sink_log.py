"""The sink's log of what it accepted (``sink.py``): one JSON object per line."""

from pathlib import Path

from msgspec import Struct

from benchmarks.tail import Tail
from benchmarks.tracked_links import TrackedLinks


class Receipt(Struct, frozen=True, kw_only=True, tag="receipt"):
    """A message that was received completely."""

    at: float
    """Seconds since the epoch."""
    session: int
    """The number of the connection."""
    message_id: str
    """postray's id of the message: the local part of Message-ID or, where the sink reads mail, the message that the
    envelope sender names."""
    recipients: tuple[str, ...]
    """The recipients that were not refused."""
    accepted: bool
    """The sink has taken responsibility for it."""
    replied: bool
    """Whether a reply was sent, of either kind, even if the client had gone meanwhile."""
    links: TrackedLinks | None = None
    """Of tracked mail, where the sink reads it."""
    sender: str = ""
    """The envelope sender, to which reports on the message go, where the sink reads mail."""
    kept: str = ""
    """The file, beside the log, that has the message as it came: of mail with attachments, where the sink reads it."""


class ConnectionEnded(Struct, frozen=True, kw_only=True, tag="ended"):
    """The end of a connection, by either side."""

    at: float
    session: int
    heard_at: float
    """When the client last sent something: a command, a message, QUIT, or TLS's close_notify."""
    replied_at: float
    """When the last reply was passed to the kernel."""
    reset: bool = False
    """It ended with a reset. Linux sends one, instead of an orderly end, when a process ends or closes its socket with
    unread octets in it (RFC 2525 §2.17), and when octets arrive after that."""


Line = Receipt | ConnectionEnded


def read_log(path: Path) -> list[Line]:
    """Every line of a sink's log; an incomplete last one is left out."""
    return tail_of(path).take()


def tail_of(path: Path) -> Tail[Line]:
    """A reader of a sink's log, from the first line."""
    return Tail(path, Line)
