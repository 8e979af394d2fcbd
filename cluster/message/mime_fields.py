"""MIME fields of a part: media types, content ids, and the types of files by their names. Pure.

Acceptance calls these functions, and composing uses their results.

RFC 2045 §5.1 (media types), RFC 2392 (Content-ID).
"""

import re
from mimetypes import MimeTypes

from cluster.message.header_fields import NotComposable

_TOKEN = r"[A-Za-z0-9!#$%&'*+.^_`{|}~-]+"
_MEDIA_TYPE = re.compile(
    rf'({_TOKEN}/{_TOKEN})((?:[ \t]*;[ \t]*{_TOKEN}=(?:{_TOKEN}|"[^"\\\x00-\x1f\x7f-\U0010ffff]*"))*)'
)
_CONTENT_ID = re.compile(r"[\x20-;=?-~]+")
LONGEST = 255


def media_type(value: str) -> tuple[str, str]:
    """Type and subtype in lower case, and the parameters as written. Raises NotComposable when the value is invalid."""
    match = _MEDIA_TYPE.fullmatch(value) if len(value) <= LONGEST else None
    if match is None:
        raise NotComposable(f"{value[:80]!r} is not a media type")
    return match[1].lower(), match[2]


def content_id(value: str) -> str:
    """A content_id without its optional angle brackets. Raises NotComposable when the value is invalid."""
    bare = value.removeprefix("<").removesuffix(">")
    if not _CONTENT_ID.fullmatch(bare) or len(bare) > LONGEST:
        raise NotComposable(f"{value[:80]!r} is not a content_id of 1 to {LONGEST} printable ASCII characters")
    return bare


def file_name(path: str) -> str:
    """The last part of a path, which is all that a recipient may use of a filename (RFC 2183 §2.3); "" where that names
    no file."""
    name = re.split(r"[/\\]", path)[-1]
    return "" if name in (".", "..") else name


_types = MimeTypes()
"""Python's own types, independent of the machine's files, plus some that are often sent."""
_OFFICE = "application/vnd.openxmlformats-officedocument"
for _extension, _type in (
    (".ics", "text/calendar"),
    (".docx", f"{_OFFICE}.wordprocessingml.document"),
    (".xlsx", f"{_OFFICE}.spreadsheetml.sheet"),
    (".pptx", f"{_OFFICE}.presentationml.presentation"),
):
    _types.add_type(_type, _extension)
UNKNOWN_TYPE = "application/octet-stream"


def file_type(name: str) -> str:
    """The media type of a file by its name, for a sender that does not give one."""
    guessed, encoding = _types.guess_type(name.replace(":", "_"))  # a colon would make it a URL
    return guessed if guessed and not encoding else UNKNOWN_TYPE
