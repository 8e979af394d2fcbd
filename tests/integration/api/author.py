"""A client of the API that writes templates."""

from typing import TYPE_CHECKING, Any

import httpx

if TYPE_CHECKING:
    from tests.integration.api.conftest import Site

TEMPLATES = "/v3/templates"


class Author:
    """A client of the API that writes templates."""

    def __init__(self, site: "Site", http: httpx.AsyncClient) -> None:
        self.site = site
        self.http = http

    async def call(self, method: str, path: str, status: int, body: Any = None) -> Any:
        """The answer to a call, without the common beginning of its path. No body is sent for None."""
        response = await self.http.request(method, f"{TEMPLATES}{path}", json=body)
        assert response.status_code == status, response.text
        return response.json() if response.content else None

    async def template(self, name: str = "welcome", **fields: Any) -> str:
        made = await self.call("POST", "", 201, {"name": name, **fields})
        id: str = made["id"]
        return id

    async def version(self, template_id: str, **fields: Any) -> Any:
        given = {"name": "one", "subject": "Hi {{name}}", "html_content": "<p>Hello {{name}}</p>", **fields}
        return await self.call("POST", f"/{template_id}/versions", 201, given)

    async def faults(self, method: str, path: str, body: Any) -> dict[str | None, str]:
        """The messages of a 400 by their fields."""
        answer = await self.call(method, path, 400, body)
        assert set(answer) == {"errors", "detail"}
        return {fault["field"]: fault["message"] for fault in answer["errors"]}

    async def active_subject(self, template_id: str) -> str | None:
        """The subject of what mail would be sent with."""
        found = await self.site.journal.templates.active(self.site.tenant_id, template_id)
        return found.subject if found is not None and found.use is not None else None
