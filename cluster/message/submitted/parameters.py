"""The fields that say what a part is: Content-Type, Content-Disposition and Content-Transfer-Encoding. Pure.

RFC 2045 §5 and §6 (type, encoding), RFC 2183 (disposition), RFC 2231 (extended parameters), RFC 2046 §5.1.5 (digest).
"""

import re
from email.message import Message
from email.utils import collapse_rfc2231_value

from msgspec import Struct

from cluster.message.submitted.header import Header

_MOST_OCTETS = 4096
"""Of a field that is read."""
_MOST_PARAMETERS = 64
_TOKEN = r"[^\s()<>@,;:\\\"/\[\]?=]+"
_TYPE = re.compile(rf"[ \t]*({_TOKEN}/{_TOKEN})")
_PARAMETER = re.compile(r';[ \t]*([^\s=;"]+)[ \t]*=[ \t]*(?:"((?:[^"\\]|\\.)*+)"|([^\s;"]*))')
_ESCAPED = re.compile(r"\\(.)")


class Media(Struct, frozen=True):
    """What a part is. ``kind``: its media type in lower case; "" where that cannot be read."""

    kind: str
    boundary: bytes = b""
    charset: str = ""
    """In lower case; "" where none is named."""
    encoding: str = ""
    """The transfer encoding in lower case; "" where none is named."""
    is_attachment: bool = False
    """Whether it says that it is one."""
    filename: str = ""


def media_of(data: bytes, header: Header, usual: str = "text/plain") -> Media:
    """What the part with this header is. ``usual``: the type of a part that names none."""
    kind, boundary, charset, encoding, disposition, filename = usual, "", "", "", "", ""
    name = ""
    seen = set[bytes]()
    for field in header.fields:
        if not field.name.startswith(b"content-"):
            continue
        if field.name in seen:
            if field.name in _READ:
                return Media("")  # readers differ in which of two they take
            continue
        seen.add(field.name)
        if field.name not in _READ:
            continue
        if field.end - field.value > _MOST_OCTETS:
            return Media("")
        value = field.raw_value(data).replace(b"\r\n", b"").decode("latin-1").strip(" \t")
        if field.name == b"content-type":
            type_ = _TYPE.match(value)
            kind = type_[1].lower() if type_ else ""
            given = _parameters(value)
            boundary, charset, name = given.get("boundary", ""), given.get("charset", "").lower(), given.get("name", "")
        elif field.name == b"content-transfer-encoding":
            encoding = value.partition(" ")[0].partition(";")[0].lower()
        else:
            disposition = value.partition(";")[0].strip(" \t").lower()
            filename = _parameters(value).get("filename", "")
    return Media(
        kind,
        boundary.rstrip(" \t").encode("latin-1", "replace"),
        charset,
        encoding,
        bool(disposition) and disposition != "inline",
        filename or name,
    )


_READ = frozenset((b"content-type", b"content-transfer-encoding", b"content-disposition"))


def _parameters(value: str) -> dict[str, str]:
    """The parameters of a field by name, the first of each; ``value`` has its octets as Latin-1."""
    found: dict[str, str] = {}
    for number, parameter in enumerate(_PARAMETER.finditer(value)):
        if number == _MOST_PARAMETERS:
            break
        name, quoted, token = parameter.groups()
        if "*" in name:
            return found | _extended(value)
        found.setdefault(name.lower(), _ESCAPED.sub(r"\1", quoted) if quoted is not None else token)
    return found


def _extended(value: str) -> dict[str, str]:
    """The same with extended parameters (RFC 2231), as the standard library reads them."""
    message = Message()
    message["Content-Type"] = ";".join(value.split(";", _MOST_PARAMETERS)[:_MOST_PARAMETERS])
    try:
        given = message.get_params(failobj=[], unquote=True) or []
    except (ValueError, LookupError, TypeError, AttributeError):
        return {}
    return {name.lower(): collapse_rfc2231_value(said) for name, said in given[:0:-1]}
