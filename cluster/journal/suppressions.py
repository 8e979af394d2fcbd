"""The journal's part for suppression lists. The claim reads them in its own statement (queue.sql)."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Annotated

from msgspec import Meta, Struct
from psycopg import AsyncConnection

from cluster.journal.database import JournalPart, Row, rows
from cluster.policy.replies.verdict import Verdict
from cluster.suppression.address import compared
from cluster.suppression.feeding import list_fed_by
from cluster.suppression.lists import SuppressionList

MOST_GROUP_ID = 2**31 - 1
CLEARED_AT_ONCE = 10_000
_FIRST, _LAST = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)


class NewSuppression(Struct, frozen=True, kw_only=True):
    """An address to put on a list."""

    tenant_id: str
    email: str
    list: SuppressionList
    group_id: int = 0
    """Of an entry of list ``group``."""
    created_at: datetime
    reason: str = ""
    status: str = ""
    """The enhanced status code of a bounce."""
    ip: str = ""
    rule: str = ""
    """The bounce rule that classified the reply."""


def new_entries(
    tenant_id: str, list: SuppressionList, emails: Iterable[str], at: datetime, group_id: int = 0
) -> "Sequence[NewSuppression]":
    """These addresses, to put on one list."""
    return [
        NewSuppression(tenant_id=tenant_id, email=email, list=list, group_id=group_id, created_at=at)
        for email in emails
    ]


def entry_fed_by(
    verdict: Verdict,
    enhanced: str | None,
    *,
    tenant_id: str,
    email: str,
    reason: str,
    at: datetime,
    is_bad_domain: bool = False,
) -> NewSuppression | None:
    """The entry that the end of a delivery makes; None for none. ``enhanced``, ``is_bad_domain``: see
    ``list_fed_by``."""
    fed = list_fed_by(verdict, enhanced, is_bad_domain=is_bad_domain)
    if fed is None:
        return None
    return NewSuppression(
        tenant_id=tenant_id,
        email=email,
        list=fed,
        created_at=at,
        reason=reason,
        status=enhanced or "",
        rule=verdict.rule,
    )


class Suppression(Struct, frozen=True):
    """An entry of a list."""

    email: str
    """As it was written."""
    created_at: datetime
    reason: str
    status: str
    """The enhanced status code of a bounce."""
    ip: str
    address: str
    """The email as addresses compare."""


class SuppressedBy(Struct, frozen=True):
    """The entry that suppresses a recipient."""

    name: str
    """Of the list: that of a ``SuppressionList``, or such as ``group 12``."""
    created_at: datetime
    reason: str
    rule: str


class Position(Struct, frozen=True, array_like=True):
    """Where an entry stands in a list, the newest first."""

    at: Annotated[datetime, Meta(tz=True)]
    address: str
    """As addresses compare."""
    group_id: Annotated[int, Meta(ge=0, le=MOST_GROUP_ID)] = 0
    """Where the list has the entries of all groups."""


class EntryPlace(Struct, frozen=True, array_like=True):
    """Where an entry stands among those of all lists."""

    address: str = ""
    """As addresses compare."""
    list: str = "unsubscribes"
    group_id: int = -1


class ListedEntry(Struct, frozen=True):
    """An entry of any list."""

    place: EntryPlace
    email: str
    created_at: datetime
    reason: str
    status: str
    ip: str


class Wanted(Struct, frozen=True, kw_only=True):
    """Which entries of a list a page has, the newest first."""

    start: datetime | None = None
    until: datetime | None = None
    """The last moment."""
    part: str = ""
    """What the address begins with; ``%`` in it stands for any text."""
    after: Position | None = None
    """The last entry of the page before."""
    limit: int
    offset: int = 0


FIRST_PAGE = Position(_LAST, "")
"""No entry is newer."""


class Suppressions(JournalPart):
    """Puts addresses on lists and takes them off."""

    async def add(self, entries: Sequence[NewSuppression]) -> int:
        """Put addresses on lists; returns how many were not there. Those that are there stay as they are."""
        async with self._database.connection() as connection:
            return len(await suppress(connection, entries))

    async def lift(self, tenant_id: str, list: SuppressionList, emails: Sequence[str], group_id: int = 0) -> int:
        """Take addresses off one list; returns how many were on it."""
        async with self._database.connection() as connection:
            return len(await lift(connection, tenant_id, list, emails, group_id))

    async def page(
        self, tenant_id: str, list: SuppressionList, wanted: Wanted, group_id: int = 0
    ) -> "Sequence[Suppression]":
        """Entries of a list. Raises TookTooLong."""
        after = wanted.after or FIRST_PAGE
        async with self._database.searching() as connection:
            found = await rows(
                connection,
                "suppression_page",
                tenant_id=tenant_id,
                list=list.value,
                group_id=group_id,
                start=wanted.start or _FIRST,
                until=wanted.until or _LAST,
                after_at=after.at,
                after_address=after.address,
                patterns=_patterns(wanted.part) if wanted.part else None,
                limit=wanted.limit,
                offset=wanted.offset,
            )
        return [Suppression(*row) for row in found]

    async def all_after(self, tenant_id: str, place: EntryPlace, limit: int) -> "Sequence[ListedEntry]":
        """The next entries of all lists, in the order of their places."""
        found = await self._database.rows(
            "suppressions_after",
            tenant_id=tenant_id,
            address=place.address,
            list=place.list,
            group_id=place.group_id,
            limit=limit,
        )
        return [ListedEntry(EntryPlace(*row[:3]), *row[3:]) for row in found]

    async def entry(self, tenant_id: str, list: SuppressionList, email: str, group_id: int = 0) -> Suppression | None:
        """The entry of an address."""
        row = await self._database.row(
            "suppression_entry", tenant_id=tenant_id, address=compared(email), list=list.value, group_id=group_id
        )
        return Suppression(*row) if row else None

    async def among(
        self, tenant_id: str, list: SuppressionList, emails: Sequence[str], group_id: int = 0
    ) -> "Sequence[str]":
        """Those of these addresses that are on a list, as they were given."""
        spelled = {compared(email): email for email in emails}
        found = await self._database.rows(
            "suppressed_among", tenant_id=tenant_id, addresses=[*spelled], list=list.value, group_id=group_id
        )
        on_list = {address for (address,) in found}
        return [email for address, email in spelled.items() if address in on_list]

    async def clear(self, tenant_id: str, list: SuppressionList, group_id: int = 0) -> int:
        """Remove all entries of a list, in parts; returns how many."""
        removed = 0
        while part := await self._database.execute(
            "clear_suppressions", tenant_id=tenant_id, list=list.value, group_id=group_id, limit=CLEARED_AT_ONCE
        ):
            removed += part
        return removed

    async def of_recipients(
        self, tenant_id: str, emails: Sequence[str], group_id: int | None, bypass: int | None
    ) -> dict[int, SuppressedBy]:
        """What suppresses the recipients of a message now, by their number, as its claim would decide."""
        found = await self._database.rows(
            "suppressed_by",
            tenant_id=tenant_id,
            addresses=[compared(email) for email in emails],
            group_id=group_id,
            bypass=bypass,
        )
        return {number: SuppressedBy(*entry) for number, *entry in found}

    async def made_by_rule(self, rule: str, since: datetime, list: SuppressionList | None) -> dict[str, int]:
        """How many entries a bounce rule has made since then, by list. Raises TookTooLong."""
        async with self._database.searching() as connection:
            found = await rows(connection, "made_by_rule", rule=rule, since=since, list=list)
        return dict(found)

    async def purge_rule(self, rule: str, since: datetime, list: SuppressionList | None, limit: int) -> dict[str, int]:
        """Delete at most ``limit`` of the entries that a bounce rule has made since then; returns how many, by list."""
        return dict(await self._database.rows("purge_rule", rule=rule, since=since, list=list, limit=limit))

    async def purge_bounces(self, limit: int) -> int:
        """Delete at most ``limit`` entries that are too old for their tenants (``bounce_purge``); returns how many."""
        return await self._database.execute("purge_bounces", limit=limit)

    async def groups_among(self, tenant_id: str, ids: Iterable[int]) -> set[int]:
        """Those of these ids, of any size, that are unsubscribe groups of the tenant."""
        possible = sorted({id for id in ids if 0 < id <= MOST_GROUP_ID})
        found = await self._database.rows("groups_among", tenant_id=tenant_id, ids=possible)
        return {id for (id,) in found}


def _patterns(part: str) -> "list[str]":
    """For LIKE: addresses that begin with the part, whose ``%`` stands for any text. A domain in U-labels is found too,
    if it is complete."""
    spellings = {part.lower(), compared(part)}
    return [spelling.replace("\\", "\\\\").replace("_", "\\_") + "%" for spelling in spellings]


async def suppress(connection: AsyncConnection[Row], entries: Sequence[NewSuppression]) -> set[tuple[str, str]]:
    """Put addresses on lists within a transaction; returns the (tenant, compared address) of those that were new."""
    added = await rows(
        connection,
        "suppress",
        tenant_ids=[one.tenant_id for one in entries],
        addresses=[compared(one.email) for one in entries],
        lists=[one.list.value for one in entries],
        group_ids=[one.group_id for one in entries],
        emails=[one.email for one in entries],
        created_ats=[one.created_at for one in entries],
        reasons=[one.reason for one in entries],
        statuses=[one.status for one in entries],
        ips=[one.ip for one in entries],
        rules=[one.rule for one in entries],
    )
    return {(tenant_id, address) for tenant_id, address in added}


async def lift(
    connection: AsyncConnection[Row],
    tenant_id: str,
    list: SuppressionList,
    emails: Sequence[str],
    group_id: int = 0,
) -> set[str]:
    """Take addresses off one list within a transaction; returns those that were on it, as they compare."""
    lifted = await rows(
        connection,
        "lift_suppressions",
        tenant_id=tenant_id,
        list=list.value,
        group_id=group_id,
        addresses=[compared(email) for email in emails],
    )
    return {address for (address,) in lifted}
