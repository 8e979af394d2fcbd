"""A version of a template, compiled: subject, plain text and html, filled for one message after the other. Pure."""

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Struct

from cluster.joining import joined
from cluster.templates.handlebars.bounds import MOST_OUTPUT, MOST_STEPS, Budget
from cluster.templates.handlebars.errors import TemplateError
from cluster.templates.handlebars.filling import Filling
from cluster.templates.handlebars.reading import read
from cluster.templates.handlebars.text import CompiledText, compile_text, compile_tree, literal_text
from cluster.templates.handlebars.tree import Program, Text
from cluster.templates.preheader import with_preheader
from cluster.templates.texts import TemplateTexts

FIELDS = {"subject": False, "plain": False, "html": True, "preheader": True}
"""The texts of ``TemplateTexts``, and whether their values are escaped for html."""


_ESCAPED = b"&<>='`\\"
_decode = msgspec.json.Decoder(dict[str, Any]).decode


class TextFault(Exception):
    """A text that cannot be compiled. ``field`` is that of ``TemplateTexts``."""

    def __init__(self, field: str, error: TemplateError) -> None:
        super().__init__(f"{field}: {error}")
        self.field = field
        self.error = error


class Filled(Struct, frozen=True):
    """The texts of one message: the subject, and of each part the strings of its holes."""

    subject: str
    holes: tuple[tuple[str, ...], ...]


class CompiledTemplate:
    """A compiled version. Safe in threads."""

    __slots__ = ("_filling", "_literals", "held_bytes", "parts", "subject")

    def __init__(self, subject: CompiledText, parts: tuple[tuple[str, CompiledText], ...]) -> None:
        self.subject = subject
        self.parts = parts
        """Those of text/plain and text/html that there are, in this order. The preheader is in the html."""
        texts = [subject, *[text for _, text in parts]]
        self._filling = Filling([text.compiled for text in texts])
        self._literals = sum([len(literal) for text in texts for literal in text.literals])
        self.held_bytes: int = subject.held_bytes + sum([text.held_bytes for _, text in parts])
        """Its memory, about."""

    def fill(
        self,
        data: Mapping[str, Any],
        *,
        steps: int = MOST_STEPS,
        output: int = MOST_OUTPUT,
        values: int = MOST_OUTPUT,
        is_plain: bool = False,
    ) -> Filled:
        """The texts of one message. ``data`` is a JSON object, decoded. ``output``: the most characters
        of all texts; ``values``: the most in the holes, which alone are work. ``is_plain``: the result of the function
        of this name. Raises TooMuch."""
        budget = Budget(steps, min(output, self._literals + values), is_plain=is_plain)
        of_subject, *holes = self._filling.fill(data, budget)
        return Filled(joined(self.subject.literals, of_subject), tuple(holes))


def decode_data(data: bytes) -> dict[str, Any]:
    """A message's template data, as it is stored: an object in JSON, or nothing."""
    return _decode(data) if data else {}


def is_plain(data: bytes) -> bool:
    """Whether no text in a message's template data has a character that is escaped in html: in JSON a quotation mark
    has a backslash before it, with which any other can be written as well."""
    return len(data.translate(None, _ESCAPED)) == len(data)


def compile_texts(texts: TemplateTexts) -> CompiledTemplate:
    """Compile a version. The texts of a legacy template have no holes: SendGrid's substitutions fill them. Raises
    TextFault for the first text that cannot be compiled."""
    if texts.generation == "legacy":
        return _template(
            texts, literal_text(texts.subject), literal_text(texts.plain), literal_text(_legacy_html(texts))
        )
    subject, plain = _compiled("subject", texts.subject), _compiled("plain", texts.plain)
    html, preheader = _tree("html", texts.html), _tree("preheader", texts.preheader)
    if html.body and preheader.body:
        html = with_preheader(html, preheader)
    try:
        return _template(texts, subject, plain, compile_tree(html, is_html=True))
    except TemplateError as error:
        # The place is one in the html or in the preheader.
        for fault in faults_of(texts):
            raise fault from error
        raise


def _legacy_html(texts: TemplateTexts) -> str:
    if not texts.html or not texts.preheader:
        return texts.html
    whole = with_preheader(Program((Text(texts.html),)), Program((Text(texts.preheader),)))
    return "".join([part.value for part in whole.body if isinstance(part, Text)])


def faults_of(texts: TemplateTexts) -> list[TextFault]:
    """All faults of a version's texts, one for each faulty text."""
    faults = []
    if texts.generation == "dynamic":
        for field in FIELDS:
            try:
                _compiled(field, getattr(texts, field))
            except TextFault as fault:
                faults.append(fault)
    return faults


def _template(texts: TemplateTexts, subject: CompiledText, plain: CompiledText, html: CompiledText) -> CompiledTemplate:
    parts = []
    if texts.plain:
        parts.append(("text/plain", plain))
    if texts.html:
        parts.append(("text/html", html))
    return CompiledTemplate(subject, tuple(parts))


def _compiled(field: str, source: str) -> CompiledText:
    try:
        return compile_text(source, is_html=FIELDS[field])
    except TemplateError as error:
        raise TextFault(field, error) from error


def _tree(field: str, source: str) -> Program:
    try:
        return read(source)
    except TemplateError as error:
        raise TextFault(field, error) from error
