"""The emails API over a journal in memory."""

import base64
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import msgspec
import pytest

from cluster.journal.records import MessageRow, NewRequest
from cluster.policy.lifecycle import Status
from tests.unit.api.conftest import World

PATH = "/api/v1/emails"


def email(**changes: Any) -> dict[str, Any]:
    """An email without faults, and changes to it; a change to None takes the key away."""
    body: dict[str, Any] = {
        "to": ["ada@example.com"],
        "from_": "billing@mail.example.com",
        "subject": "Your receipt",
        "html": "<p>Thanks</p>",
        "text": "Thanks",
    }
    return {key: value for key, value in (body | changes).items() if value is not None}


def attachment(size: int = 4, **changes: Any) -> dict[str, Any]:
    content = base64.b64encode(b"x" * size).decode()
    return {"filename": "a.pdf", "content_type": "application/pdf", "content_b64": content} | changes


class Emails:
    """A client of the emails API with a key ``pii_…``."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.journal = world.journal
        self.key = world.journal.issue_key("emails:send", "emails:read", kind="piisend")

    async def post(self, body: Any, path: str = PATH, key: str | None = None, **headers: str) -> httpx.Response:
        """A ``body`` of bytes is sent unchanged, any other is encoded."""
        content = body if isinstance(body, bytes) else msgspec.json.encode(body)
        sent = {"Authorization": f"Bearer {key or self.key}", "Content-Type": "application/json", **headers}
        return await self.world.client.post(path, content=content, headers=sent)

    async def get(self, path: str = "", key: str | None = None, **params: Any) -> httpx.Response:
        return await self.world.request("GET", f"{PATH}{path}", key or self.key, **params)

    async def faults(self, body: Any) -> list[tuple[str | None, str]]:
        """(field, message) of an email that is answered with 400."""
        response = await self.post(body)
        assert response.status_code == 400, response.text
        assert not self.journal.requests
        return [(error["field"], error["message"]) for error in response.json()["errors"]]

    async def fields(self, body: Any) -> list[str | None]:
        return [field for field, _ in await self.faults(body)]

    @property
    def request(self) -> NewRequest:
        """The only one that was committed."""
        (request,) = self.journal.requests
        return request

    def stored(self, request: NewRequest, status: Status = Status.QUEUED, **changes: Any) -> MessageRow:
        """The message of a committed request, as the journal has it from now on."""
        message = request.messages[0]
        fields: dict[str, Any] = {
            "id": message.id,
            "tenant_id": request.tenant_id,
            "request_id": request.id,
            "batch_id": request.batch_id,
            "created_at": request.created_at,
            "send_at": message.send_at,
            "subject": message.subject,
            "content": request.content,
            "personalization": message.personalization,
            "status": Status.SANDBOX if message.sandbox else status,
            "retry_count": 0,
            "next_retry_at": None,
            "finished_at": None,
            "error_message": None,
        }
        row = MessageRow(**fields | changes)
        self.journal.rows[row.tenant_id, row.id] = row
        return row


@pytest.fixture
def emails(world: World) -> Emails:
    return Emails(world)


def later(**length: float) -> str:
    """A time from now on, as ``scheduled_at`` has it."""
    return (datetime.now(UTC) + timedelta(**length)).isoformat().replace("+00:00", "Z")
