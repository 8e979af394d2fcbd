"""Makes a version ready to be stored: its texts can be compiled, and its plain text is made. The work is done in a
thread, for one version at a time."""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from msgspec import structs

from api.http import help_texts
from api.http.refusals import Fault, Faults, Invalid
from api.http.sharing import FairShare
from cluster.journal.templates import VersionFields
from cluster.templates.compiled import TextFault, compile_texts, faults_of
from cluster.templates.handlebars.bounds import MOST_OUTPUT
from cluster.templates.handlebars.errors import TemplateError
from cluster.templates.handlebars.text import CompiledText, compile_text, literal_text
from cluster.templates.plain_text import plain_text
from cluster.templates.texts import TemplateTexts

LONGEST_WAIT_S = 10.0
TOO_MANY = "Too many templates at once; try again later"
FIELDS = {"html": "html_content", "plain": "plain_content"}
"""The fields of a request by those of ``TemplateTexts``, where they differ."""


T = TypeVar("T")


class Saving:
    """Compiles versions, one at a time; tenants take turns."""

    def __init__(self) -> None:
        self._turns = FairShare(1, 1, LONGEST_WAIT_S, TOO_MANY)

    async def ready(self, tenant_id: str, fields: VersionFields) -> VersionFields:
        """The fields with the plain text that is made from the html. Raises Invalid, Overloaded."""
        return await self.run(tenant_id, partial(_ready, fields))

    async def run(self, tenant_id: str, work: Callable[[], T]) -> T:
        """The result of ``work``, in a thread. Raises Overloaded when there is too much to do at once."""
        async with self._turns.hold(tenant_id, 1):
            return await asyncio.to_thread(work)


def _ready(fields: VersionFields) -> VersionFields:
    texts = fields.texts
    try:
        compiled = compile_texts(texts)
    except TextFault:
        faults = Faults()
        faults += [
            Fault(str(one.error), FIELDS.get(one.field, one.field), help_texts.HANDLEBARS) for one in faults_of(texts)
        ]
        raise Invalid(faults) from None
    parts = [text for _, text in compiled.parts]
    if fields.generate_plain_content:
        texts = structs.replace(texts, plain=plain_text(texts.html, texts.generation))
        parts.append(_compiled_plain(texts))
    size = sum([len(literal) for part in (compiled.subject, *parts) for literal in part.literals])
    if size > MOST_OUTPUT:
        message = f"The subject and the texts together, without their tags, have more than {MOST_OUTPUT:,} characters"
        raise Invalid([Fault(message, "html_content" if texts.html else "plain_content", help_texts.SHORTER_TEXTS)])
    return structs.replace(fields, texts=texts)


def _compiled_plain(texts: TemplateTexts) -> CompiledText:
    """The plain text that was made from the html."""
    if texts.generation == "legacy":
        return literal_text(texts.plain)
    try:
        return compile_text(texts.plain, is_html=False)
    except TemplateError as error:
        message = f"The plain text that is made from it cannot be compiled: {error.reason}"
        raise Invalid([Fault(message, "html_content", help_texts.OWN_PLAIN_TEXT)]) from error
