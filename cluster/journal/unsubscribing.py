"""The journal's part for unsubscribe pages: what they show, and what recipients do on them. A change of a list and its
event are committed together."""

from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from msgspec import Struct

from cluster.events import Event, GroupResubscribed, GroupUnsubscribed, Unsubscribed
from cluster.ids import new_id
from cluster.journal.database import JournalPart, rows
from cluster.journal.event_log import append
from cluster.journal.suppressions import lift, new_entries, suppress
from cluster.suppression.address import compared
from cluster.suppression.lists import SuppressionList
from cluster.tenancy import settings
from cluster.tenancy.settings import TenantSettings
from cluster.tracking.tokens import MOST_GROUPS, Preferences, Recipient


class ShownGroup(Struct, frozen=True):
    """A group on a recipient's page."""

    id: int
    name: str
    description: str
    is_unsubscribed: bool


class PageFacts(Struct, frozen=True):
    """What a recipient's page is made from."""

    tenant_name: str
    settings: TenantSettings
    is_unsubscribed: bool
    """From all mail of the tenant."""
    groups: tuple[ShownGroup, ...]


class Action(StrEnum):
    """What a recipient does."""

    UNSUBSCRIBE_ALL = "unsubscribe_all"
    UNSUBSCRIBE_GROUP = "unsubscribe_group"
    RESUBSCRIBE_ALL = "resubscribe_all"
    RESUBSCRIBE_GROUP = "resubscribe_group"


_OF_GROUPS = (Action.UNSUBSCRIBE_GROUP, Action.RESUBSCRIBE_GROUP)


class By(Struct, frozen=True):
    """Who did it, as events have it."""

    ip: str = ""
    user_agent: str = ""
    machine: str = ""


class Unsubscribing(JournalPart):
    """Reads and changes what one recipient gets from one tenant."""

    async def page(self, recipient: Recipient, preferences: Preferences) -> PageFacts | None:
        """What the page shows: at most ``MOST_GROUPS`` groups, the one it is about among them; None when the tenant is
        deleted."""
        row = await self._database.row(
            "unsubscribe_page",
            number=recipient.tenant_number,
            address=compared(recipient.email),
            shown=list(preferences.shown_groups),
            group_id=preferences.group_id,
            limit=MOST_GROUPS,
        )
        if row is None:
            return None
        name, set_, is_unsubscribed, groups = row
        shown = tuple([ShownGroup(int(id), name, text, bool(mark)) for id, name, text, mark in groups])
        return PageFacts(name, settings.decode(set_), is_unsubscribed, shown)

    async def act(self, recipient: Recipient, action: Action, by: By, group_id: int | None = None) -> Action | None:
        """Do it, and log its event; returns what was done, None when the tenant is deleted. A second time it changes
        nothing and logs nothing. Who unsubscribes from a group that is gone unsubscribes from all mail: it must not be
        possible that an unsubscribe does nothing."""
        async with self._database.transaction() as connection:
            found = await rows(
                connection, "unsubscribed_message", number=recipient.tenant_number, message_id=recipient.message_id
            )
            if not found:
                return None
            tenant_id, batch_id, categories = found[0]
            if action in _OF_GROUPS and not await rows(
                connection, "lock_group", tenant_id=tenant_id, group_id=group_id
            ):
                if action is Action.RESUBSCRIBE_GROUP:
                    return action
                action = Action.UNSUBSCRIBE_ALL
            is_group = action in _OF_GROUPS
            list_ = SuppressionList.GROUP if is_group else SuppressionList.UNSUBSCRIBES
            group = (group_id or 0) if is_group else 0
            now = datetime.now(UTC)
            if action in (Action.UNSUBSCRIBE_ALL, Action.UNSUBSCRIBE_GROUP):
                entries = new_entries(tenant_id, list_, [recipient.email], now, group)
                changed = bool(await suppress(connection, entries))
            else:
                changed = bool(await lift(connection, tenant_id, list_, [recipient.email], group))
            if changed:
                facts: dict[str, Any] = {
                    "id": new_id("evt_"),
                    "at": now.timestamp(),
                    "tenant_id": tenant_id,
                    "message_id": recipient.message_id,
                    "recipient": recipient.email,
                    "batch_id": batch_id,
                    "categories": tuple(categories or ()),
                    "ip": by.ip,
                    "user_agent": by.user_agent,
                    "machine": by.machine,
                }
                await append(connection, [_event(action, group, facts)])
        return action


def _event(action: Action, group: int, facts: dict[str, Any]) -> Event:
    if action is Action.UNSUBSCRIBE_ALL:
        return Unsubscribed(**facts)
    if action is Action.UNSUBSCRIBE_GROUP:
        return GroupUnsubscribed(asm_group_id=group, **facts)
    return GroupResubscribed(asm_group_id=group, **facts)
