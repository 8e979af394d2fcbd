"""The journal's part for suspensions. They are rows that every process follows, so a command reaches all processes."""

from datetime import UTC, datetime

from msgspec import Struct

from cluster.journal.database import JournalPart, Row, execute, rows
from cluster.journal.site_actions import Maker, SiteAction, write_actions

NEVER = 9999
"""The year in which the suspension of a suspended tenant ends."""


class Suspension(Struct, frozen=True, kw_only=True):
    """No mail is sent to this site for this tenant. An empty site is every site, an empty tenant every tenant. The year
    9999 as its end stands for a suspended tenant (``has_end``): it ends when that is resumed."""

    site: str
    tenant_id: str
    until: datetime
    reason: str
    made_by: Maker
    created_at: datetime

    @property
    def has_end(self) -> bool:
        return self.until.year < NEVER


class InForce(Struct, frozen=True):
    """What holds now. Processes notice changes by it."""

    policies: int
    """The version of the policies (cluster/journal/policies.py), 0 for none."""
    suspensions: list[Suspension]
    """Those that have not ended, those of suspended tenants among them."""


class Suspensions(JournalPart):
    """Suspends and resumes sites and tenants."""

    async def suspend(self, site: str, tenant_id: str, until: datetime, reason: str, made_by: Maker) -> bool:
        """Suspend a site, a tenant, or a tenant at a site, and record the action. False when an operator's suspension
        is active, which automation does not change."""
        async with self._database.transaction() as connection:
            if not await execute(
                connection, "suspend", site=site, tenant_id=tenant_id, until=until, reason=reason, made_by=made_by
            ):
                return False
            detail = f"until {until.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC" + (f": {reason}" if reason else "")
            action = SiteAction(
                at=datetime.now(UTC), site=site, tenant_id=tenant_id, action="suspended", detail=detail, made_by=made_by
            )
            await write_actions(connection, [action])
        return True

    async def resume(self, site: str | None, tenant_id: str | None, made_by: Maker) -> list[Suspension]:
        """End every suspension of this site and of this tenant (None: of any), and record it. Returns those that were
        still active."""
        async with self._database.transaction() as connection:
            found = [_suspension(row) for row in await rows(connection, "resume", site=site, tenant_id=tenant_id)]
            now = datetime.now(UTC)
            ended = [suspension for suspension in found if suspension.until > now]
            await write_actions(
                connection,
                [
                    SiteAction(at=now, site=s.site, tenant_id=s.tenant_id, action="resumed", made_by=made_by)
                    for s in ended
                ],
            )
        return ended

    async def in_force(self) -> InForce:
        """What holds now, in one statement."""
        found = await self._database.rows("in_force")
        return InForce(found[0][0], [_suspension(row[1:]) for row in found if row[1] is not None])

    async def active(self) -> list[Suspension]:
        """The suspensions that have not ended, those of suspended tenants among them."""
        return (await self.in_force()).suspensions


def _suspension(row: Row) -> Suspension:
    site, tenant_id, until, reason, made_by, created_at = row
    return Suspension(
        site=site,
        tenant_id=tenant_id,
        until=until,
        reason=reason,
        made_by=made_by,
        created_at=created_at,
    )
