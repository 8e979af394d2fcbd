"""Routes that are served without Litestar's own steps, and HEAD."""

from typing import Any

import pytest
from litestar import Litestar, Request, Response, get, post
from litestar.testing import TestClient
from litestar.types import Receive, Scope, Send

from cluster.http.application import SERVED_BY, Application


async def straight(scope: Scope, receive: Receive, send: Send) -> None:
    if dict(scope["headers"]).get(b"x-wrong"):
        raise ValueError("wrong")
    await send({"type": "http.response.start", "status": 202, "headers": [(b"content-length", b"8")]})
    await send({"type": "http.response.body", "body": b"straight", "more_body": False})


@post("/served", opt={SERVED_BY: straight}, status_code=202)
async def served() -> str:
    return "by Litestar"


@get("/shown", opt={SERVED_BY: straight})
async def shown() -> str:
    return "by Litestar"


@get("/plain")
async def plain() -> str:
    return "plain"


def in_words(request: Request[Any, Any, Any], error: Exception) -> Response[str]:
    status = getattr(error, "status_code", 418)
    return Response(f"{request.method}: {type(error).__name__}", status_code=status)


@pytest.fixture
def app() -> Litestar:
    return Application([served, shown, plain], exception_handlers={Exception: in_words})


def test_a_route_is_served_by_what_its_options_name(app: Litestar) -> None:
    with TestClient(app) as client:
        assert client.post("/served").text == "straight"
        assert client.get("/plain").text == "plain"


def test_what_it_raises_is_answered_as_of_every_route(app: Litestar) -> None:
    with TestClient(app) as client:
        answer = client.post("/served", headers={"X-Wrong": "1"})
    assert (answer.status_code, answer.text) == (418, "POST: ValueError")


def test_other_methods_of_its_path_are_litestars(app: Litestar) -> None:
    with TestClient(app) as client:
        assert client.get("/served").status_code == 405
        assert client.head("/plain").status_code == 200
        assert client.head("/served").status_code == 405


def test_head_is_served_as_get_is(app: Litestar) -> None:
    with TestClient(app) as client:
        assert client.get("/shown").text == "straight"
        assert client.head("/shown").status_code == 202


def test_what_is_allowed_names_head_where_get_is(app: Litestar) -> None:
    with TestClient(app) as client:
        assert set(client.options("/plain").headers["allow"].split(", ")) == {"GET", "HEAD", "OPTIONS"}
        assert set(client.options("/served").headers["allow"].split(", ")) == {"POST", "OPTIONS"}


def test_it_is_documented(app: Litestar) -> None:
    paths = app.openapi_schema.paths
    assert paths is not None
    assert paths["/served"].post is not None
