"""The sink's log: what it took, as it wrote it down itself (``sink.py``). A JSON object a line."""

from pathlib import Path

import msgspec
from msgspec import Struct


class Receipt(Struct, frozen=True, kw_only=True, tag="receipt"):
    """A message that arrived whole."""

    at: float
    """Seconds since the epoch."""
    session: int
    """The number of the connection."""
    message_id: str
    """The local part of Message-ID: postray's id of the message."""
    recipients: tuple[str, ...]
    """Those that were not refused."""
    accepted: bool
    """The sink has taken responsibility for it."""
    replied: bool
    """It said so, or said why not; where the client went away meanwhile, into the void."""


class Ended(Struct, frozen=True, kw_only=True, tag="ended"):
    """A connection's end, on either side."""

    at: float
    session: int
    heard_at: float
    """When the client last said something: a command, a message, QUIT, or TLS's close."""
    replied_at: float
    """When the last reply was handed to the kernel."""
    reset: bool = False
    """It ended with a reset. Linux sends one, and no orderly end, where a process ends or closes its socket with octets
    in it that it has not read (RFC 2525 §2.17), and where octets arrive after that."""


Line = Receipt | Ended


class Tail:
    """Reads a log while it grows: each line once. A sink that has not written yet has no lines."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._position = 0
        self._decode = msgspec.json.Decoder(Line).decode_lines

    def take(self) -> list[Line]:
        """The whole lines since the last call."""
        try:
            with self._path.open("rb") as file:
                file.seek(self._position)
                text = file.read()
        except FileNotFoundError:
            return []
        whole = text[: text.rfind(b"\n") + 1]
        self._position += len(whole)
        return self._decode(whole)


def read_log(path: Path) -> list[Line]:
    """Every line of a sink's log; a last one that is not whole is left out."""
    return Tail(path).take()
