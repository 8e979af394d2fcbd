"""Submitted messages as others are shown: their texts, header fields and attached files. Pure."""

from msgspec.structs import replace

from cluster.journal.records import Attachment, BodyPart, Content
from cluster.message.custom_fields import FieldKind, kind_of
from cluster.message.submitted.filling import decoded
from cluster.message.submitted.header import header_at
from cluster.message.submitted.structure import structure_of
from cluster.message.submitted.texts import KINDS, codec_of, leaves, octets_of
from cluster.message.transfer_encoding import newlines

MOST_FIELDS = 200
"""Header fields that are shown."""


def opened(content: Content) -> Content:
    """A stored content in the form that others have: what is in a submitted message stands in ``parts``,
    ``attachments`` and ``headers``. The first text of each type is shown, also where it is signed; files have no
    ``sha256``, as they are not stored apart. Only for reading: composing takes the content as it is stored."""
    if not content.original:
        return content
    data = content.original
    header = header_at(data)
    texts: dict[str, str] = {}
    attachments: list[Attachment] = []
    for part in leaves(structure_of(data, header), of_sealed=True):
        media = part.media
        octets = octets_of(data, part)
        if media.kind in KINDS and not media.is_attachment and not media.filename and media.kind not in texts:
            codec = codec_of(media.charset, octets) or "utf-8"
            texts[media.kind] = newlines(octets.decode(codec, "replace"))
        elif part.header.fields or media.filename:
            attachments.append(
                Attachment(
                    filename=decoded(media.filename) or media.filename,
                    type=media.kind or "application/octet-stream",
                    inline=not media.is_attachment,
                    sha256=b"",
                    size=len(octets),
                )
            )
    parts = tuple([BodyPart(kind, text) for kind, text in texts.items()])
    return replace(content, original=b"", parts=parts, attachments=tuple(attachments), headers=headers_of(data))


def headers_of(data: bytes) -> dict[str, str]:
    """The first fields of a message that others have in ``headers``, decoded. Of fields with the same name, the last
    one."""
    headers: dict[str, str] = {}
    for field in header_at(data).fields[:MOST_FIELDS]:
        if kind_of(field.name.decode()) is not FieldKind.OURS:
            text = field.text(data)
            said = decoded(text)
            headers[field.spelling(data).decode()] = text.encode("utf-8", "replace").decode() if said is None else said
    return headers
