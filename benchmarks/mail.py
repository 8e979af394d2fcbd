"""The mail of the measuring scenarios: request bodies, built as bytes because the load shares the machine. Pure.

Every recipient is addressed once per postray. Each personalization fills several holes of both bodies, so every message
is rendered separately.
"""

import base64
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import msgspec
from msgspec import Struct

FROM = {"email": "bench@mail.example.com", "name": "Bench"}
"""In the demo tenant's verified domain."""
PARAGRAPH = (
    "Dear -name-, this is paragraph {number} of a letter that was written for you alone, as number -number- of many. "
    "It says nothing, at a length that letters have, and ends here. "
)

UNTRACKED: Mapping[str, Any] = {"click_tracking": {"enable": False}, "open_tracking": {"enable": False}}

Domain = Callable[[int], str]
"""The recipient's domain of the message with this number."""


def one_domain(_: int) -> str:
    return "example.org"


class Shape(Struct, frozen=True, kw_only=True):
    """The sizes of a message."""

    text_bytes: int = 1500
    html_bytes: int = 2500
    """With headers, markup and signature these defaults make 4 to 6 KB."""
    attachment_bytes: int = 0
    """The size of one file, shared by all messages of a request."""
    recipients: int = 1
    """Recipients of each message."""


class Letter(Protocol):
    """The texts of a request's messages, and what each message puts into them."""

    def shared(self) -> dict[str, Any]:
        """The members of the request that have the texts."""

    def own(self, number: int) -> str:
        """The member of the personalization of the message with this number, as JSON: the load builds it on the
        measured machine."""


class SubstitutedLetter(Struct, frozen=True, kw_only=True):
    """A letter whose texts come with each request, with SendGrid's legacy substitutions in them."""

    subject: str
    text: str
    html: str
    substitutions: Callable[[int], str]
    """The substitutions of the message with this number, as JSON."""

    def shared(self) -> dict[str, Any]:
        content = [{"type": "text/plain", "value": self.text}, {"type": "text/html", "value": self.html}]
        return {"subject": self.subject, "content": content}

    def own(self, number: int) -> str:
        return f'"substitutions":{self.substitutions(number)}'


class StoredLetter(Struct, frozen=True, kw_only=True):
    """A letter of a stored template."""

    template_id: str
    data: Callable[[int], str]
    """The data of the message with this number, as JSON."""

    def shared(self) -> dict[str, Any]:
        return {"template_id": self.template_id}

    def own(self, number: int) -> str:
        return f'"dynamic_template_data":{self.data(number)}'


class Mail:
    """Makes request bodies of one shape. ``letter``: replaces the default with two keys in every paragraph.
    ``tracking``: the request's ``tracking_settings``."""

    def __init__(
        self,
        shape: Shape,
        domain: Domain = one_domain,
        letter: Letter | None = None,
        tracking: Mapping[str, Any] = UNTRACKED,
    ) -> None:
        self.shape = shape
        self._domain = domain
        self._letter = letter or _usual(shape)
        shared = _shared(shape, self._letter) | {"tracking_settings": tracking}
        self._shared = msgspec.json.encode(shared)[1:]

    def body(self, numbers: Sequence[int], send_at: int | None = None, batch_id: str | None = None) -> bytes:
        """The JSON of POST /v3/mail/send: one message per number. ``send_at``: seconds since the epoch."""
        when = b"" if send_at is None else b'"send_at":%d,' % send_at
        batch = b"" if batch_id is None else b'"batch_id":"%b",' % batch_id.encode("ascii")
        personalizations = b",".join(map(self._personalization, numbers))
        return b'{"personalizations":[%b],%b%b%b' % (personalizations, when, batch, self._shared)

    def _personalization(self, number: int) -> bytes:
        domain = self._domain(number)
        to = ",".join(
            f'{{"email":"reader{number}-{i}@{domain}","name":"Reader {number}"}}' for i in range(self.shape.recipients)
        )
        return f'{{"to":[{to}],{self._letter.own(number)}}}'.encode("ascii")


def _usual(shape: Shape) -> SubstitutedLetter:
    return SubstitutedLetter(
        subject="A letter to -name-",
        text=_filled(PARAGRAPH + "\n\n", shape.text_bytes),
        html=f"<html><body>{_filled(f'<p>{PARAGRAPH}</p>', shape.html_bytes)}</body></html>",
        substitutions=lambda number: f'{{"-name-":"Reader {number}","-number-":"{number}"}}',
    )


def _shared(shape: Shape, letter: Letter) -> dict[str, Any]:
    shared = {"from": FROM, **letter.shared()}
    if shape.attachment_bytes:
        # Without repetition over short distances: no hop may gain by compressing it.
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
    """At least ``size`` characters of numbered pieces; the last piece is complete."""
    pieces: list[str] = []
    length = 0
    while length < size:
        pieces.append(piece.replace("{number}", str(len(pieces))))
        length += len(pieces[-1])
    return "".join(pieces)
