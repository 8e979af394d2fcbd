"""Whether a stored message can be composed, without composing it: the check before a retry. Pure.

It calls the same functions for each field as composing does, and computes the least size of its texts.
"""

import contextlib
from collections.abc import Mapping

from cluster.journal.records import Content, PreparedPersonalization
from cluster.message import custom_fields, header_fields, mime_fields
from cluster.message.custom_fields import merged
from cluster.message.header_fields import NotComposable
from cluster.message.submitted.filling import FilledHeader, readable_header
from cluster.message.submitted.structure import structure_of
from cluster.message.submitted.texts import texts_of as submitted_texts
from cluster.message.substitution import CutText, keys_of, substituted_size
from cluster.message.texts import Texts, not_composable, texts_of
from cluster.message.transfer_encoding import octets
from cluster.settings import DEFAULT_LIMITS, MessageSettings
from cluster.templates.compiled import CompiledTemplate
from cluster.templates.handlebars.errors import TooMuch

NOT_COMPOSED = "cannot be composed: "
"""The beginning of the error of a message that could not be composed; the reason follows."""


def why_not(
    content: Content,
    personalization: PreparedPersonalization,
    limits: MessageSettings = DEFAULT_LIMITS,
    template: CompiledTemplate | None = None,
) -> str | None:
    """Why no message can be composed of this; None when no reason is found. ``template`` is the version that
    ``content`` names."""
    if content.original:
        return _why_not_submitted(content, personalization, limits)
    try:
        _require_fields(content, personalization, limits)
        texts = texts_of(content, personalization, template)
    except NotComposable as fault:
        return fault.reason
    except TooMuch as error:
        return not_composable(error).reason
    return _too_large(content, texts, personalization.substitutions, limits)


def _why_not_submitted(
    content: Content, personalization: PreparedPersonalization, limits: MessageSettings
) -> str | None:
    data, values = content.original, personalization.substitutions
    try:
        _require_a_recipient([one.email for one in personalization.to])
        header = readable_header(data)
        FilledHeader(data, header, limits.max_subject_bytes, readdressed=content.readdressed).filled(personalization)
    except NotComposable as fault:
        return fault.reason
    texts = submitted_texts(data, structure_of(data, header)) if values else []
    said = [text.value for text in texts]
    return _too_long(len(data) - sum(map(octets, said)), said, values, limits)


def _require_fields(content: Content, personalization: PreparedPersonalization, limits: MessageSettings) -> None:
    reply_to = content.reply_to
    if personalization.substitutions:
        keys = keys_of(personalization.substitutions)
        reply_to = header_fields.filled_addresses(reply_to, keys, personalization.substitutions, limits.max_bytes)
    header_fields.addresses("From", (personalization.from_ or content.from_,))
    header_fields.addresses("Reply-To", reply_to)
    _require_a_recipient([one.email for one in (*personalization.to, *personalization.cc, *personalization.bcc)])
    for name, value in merged(content.headers, personalization.headers).items():
        custom_fields.check(name, value)
    for attachment in content.attachments:
        mime_fields.media_type(attachment.type)
        if attachment.content_id:
            mime_fields.content_id(attachment.content_id)
        header_fields.refuse_line_ends(attachment.filename, "a filename")


def _require_a_recipient(emails: list[str]) -> None:
    """Raises NotComposable when none of the addresses can be written."""
    for email in emails[:-1]:
        with contextlib.suppress(NotComposable):
            header_fields.address(email)
            return
    header_fields.address(emails[-1])


def _too_large(content: Content, texts: Texts, values: Mapping[str, str], limits: MessageSettings) -> str | None:
    subject = substituted_size(texts.subject.strip(" \t"), values)
    if subject > limits.max_subject_bytes:
        return f"the subject has {subject} bytes, more than {limits.max_subject_bytes}"
    files = sum([attachment.size for attachment in content.attachments])
    return _too_long(files, [part.value for part in texts.parts], values, limits)


def _too_long(others: int, texts: list[str], values: Mapping[str, str], limits: MessageSettings) -> str | None:
    """``others``: octets besides the texts."""
    keys = keys_of(values)
    sizes = [CutText(text, keys).size(values) for text in texts]
    if max(sizes, default=0) > limits.max_part_bytes:
        return f"a text has {max(sizes)} bytes, more than {limits.max_part_bytes}"
    whole = sum(sizes) + others
    return f"the message has {whole} bytes, more than {limits.max_bytes}" if whole > limits.max_bytes else None
