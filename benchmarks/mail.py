"""The mail of the measuring scenarios: request bodies, laid out as bytes because the load shares the machine. Pure.

Every recipient is addressed once in a life of postray. Each personalization fills several holes of both bodies, so
every message is rendered on its own.
"""

import base64
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from msgspec import Struct

FROM = {"email": "bench@mail.example.com", "name": "Bench"}
"""Of the demo tenant's verified domain."""
PARAGRAPH = (
    "Dear -name-, this is paragraph {number} of a letter that was written for you alone, as number -number- of many. "
    "It says nothing, at a length that letters have, and ends here. "
)

Domain = Callable[[int], str]
"""The recipient's domain of message number so-and-so."""


def one_domain(_: int) -> str:
    return "example.org"


class Shape(Struct, frozen=True, kw_only=True):
    """What a message is like."""

    text_bytes: int = 1500
    html_bytes: int = 2500
    """With headers, markup and signature these defaults make 4 to 6 KB."""
    attachment_bytes: int = 0
    """Of one file, shared by all messages of a request."""
    recipients: int = 1
    """Of each message."""


class Letter(Struct, frozen=True, kw_only=True):
    """What the messages of a request say alike, and with what each fills it in."""

    subject: str
    text: str
    html: str
    substitutions: Callable[[int], str]
    """Of message number so-and-so, as JSON: the load makes them beside what is measured."""


class Mail:
    """Makes request bodies of one shape. ``letter``: instead of one with two keys in every paragraph."""

    def __init__(self, shape: Shape, domain: Domain = one_domain, letter: Letter | None = None) -> None:
        self.shape = shape
        self._domain = domain
        self._letter = letter or _usual(shape)
        self._shared = msgspec.json.encode(_shared(shape, self._letter))[1:]

    def body(self, numbers: Sequence[int], send_at: int | None = None, batch_id: str | None = None) -> bytes:
        """The JSON of POST /v3/mail/send: a message for each number. ``send_at``: seconds since the epoch."""
        when = b"" if send_at is None else b'"send_at":%d,' % send_at
        batch = b"" if batch_id is None else b'"batch_id":"%b",' % batch_id.encode("ascii")
        personalizations = b",".join(map(self._personalization, numbers))
        return b'{"personalizations":[%b],%b%b%b' % (personalizations, when, batch, self._shared)

    def _personalization(self, number: int) -> bytes:
        domain = self._domain(number)
        to = ",".join(
            f'{{"email":"reader{number}-{i}@{domain}","name":"Reader {number}"}}' for i in range(self.shape.recipients)
        )
        return f'{{"to":[{to}],"substitutions":{self._letter.substitutions(number)}}}'.encode("ascii")


def _usual(shape: Shape) -> Letter:
    return Letter(
        subject="A letter to -name-",
        text=_filled(PARAGRAPH + "\n\n", shape.text_bytes),
        html=f"<html><body>{_filled(f'<p>{PARAGRAPH}</p>', shape.html_bytes)}</body></html>",
        substitutions=lambda number: f'{{"-name-":"Reader {number}","-number-":"{number}"}}',
    )


def _shared(shape: Shape, letter: Letter) -> dict[str, Any]:
    shared: dict[str, Any] = {
        "from": FROM,
        "subject": letter.subject,
        "content": [{"type": "text/plain", "value": letter.text}, {"type": "text/html", "value": letter.html}],
    }
    if shape.attachment_bytes:
        # No two bytes alike for long: nothing on the way may gain by compressing it.
        content = bytes((i * i + i // 251) % 256 for i in range(4096)) * (shape.attachment_bytes // 4096 + 1)
        shared["attachments"] = [
            {
                "content": base64.b64encode(content[: shape.attachment_bytes]).decode("ascii"),
                "filename": "file.bin",
                "type": "application/octet-stream",
            }
        ]
    return shared


def _filled(piece: str, size: int) -> str:
    """``size`` characters of numbered pieces, or some more: the last one is whole."""
    pieces: list[str] = []
    length = 0
    while length < size:
        pieces.append(piece.replace("{number}", str(len(pieces))))
        length += len(pieces[-1])
    return "".join(pieces)
