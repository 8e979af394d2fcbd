"""The versions of templates that stored messages are rendered from."""

from cluster.journal.excerpts import decode_references
from cluster.journal.journal import Journal
from cluster.journal.records import MessageRow
from cluster.templates.compiled import CompiledTemplate, TextFault
from cluster.templates.store import CompiledTemplates


class Versions:
    """Finds the version of a message. Those that were asked for last are kept."""

    def __init__(self, journal: Journal) -> None:
        self._templates = CompiledTemplates(journal, _unchanged)

    async def of(self, row: MessageRow) -> CompiledTemplate | None:
        """None for a message without a template, or when its version is gone or cannot be compiled any more. Raises
        Unavailable."""
        use = decode_references(row.content).template
        if use is None:
            return None
        try:
            return await self._templates.get(row.tenant_id, use.texts)
        except TextFault:
            return None


def _unchanged(template: CompiledTemplate) -> CompiledTemplate:
    return template
