"""Works uploaded suppression lists in, chunk by chunk, in the background. The journal knows how far each is, so the
next life of the process goes on."""

import asyncio
import logging

from cluster.journal.journal import Journal, Unavailable
from cluster.metrics import Counter

log = logging.getLogger(__name__)

LOOK_S = 2.0
PAUSE_S = 0.02
"""After each chunk: mail goes first."""


class ListImporter:
    """Several may run: each takes another upload."""

    chunks = Counter("postray_suppression_import_chunks_total", "Chunks of uploaded suppression lists worked in.")

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    async def run(self) -> None:
        """Work uploads in until cancelled."""
        while True:
            worked = False
            try:
                worked = await self.round()
            except Unavailable as error:
                log.warning("uploaded lists wait reason=%r", error.reason)
            await asyncio.sleep(PAUSE_S if worked else LOOK_S)

    async def round(self) -> bool:
        """Work one chunk in; returns False when there is none. Raises Unavailable."""
        worked = await self._journal.suppression_imports.work_in()
        self.chunks += worked
        return worked
