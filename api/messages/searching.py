"""Searches of messages, for every list that a client may ask for: few at a time, tenants in turn."""

from msgspec import structs

from api.http.sharing import FairShare
from cluster.journal.journal import Journal
from cluster.journal.message_filter import MessageFilter
from cluster.journal.records import ApiKey, MessagePage, MessageRow
from cluster.policy.lifecycle import Status

SEARCHES = 2
"""The most searches at one time, from different tenants: each may use a core of Postgres' machine."""
SEARCHES_OF_A_TENANT = 1
SEARCH_MAX_WAIT_S = 30.0
TOO_MANY_SEARCHES = "Too many searches at once; try again later"


class MessageSearches:
    """Lists the messages that a key may see."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._searches = FairShare(SEARCHES, SEARCHES_OF_A_TENANT, SEARCH_MAX_WAIT_S, TOO_MANY_SEARCHES)

    async def page(self, key: ApiKey, filter: MessageFilter, limit: int, offset: int) -> MessagePage:
        """The page of the filter's messages, newest first; a sandbox key sees only sandbox messages. Raises Overloaded,
        TookTooLong, Unavailable."""
        seen = _seen_by(key, filter)
        if seen is None:
            return MessagePage(messages=[], total=0, total_is_exact=True)
        async with self._searches.hold(key.tenant_id, 1):
            return await self._journal.messages.page(seen, limit, offset)

    async def some(self, key: ApiKey, filter: MessageFilter, limit: int) -> list[MessageRow]:
        """As ``page``, without a count."""
        seen = _seen_by(key, filter)
        if seen is None:
            return []
        async with self._searches.hold(key.tenant_id, 1):
            return await self._journal.messages.some(seen, limit)


def _seen_by(key: ApiKey, filter: MessageFilter) -> MessageFilter | None:
    """What a key may see of it: a sandbox key only sandbox messages. None: nothing."""
    if not key.sandbox:
        return filter
    if filter.statuses and Status.SANDBOX not in filter.statuses:
        return None
    return structs.replace(filter, statuses=(Status.SANDBOX,))
