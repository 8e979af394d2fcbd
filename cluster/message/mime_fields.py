"""What MIME fields of a part can say: media types, content ids, and the names of files by their types. Pure.

Acceptance asks these functions, and composing uses what they answer.

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
    """Type and subtype in lower case, and the parameters as written. Raises NotComposable."""
    match = _MEDIA_TYPE.fullmatch(value) if len(value) <= LONGEST else None
    if match is None:
        raise NotComposable(f"{value[:80]!r} is not a media type")
    return match[1].lower(), match[2]


def content_id(value: str) -> str:
    """A content_id without the angle brackets that it may have. Raises NotComposable."""
    bare = value.removeprefix("<").removesuffix(">")
    if not _CONTENT_ID.fullmatch(bare) or len(bare) > LONGEST:
        raise NotComposable(f"{value[:80]!r} is not a content_id of 1 to {LONGEST} printable ASCII characters")
    return bare


_types = MimeTypes()
"""Those that come with Python, whatever the machine's own files say, and some that are often sent."""
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
    """The media type of a file whose sender does not say it: by its name."""
    guessed, encoding = _types.guess_type(name.replace(":", "_"))  # it would take a colon for a URL's
    return guessed if guessed and not encoding else UNKNOWN_TYPE


def file_name(type_: str) -> str:
    """A name for a file that comes without one, such as ``attachment.pdf``. Raises NotComposable."""
    extension = ".jpg" if (kind := media_type(type_)[0]) == "image/jpeg" else _types.guess_extension(kind)
    return f"attachment{extension or '.bin'}"
