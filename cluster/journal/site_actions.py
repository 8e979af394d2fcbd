"""The journal's part for the actions of automation and operators on sites.

Actions are for people to read, for as long as ``ends.py`` says.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

from msgspec import Struct
from psycopg import AsyncConnection

from cluster.journal.database import JournalPart, Row, execute

Maker = Literal["operator", "automation"]


class SiteAction(Struct, frozen=True, kw_only=True):
    """An action of automation or of an operator on a site. Fields that do not apply are empty."""

    at: datetime
    source: str = ""
    site: str = ""
    tenant_id: str = ""
    action: str
    """One word or two: suspended, slowed, resumed."""
    detail: str = ""
    reply: str = ""
    """The reply that was the reason."""
    made_by: Maker


class SiteActions(JournalPart):
    """Writes and reads actions on sites."""

    async def record(self, actions: Sequence[SiteAction]) -> None:
        """Write actions."""
        async with self._database.transaction() as connection:
            await write_actions(connection, actions)

    async def latest(self, site: str | None, limit: int) -> list[SiteAction]:
        """The actions on a site, or on any site (None), newest first."""
        found = await self._database.rows(
            "actions_of_site" if site is not None else "site_actions", site=site, limit=limit
        )
        return [
            SiteAction(
                at=at,
                source=source,
                site=name,
                tenant_id=tenant_id,
                action=action,
                detail=detail,
                reply=reply,
                made_by=made_by,
            )
            for at, source, name, tenant_id, action, detail, reply, made_by in found
        ]


async def write_actions(connection: AsyncConnection[Row], actions: Sequence[SiteAction]) -> None:
    if not actions:
        return
    await execute(
        connection,
        "record_site_actions",
        ats=[a.at for a in actions],
        sources=[a.source for a in actions],
        sites=[a.site for a in actions],
        tenant_ids=[a.tenant_id for a in actions],
        actions=[a.action for a in actions],
        details=[a.detail for a in actions],
        replies=[a.reply for a in actions],
        makers=[a.made_by for a in actions],
    )
