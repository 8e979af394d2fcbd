"""Composition root of the API process; topology.py names its function."""

from collections.abc import Mapping

from actors.dispatch import DirectOffers, Dispatcher
from analytics.queries import TimelineEvent
from api.server import ApiServer
from cluster.context import Context, Links
from cluster.peers import PeerGone
from cluster.tasks import Tasks

JOURNAL_CONNECTIONS = 8


class Api:
    """The HTTP server, and what runs beside it in its process: knowing the delivery actors, and offering to them."""

    def __init__(self, server: ApiServer, dispatcher: Dispatcher, offers: DirectOffers, tasks: Tasks) -> None:
        self._server = server
        self._dispatcher = dispatcher
        self._offers = offers
        self._tasks = tasks

    async def start(self) -> None:
        await self._dispatcher.refresh()
        self._tasks.spawn("members", self._dispatcher.keep_fresh())
        self._tasks.spawn("offers", self._offers.run())
        await self._server.start()

    async def problem(self) -> str | None:
        return None if await self._server.health() else "the HTTP server ended"

    async def stop(self) -> None:
        await self._server.stop()
        await self._tasks.stop()


async def api(context: Context, links: Links) -> Api:
    settings = context.settings
    journal = await context.open_journal(JOURNAL_CONNECTIONS)
    dispatcher = Dispatcher(journal, links.call, settings.delivery, context.shares)
    offers = DirectOffers(dispatcher, links.share, settings.delivery.window)

    async def timeline(tenant_id: str, message_id: str) -> list[TimelineEvent]:
        events: list[TimelineEvent] = await links.call("recorder", "timeline", tenant_id, message_id)
        return events

    async def readiness() -> Mapping[str, str | None]:
        try:
            parts: Mapping[str, str | None] = await links.call("supervisor", "readiness")
        except PeerGone as gone:
            return {"supervisor": gone.reason}
        return parts

    server = ApiServer(
        settings.http,
        journal=journal,
        lifetime_s=settings.delivery.lifetime_s,
        offers=offers,
        timeline=timeline,
        readiness=readiness,
    )
    return Api(server, dispatcher, offers, Tasks())
