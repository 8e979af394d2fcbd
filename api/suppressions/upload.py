"""Reads an uploaded list as it arrives: text/csv as it is, or the file of a form."""

from collections.abc import AsyncGenerator, Callable, Iterable

from multipart import MultipartSegment

from api.http import help_texts
from api.http.body import ApiRequest, header
from api.http.forms import FILE, FORM, FormReader, content_type
from api.http.ignored import ignored_by
from api.http.inflating import Gunzip, too_large
from api.http.places import LONGEST_NAME
from api.http.refusals import Fault, Invalid, UnsupportedMedia

MOST_BYTES = 200 * 1024 * 1024
"""Of an upload, inflated."""
CHUNK_BYTES = 128 * 1024
"""Of a chunk in the journal: some thousand lines, which are worked in within one transaction."""
INFLATED_AT_ONCE = 4096
"""Compressed bytes, which may become a thousand times as many."""

Feed = Callable[[bytes], Iterable[bytes]]


async def chunks(request: ApiRequest) -> AsyncGenerator[bytes, None]:
    """The file in chunks of ``CHUNK_BYTES``; the last one is shorter, and may be the only one.

    Raises UnsupportedMedia, TooLarge, Stalled, and Invalid for a form that is malformed or has no file.
    """
    gunzip = _gunzip(request)
    feed, end = _reader(request)
    if request.length > MOST_BYTES:
        raise too_large(MOST_BYTES)
    kept = bytearray()
    arrived, more = 0, True
    while more:
        data, more = await request.next_chunk()
        arrived += len(data)
        if arrived > MOST_BYTES:
            raise too_large(MOST_BYTES)
        for piece in _inflated(gunzip, data):
            for content in feed(piece):
                kept += content
                while len(kept) >= CHUNK_BYTES:
                    yield bytes(kept[:CHUNK_BYTES])
                    del kept[:CHUNK_BYTES]
    if gunzip:
        gunzip.end()
    end()
    if kept:
        yield bytes(kept)


def _gunzip(request: ApiRequest) -> Gunzip | None:
    """Raises UnsupportedMedia."""
    encoding = (header(request.scope, b"content-encoding") or "identity").strip().lower()
    if encoding not in ("identity", "gzip", "x-gzip"):
        raise UnsupportedMedia(
            "The body may be sent as it is, or with Content-Encoding gzip", help=help_texts.LIST_FILE
        )
    return Gunzip(MOST_BYTES) if encoding != "identity" else None


def _inflated(gunzip: Gunzip | None, data: bytes) -> Iterable[bytes]:
    if gunzip is None:
        return (data,)
    return (gunzip.feed(data[at : at + INFLATED_AT_ONCE]) for at in range(0, len(data), INFLATED_AT_ONCE))


def _reader(request: ApiRequest) -> tuple[Feed, Callable[[], None]]:
    """What takes the bytes of the body and gives those of the file, and what is called at the end. Raises
    UnsupportedMedia, Invalid."""
    kind, options = content_type(request, "text/csv")
    if kind == "text/csv":
        if options.get("charset", "utf-8").lower() not in ("utf-8", "utf8", "us-ascii"):
            raise UnsupportedMedia("The list must be UTF-8", help=help_texts.LIST_FILE)
        return lambda data: (data,), lambda: None
    if kind != FORM:
        raise UnsupportedMedia("A list is text/csv, or a form: multipart/form-data", help=help_texts.LIST_FILE)
    form = _Form(FormReader(options, help_texts.LIST_FILE), ignored_by(request.scope).ignore)
    return form.feed, form.end


class _Form:
    """A form, of which only the file is kept. ``ignore`` takes the names of the other fields."""

    def __init__(self, reader: FormReader, ignore: Callable[[str], None]) -> None:
        self._reader = reader
        self._ignore = ignore
        self._has_file = False
        self._in_file = False

    def feed(self, data: bytes) -> Iterable[bytes]:
        """The bytes of the file. Raises Invalid."""
        for part in self._reader.feed(data):
            if isinstance(part, MultipartSegment):
                self._begin(part)
            elif self._in_file:
                yield bytes(part)

    def end(self) -> None:
        """Raises Invalid."""
        self._reader.end()
        if not self._has_file:
            raise Invalid([Fault("The list is required", FILE, help_texts.LIST_FILE)])

    def _begin(self, part: MultipartSegment) -> None:
        self._in_file = part.name == FILE
        if not self._in_file:
            self._ignore((part.name or "")[:LONGEST_NAME])
        elif self._has_file:
            raise Invalid([Fault("One list in an upload", FILE, help_texts.LIST_FILE)])
        else:
            self._has_file = True
