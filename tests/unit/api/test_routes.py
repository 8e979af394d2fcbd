"""Groups of routes: what is in one, who may call it, and which parts of the API import which."""

from pathlib import Path

import pytest
from litestar import get

from api.http.access import Caller
from api.http.routes import for_caller, resource
from tests.unit.api.conftest import World
from tests.unit.api.operating import Operating
from tests.unit.test_borders import imported, modules, relative

# Parts of the API that a resource may import besides itself. The modules that assemble the API (app, build, server)
# may import all.
PLUMBING = {"http"}
OTHERS = {
    "http": set[str](),
    "admin": {"http", "messages", "keys", "domains", "suppressions", "webhooks", "recipients"},
    "piisend": {"http", "messages", "send"},  # another dialect of these two
    "submission": {"http", "send"},  # another way to the latter
    # Pages over what the others answer.
    "console": {"http", "admin", "batches", "domains", "health", "messages", "suppressions"},
    "tracking": {"http", "unsubscribing"},  # a cut link is told by the same page
}
"""Parts whose allowed imports are not just the plumbing."""
ROOT_MODULES = {"api/__init__.py", "api/app.py", "api/build.py", "api/server.py"}
ROOMS = [path for path in modules("api") if relative(path) not in ROOT_MODULES]


async def show() -> str:
    return ""


def test_a_route_belongs_to_the_caller_that_the_table_names() -> None:
    for caller in (Caller.ANYBODY, Caller.OPERATOR):
        scopes = resource("/v3/scopes", get()(show), tag="keys")
        with pytest.raises(ValueError, match="/v3/scopes is for an API key"):
            for_caller(caller, scopes)


async def test_a_group_asks_no_key_for_what_litestar_answers_itself(world: World, operating: Operating) -> None:
    for client, path in ((world.client, "/v3/messages"), (operating.client, "/api/admin/sites")):
        response = await client.options(path, headers={"Authorization": ""})
        assert (response.status_code, response.headers["allow"]) == (204, "GET, HEAD, OPTIONS")
        assert (await client.get(path, headers={"Authorization": ""})).status_code == 401


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/v3/mail/send", "POST, OPTIONS"),
        ("/v3/messages", "GET, HEAD, OPTIONS"),
        ("/v3/user/scheduled_sends", "GET, HEAD, POST, OPTIONS"),
    ],
)
async def test_another_method_is_told_which_there_are(world: World, path: str, allowed: str) -> None:
    response = await world.client.put(path)
    assert (response.status_code, response.headers["allow"]) == (405, allowed)


@pytest.mark.parametrize("path", ROOMS, ids=relative)
def test_resources_lean_on_the_plumbing_and_not_on_each_other(path: Path) -> None:
    parts = relative(path).removesuffix(".py").split("/")
    ours = {name.split(".")[1] for name in imported(path) if name.startswith("api.")}
    assert ours <= OTHERS.get(parts[1], PLUMBING) | {parts[1]}
