"""The assignment of heavy destinations as one process knows it. It is read when its version changes."""

import logging

from cluster.journal.journal import Journal
from cluster.policy.balance.assignment import Assignment

log = logging.getLogger(__name__)


class Assignments:
    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self.known = Assignment()

    async def follow(self, version: int) -> Assignment:
        """The assignment, given the version that is in force. Raises Unavailable."""
        if version != self.known.version:
            try:
                self.known = await self._journal.balance.assignment()
            except ValueError as error:
                # The former one stays. Its version is not that of the others, so nothing moves by it.
                log.error("assignment not understood reason=%r", str(error))
        return self.known
