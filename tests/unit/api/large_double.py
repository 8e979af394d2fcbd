"""Large requests without a process: read whole, and worked on here."""

from api.http.body import ApiRequest, BegunBody
from api.http.inflating import too_large
from api.send.drafts import Dialect
from api.send.large.frames import Promised, pickled, promised, unpickled
from api.send.large.reading import inflated, read_draft
from api.send.notes import Notes
from api.send.sending import Sending
from cluster.journal.records import ApiKey


class LargeHere:
    def __init__(self, sending: Sending) -> None:
        self._sending = sending
        self.bodies: list[bytes] = []
        """The requests that arrived here."""
        self.names: list[str | None] = []
        """Their idempotency keys."""

    async def send(
        self,
        request: ApiRequest,
        key: ApiKey,
        begun: BegunBody,
        dialect: Dialect,
        idempotency_key: str | None = None,
    ) -> Promised:
        body, more = begun.data, not begun.ended
        while more:
            chunk, more = await request.next_chunk()
            body += chunk
            if len(body) > request.limit:
                raise too_large(request.limit)
        self.bodies.append(body)
        self.names.append(idempotency_key)
        if request.is_gzip and not begun.inflated:
            body = inflated(body, request.limit)
        notes, there = Notes(), unpickled(pickled(dialect))
        return promised(await self._sending.send(read_draft(there, body, notes), notes, key, access=there.access))

    async def stop(self) -> None:
        """There is no process to end."""
