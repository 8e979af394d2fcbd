"""Telling owners by mail that their endpoints were disabled. The journal knows who is still to be told."""

import asyncio
import logging

from cluster.intake.notices import Notices
from cluster.journal.journal import Journal, Rejected, Unavailable
from cluster.journal.webhook_posting import Untold
from cluster.metrics import Counter
from cluster.tasks import Tasks
from cluster.webhooks.endpoints import origin

log = logging.getLogger(__name__)

LOOK_S = 5.0
MOST_TOGETHER = 20


class Telling:
    """Call ``start`` and ``stop`` once each."""

    told = Counter("postray_webhook_notices_total", "Mails to owners of disabled endpoints.")

    def __init__(self, journal: Journal, notices: Notices, keep_h: float) -> None:
        """``keep_h``: how long events wait for an endpoint."""
        self._journal = journal
        self._notices = notices
        self._keep_h = keep_h
        self._tasks = Tasks()

    def start(self) -> None:
        self._tasks.spawn("telling", self._run())

    async def stop(self) -> None:
        await self._tasks.stop()

    async def _run(self) -> None:
        while True:
            try:
                await self.round()
            except Unavailable as error:
                log.warning("notices wait reason=%r", error.reason)
            except Exception:
                # A defect: events are posted without these mails.
                log.exception("notices failed")
            await asyncio.sleep(LOOK_S)

    async def round(self) -> None:
        """Tell some owners. A crash between the mail and the mark that it was sent has it sent twice. Raises
        Unavailable."""
        for one in await self._journal.webhook_posting.untold(MOST_TOGETHER):
            try:
                self.told += await self._notices.send(one.email, subject(one), text(one, self._keep_h))
            except Rejected as error:
                log.error("notice refused webhook=%s to=%s reason=%r", one.webhook_id, one.email, error.reason)
            except Unavailable:
                raise
            except Exception:
                # A defect, which this one may trigger: the others are told.
                log.exception("notice failed webhook=%s to=%s", one.webhook_id, one.email)
            await self._journal.webhook_posting.told(one.webhook_id)


def subject(one: Untold) -> str:
    return f"Webhook disabled: {one.name or origin(one.url)}"


def text(one: Untold, keep_h: float) -> str:
    """The mail, in plain text. The operator can read it, so it has not the whole URL."""
    return f"""\
Nothing is posted any more to this webhook:

  {one.webhook_id}
  {origin(one.url)}

It was disabled at {one.disabled_at:%Y-%m-%d %H:%M} UTC: {one.reason}.

Its events wait, each for up to {keep_h:g} hours; then they are dropped. Once the
endpoint answers again, enable the webhook, and what waits is posted at once.
"""
