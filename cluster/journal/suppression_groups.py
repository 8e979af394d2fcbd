"""The journal's part for unsubscribe groups."""

from collections.abc import Sequence
from datetime import datetime

from msgspec import Struct
from psycopg.errors import UniqueViolation

from cluster.journal.database import JournalPart, Rejected, execute, rows
from cluster.journal.suppressions import FIRST_PAGE, Position, new_entries, suppress
from cluster.suppression.address import compared
from cluster.suppression.lists import SuppressionList

MOST_ROWS = 2**63 - 1
MOST_GROUPS = 200
"""Of one tenant."""


class GroupNameTaken(Rejected):
    """Another group of the tenant has this name."""


class TooManyGroups(Rejected):
    """The tenant has ``MOST_GROUPS`` groups."""


class Group(Struct, frozen=True):
    """An unsubscribe group. ``unsubscribes``: how many addresses have left it."""

    id: int
    name: str
    description: str
    is_default: bool
    unsubscribes: int


class GroupEntry(Struct, frozen=True):
    """An address that has left a group."""

    email: str
    group_id: int
    group_name: str
    created_at: datetime
    address: str
    """The email as addresses compare."""


class AddressInGroup(Struct, frozen=True):
    """A group, and whether an address has left it."""

    id: int
    name: str
    description: str
    is_default: bool
    suppressed: bool


class SuppressionGroups(JournalPart):
    """Makes, reads and changes the groups of tenants. At most one of a tenant is its default."""

    async def create(self, tenant_id: str, name: str, description: str, *, is_default: bool) -> Group | None:
        """None when the tenant is deleted. Raises GroupNameTaken and TooManyGroups."""
        try:
            async with self._database.transaction() as connection:
                if not await rows(connection, "lock_tenant", id=tenant_id):
                    return None
                [[count]] = await rows(connection, "count_groups", tenant_id=tenant_id)
                if count >= MOST_GROUPS:
                    raise TooManyGroups(f"a tenant has at most {MOST_GROUPS} groups")
                [made] = await rows(
                    connection,
                    "create_group",
                    tenant_id=tenant_id,
                    name=name,
                    description=description,
                    is_default=is_default,
                )
                group = Group(*made)
                if is_default:
                    await execute(connection, "no_other_default_group", tenant_id=tenant_id, id=group.id)
                return group
        except Rejected as error:
            raise _named(error, name) from error

    async def all(self, tenant_id: str, ids: Sequence[int] | None = None) -> list[Group]:
        """The groups in the order of their ids: all, or those with these ids."""
        async with self._database.searching() as connection:
            found = await rows(connection, "groups", tenant_id=tenant_id, ids=None if ids is None else list(ids))
        return [Group(*row) for row in found]

    async def find(self, tenant_id: str, id: int) -> Group | None:
        """A group of the tenant."""
        found = await self.all(tenant_id, [id])
        return found[0] if found else None

    async def change(
        self, tenant_id: str, id: int, *, name: str | None, description: str | None, is_default: bool | None
    ) -> Group | None:
        """Change what is given; None when the group does not exist. Raises GroupNameTaken."""
        try:
            async with self._database.transaction() as connection:
                await rows(connection, "lock_tenant", id=tenant_id)
                changed = await execute(
                    connection,
                    "change_group",
                    tenant_id=tenant_id,
                    id=id,
                    name=name,
                    description=description,
                    is_default=is_default,
                )
                if changed and is_default:
                    await execute(connection, "no_other_default_group", tenant_id=tenant_id, id=id)
        except Rejected as error:
            raise _named(error, name or "") from error
        return await self.find(tenant_id, id) if changed else None

    async def delete(self, tenant_id: str, id: int) -> bool:
        """Delete a group; returns whether it existed. Its entries mean nothing from then on; ``clear`` removes them."""
        return await self._database.execute("delete_group", tenant_id=tenant_id, id=id) > 0

    async def suppress(self, tenant_id: str, id: int, emails: Sequence[str], at: datetime) -> bool:
        """Take addresses out of a group; returns whether it exists. It is not deleted before their commit, so
        ``clear`` after its deletion leaves none of them."""
        async with self._database.transaction() as connection:
            if not await rows(connection, "lock_group", tenant_id=tenant_id, group_id=id):
                return False
            await suppress(connection, new_entries(tenant_id, SuppressionList.GROUP, emails, at, id))
            return True

    async def entries(
        self, tenant_id: str, limit: int, offset: int = 0, after: Position = FIRST_PAGE
    ) -> list[GroupEntry]:
        """Addresses that have left a group, with the group, the newest first. ``after``: the last entry of the page
        before. Raises TookTooLong."""
        async with self._database.searching() as connection:
            found = await rows(
                connection,
                "group_suppressions",
                tenant_id=tenant_id,
                after_at=after.at,
                after_address=after.address,
                after_group_id=after.group_id,
                most=min(limit + offset, MOST_ROWS),
                limit=limit,
                offset=offset,
            )
        return [GroupEntry(*row) for row in found]

    async def of_address(self, tenant_id: str, email: str) -> list[AddressInGroup]:
        """All groups, and whether the address has left each."""
        found = await self._database.rows("groups_of_address", tenant_id=tenant_id, address=compared(email))
        return [AddressInGroup(*row) for row in found]


def _named(error: Rejected, name: str) -> Rejected:
    if isinstance(error.__cause__, UniqueViolation):
        return GroupNameTaken(f"another group has the name {name!r}")
    return error
