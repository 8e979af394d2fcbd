"""Reads an upload: a form with a file and a few short texts, as it arrives.

What is kept of its parts is bounded here. An upload that is too large is refused when that shows, and the rest of it is
not read.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from msgspec import Struct
from multipart import MultipartSegment

from api.http import help_texts
from api.http.body import ApiRequest, BodyBudget, header
from api.http.forms import FILE, FORM, FormReader, content_type
from api.http.ignored import ignored_by
from api.http.places import LONGEST_NAME
from api.http.refusals import Fault, Invalid, TooLarge, UnsupportedMedia
from api.images.texts import checked
from cluster.images.names import LONGEST_FILENAME
from cluster.message.mime_fields import file_name

MOST_BYTES = 10 * 1024 * 1024
"""Of a file."""
FORM_BYTES = 64 * 1024
"""Of a form around its file."""
NOT_A_FORM = "An upload is a form: multipart/form-data, with the image in its field file"


class Upload(Struct, frozen=True, kw_only=True):
    """What an upload says. ``filename`` is as the client gave it, without folders; "" without one."""

    content: bytes
    filename: str
    texts: Mapping[str, str]
    """By field; without those that were not given or are empty."""


@asynccontextmanager
async def received(request: ApiRequest, fields: Mapping[str, int]) -> AsyncIterator[Upload]:
    """The upload, whose memory counts as that of bodies until the context ends. ``fields``: the texts that it may have,
    with the most characters of each.

    Raises UnsupportedMedia, TooLarge, Stalled, Overloaded, and Invalid for all its faults.
    """
    budget: BodyBudget = request.app.state.body_budget
    taken = 0
    form = _Form(_reader(request), fields)
    if request.length > MOST_BYTES + FORM_BYTES:
        raise _too_large()
    try:
        more = True
        while more:
            chunk, more = await request.next_chunk()
            budget.take(len(chunk))
            taken += len(chunk)
            if taken > MOST_BYTES + FORM_BYTES:
                raise _too_large()
            form.feed(chunk)
        upload = form.end()
        for name in form.unknown:
            ignored_by(request.scope).ignore(name)
        yield upload
    finally:
        budget.give_back(taken)


def _reader(request: ApiRequest) -> FormReader:
    """Raises UnsupportedMedia, Invalid."""
    if (header(request.scope, b"content-encoding") or "identity").lower() != "identity":
        raise UnsupportedMedia("An upload may not be compressed: images are already", help=help_texts.UPLOAD)
    kind, options = content_type(request)
    if kind != FORM:
        raise UnsupportedMedia(NOT_A_FORM, help=help_texts.UPLOAD)
    return FormReader(options, help_texts.UPLOAD)


def _too_large() -> TooLarge:
    return TooLarge(f"An image has at most {MOST_BYTES // 1024**2} MB", FILE, help_texts.SMALLER_IMAGE)


class _Form:
    """The parts of a form, so far."""

    def __init__(self, reader: FormReader, fields: Mapping[str, int]) -> None:
        self._reader = reader
        self._fields = fields
        self._faults: list[Fault] = []
        self._texts: dict[str, bytearray] = {}
        self._file: bytearray | None = None
        self._filename = ""
        self._target: bytearray | None = None
        """What the bytes of the part that is being read are added to; None: they are dropped."""
        self._most = 0
        """The most bytes of it."""
        self.unknown: list[str] = []
        """Fields that an upload does not have."""

    def feed(self, chunk: bytes) -> None:
        """Raises TooLarge, Invalid."""
        for part in self._reader.feed(chunk):
            if isinstance(part, MultipartSegment):
                self._begin(part)
            else:
                self._add(part)

    def end(self) -> Upload:
        """The form, complete. Raises Invalid."""
        self._reader.end()
        texts = {name: self._text(name, bytes(value)) for name, value in self._texts.items()}
        if not self._file:
            self._faults.append(
                Fault(
                    "The file is empty" if self._file is not None else "The image is required", FILE, help_texts.UPLOAD
                )
            )
        if self._faults:
            raise Invalid(self._faults)
        return Upload(
            content=bytes(self._file or b""),
            filename=self._filename,
            texts={name: text for name, text in texts.items() if text},
        )

    def _begin(self, part: MultipartSegment) -> None:
        name = part.name or ""
        self._target, self._most = None, 0
        if name == FILE:
            if self._file is not None:
                self._faults.append(Fault("One image in an upload", FILE))
                return
            self._file = self._target = bytearray()
            self._most = MOST_BYTES
            self._filename = self._name(part.filename or "")
        elif name in self._fields:
            if name in self._texts:
                self._faults.append(Fault("The field is given twice", name))
                return
            self._texts[name] = self._target = bytearray()
            self._most = 4 * self._fields[name]
        else:
            self.unknown.append(name[:LONGEST_NAME])

    def _add(self, data: bytes | bytearray) -> None:
        if self._target is None:
            return
        if self._target is self._file and len(self._file) + len(data) > MOST_BYTES:
            raise _too_large()
        self._target += data[: self._most + 1 - len(self._target)]

    def _text(self, name: str, value: bytes) -> str:
        most = self._fields[name]
        try:
            # What is longer was cut off.
            text = value.decode() if len(value) <= 4 * most else "x" * (most + 1)
        except UnicodeDecodeError:
            self._faults.append(Fault("The text is not UTF-8", name))
            return ""
        return checked(text, name, most, self._faults)

    def _name(self, filename: str) -> str:
        return checked(file_name(filename), FILE, LONGEST_FILENAME, self._faults)
