"""Reads a form (multipart/form-data, RFC 7578) as it arrives, for routes that take a file.

The library ``multipart`` finds the parts; what is kept of them is bounded by the route.
"""

from collections.abc import Iterator, Mapping

from multipart import MultipartError, MultipartSegment, PushMultipartParser, parse_options_header

from api.http.body import ApiRequest, header
from api.http.refusals import Fault, Invalid

FORM = "multipart/form-data"
FILE = "file"
"""The field of a form's file."""
MOST_PARTS = 20
LONGEST_BOUNDARY = 70
"""RFC 2046 §5.1.1."""


def content_type(request: ApiRequest, usual: str = "") -> tuple[str, Mapping[str, str]]:
    """The media type of a body and its parameters. ``usual``: where the request names none."""
    kind, options = parse_options_header((header(request.scope, b"content-type") or usual)[:1000])
    return kind, options


class FormReader:
    """Finds the parts of a form. ``help`` is that of its faults."""

    def __init__(self, options: Mapping[str, str], help: str) -> None:
        """``options``: the parameters of its Content-Type. Raises Invalid without a boundary."""
        boundary = options.get("boundary", "")
        if not 0 < len(boundary) <= LONGEST_BOUNDARY or not boundary.isascii():
            raise Invalid([Fault("Content-Type has no boundary of 1 to 70 characters", help=help)])
        self._parser = PushMultipartParser(boundary, max_segment_count=MOST_PARTS)
        self._help = help

    def feed(self, data: bytes) -> Iterator[MultipartSegment | bytearray]:
        """The head of each part that begins in these bytes, and the pieces of the parts' contents. Raises Invalid."""
        if not data:
            return
        try:
            for event in self._parser.parse(data):
                if event is not None:  # None ends a part
                    yield event
        except MultipartError as error:
            raise self._malformed(error) from None

    def end(self) -> None:
        """Raises Invalid when the form is incomplete."""
        try:
            self._parser.close()
        except MultipartError as error:
            raise self._malformed(error) from None

    def _malformed(self, error: MultipartError) -> Invalid:
        return Invalid([Fault(f"The form is malformed: {error.args[0]}", help=self._help)])
