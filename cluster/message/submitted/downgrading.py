"""The header of a submitted message for a host without SMTPUTF8 (RFC 6857). Pure.

Only fields with octets outside ASCII (RFC 6532) change: free text and names become encoded words, and an address of To
or Cc that needs SMTPUTF8 is shown as the name of an empty group. Other fields have no form in ASCII, nor has such an
address in From, Sender or Reply-To.
"""

from collections.abc import Sequence

from msgspec.structs import replace

from cluster.message import custom_fields, header_fields
from cluster.message.header_fields import NotComposable
from cluster.message.submitted.filling import ADDRESSES, decoded, is_free

_Fields = tuple[tuple[bytes, bytes], ...]
_RECIPIENTS = (b"to", b"cc")


def downgraded(fields: Sequence[tuple[bytes, bytes]]) -> _Fields | None:
    """The fields (name, value as behind the colon or without its first space) in ASCII, values without their first
    space; None where one of them has no such form."""
    try:
        return tuple(
            [(name, value.removeprefix(b" ") if value.isascii() else _in_ascii(name, value)) for name, value in fields]
        )
    except NotComposable:
        return None


def _in_ascii(name: bytes, value: bytes) -> bytes:
    """A field's value in ASCII. Raises NotComposable."""
    lower, shown = name.lower(), name.decode()
    text = value.replace(b"\r\n", b"").decode().strip(" \t")
    if lower in ADDRESSES:
        # Decoded only once they are read: a decoded name may look like syntax.
        given = custom_fields.mailboxes(shown, text)
        named = [replace(one, name=one.name and (decoded(one.name) or one.name)) for one in given]
        made, smtputf8 = header_fields.addresses(shown, named, downgrade=lower in _RECIPIENTS)
        if smtputf8:
            raise NotComposable(f"{shown} has an address that needs SMTPUTF8")
        return made
    text = decoded(text) or text
    if lower == b"subject":
        return header_fields.subject(text)
    if not is_free(lower):
        raise NotComposable(f"{shown} has octets outside ASCII, and no other form")
    field = custom_fields.write(shown, text)
    if field is None or not field[1].isascii():
        raise NotComposable(f"{shown} has no form in ASCII")
    return field[1]
