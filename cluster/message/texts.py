"""The texts of one message before its substitutions: those of its request, or of its template with its data. Pure.

It makes whole texts, for those who read or check a stored message. Composing fills the holes of encoded texts instead
(actors/compose/render.py), with the same precedence.
"""

from typing import Any

from msgspec import Struct

from cluster.joining import joined
from cluster.journal.records import BodyPart, Content, PreparedPersonalization
from cluster.message.header_fields import NotComposable
from cluster.templates.compiled import CompiledTemplate, decode_data
from cluster.templates.handlebars.errors import TooMuch


class Texts(Struct, frozen=True):
    """Subject and parts, as a personalization and a template leave them to the substitutions."""

    subject: str
    parts: tuple[BodyPart, ...]


def texts_of(
    content: Content, personalization: PreparedPersonalization, template: CompiledTemplate | None, **bounds: Any
) -> Texts:
    """The texts of one message. ``template`` is the version that ``content`` names; None when it names none, or when
    that cannot be had: then raises NotComposable. ``bounds``: as in ``CompiledTemplate.fill``; raises TooMuch."""
    subject = personalization.subject or content.subject
    if content.template is None:
        return Texts(subject, content.parts)
    if template is None:
        raise NotComposable(f"the version {content.template.version_id} of its template cannot be read")
    filled = template.fill(decode_data(personalization.template_data), **bounds)
    parts = [
        BodyPart(type_, joined(text.literals, values))
        for (type_, text), values in zip(template.parts, filled.holes, strict=True)
    ]
    return Texts(subject if template.subject.is_blank else filled.subject, tuple(parts))


def not_composable(error: TooMuch) -> NotComposable:
    """The error of a message whose template exceeds its bounds."""
    reason = error.reason  # a sentence; an error's reason follows a colon
    return NotComposable(f"{reason[0].lower()}{reason[1:].removesuffix('.')}")
