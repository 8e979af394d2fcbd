"""What composing makes of a request's content: a skeleton, which each message fills in.

``mime.py`` makes the skeleton of texts and files, ``submitted.py`` that of a submitted message.
"""

from abc import ABC, abstractmethod
from datetime import datetime

from msgspec import Struct

from actors.compose.transform import Addressee
from cluster.journal.records import PreparedPersonalization
from cluster.message.header_fields import NotComposable
from cluster.templates.compiled import Filled


class Composed(Struct, frozen=True):
    """A message in parts: header fields (name, folded value without the last CRLF) and the body, empty or ending in
    CRLF. ``smtputf8``: an address in the header has a non-ASCII local part (RFC 6531), or a submitted header has octets
    outside ASCII (RFC 6532)."""

    header_fields: tuple[tuple[bytes, bytes], ...]
    body: bytes
    smtputf8: bool
    downgraded: tuple[tuple[bytes, bytes], ...] | None = None
    """The header fields for a host without SMTPUTF8, if they differ and can be made."""
    relaxed: bytes | None = None
    """The body as DKIM hashes it, if that is known."""
    header: bytes | None = None
    """The lines of the header where the sender wrote them; ``header_fields`` are those to sign."""


class Skeleton(ABC):
    """A request's content, encoded as far as its messages share it. Made by ``mime.compile_content``."""

    @abstractmethod
    def compose(
        self,
        personalization: PreparedPersonalization,
        *,
        message_id: str,
        date: datetime,
        addressee: Addressee | None = None,
        filled: Filled | None = None,
        feedback_id: bytes = b"",
    ) -> Composed:
        """The message of one personalization. ``message_id``: with angle brackets, used if the sender names none.
        ``date``: timezone-aware. ``addressee``: the recipient of a copy, if each recipient gets one. ``filled``: the
        result of ``fill`` for this message, if it is at hand. ``feedback_id``: used if the sender names none.

        Raises NotComposable for this message alone; if it would be too large, before it is made. The skeleton remains
        usable for the others.
        """

    @abstractmethod
    def fill(self, data: bytes, **bounds: int) -> Filled | None:
        """The template with a message's data: see ``Renderer.fill``. Raises TooMuch."""

    @abstractmethod
    def growth(
        self, personalization: PreparedPersonalization, values_bytes: int, filled: Filled | None = None
    ) -> int | None:
        """The most octets that a message's values and a transform add to the shared content; None if finding out would
        block an event loop for too long. ``values_bytes``: octets of the substitutions' values. ``filled``: the result
        of ``fill``."""

    @abstractmethod
    def body_hash(self, body: bytes, relaxed: bytes | None = None) -> bytes:
        """The DKIM hash of a body made here; that of the shared body is computed once. ``relaxed``: as in
        ``Composed``."""


def half_pair() -> NotComposable:
    """The error of a text that no encoding can write."""
    return NotComposable("a text holds half of a surrogate pair, which no encoding can write")
