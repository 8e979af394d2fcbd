"""A client of the image library."""

from typing import TYPE_CHECKING, Any

import httpx

from tests.images import png

if TYPE_CHECKING:
    from tests.integration.api.conftest import Site


class Library:
    """A client of the library."""

    def __init__(self, site: "Site", http: httpx.AsyncClient) -> None:
        self.site = site
        self.http = http

    async def upload(self, content: bytes, filename: str = "logo.png", **texts: str) -> httpx.Response:
        return await self.http.post("/v3/images", files={"file": (filename, content, "image/png")}, data=texts)

    async def added(self, content: bytes | None = None, filename: str = "logo.png", **texts: str) -> Any:
        response = await self.upload(png() if content is None else content, filename, **texts)
        assert response.status_code == 201, response.text
        return response.json()

    async def fetch(self, image: Any, method: str = "GET", query: str = "", **headers: str) -> httpx.Response:
        """As anybody does, without a key."""
        return await self.http.request(method, f"/i/{image['id']}{query}", headers={"Authorization": "", **headers})

    async def faults(self, content: bytes, filename: str = "logo.png", **texts: str) -> list[tuple[str, str]]:
        response = await self.upload(content, filename, **texts)
        assert response.status_code == 400, response.text
        return [(fault["field"], fault["message"]) for fault in response.json()["errors"]]
