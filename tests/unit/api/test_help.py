"""What refusals say of the way out: texts of one module, which name calls and commands that exist."""

import ast
import re
from typing import Any

import click
import httpx
import pytest

from api.http import help_texts
from api.http.access import ROUTES
from api.http.examples import BATCH_ID, MESSAGE_ID
from cluster.cli import main
from cluster.ids import new_id
from cluster.journal.journal import Unavailable
from tests.unit.api.bodies import mail
from tests.unit.api.conftest import World
from tests.unit.api.operating import Operating
from tests.unit.test_borders import modules, relative

TEXTS = {name: text for name, text in vars(help_texts).items() if name.isupper()}
OPEN = {"GET /docs"}
"""Calls that are not in the table of routes."""
_CALL = re.compile(r"\b(?:GET|POST|PUT|PATCH|DELETE) /[\w/{}-]*")
_COMMAND = re.compile(r"`postray ([a-z -]+)`")


@pytest.mark.parametrize("name", TEXTS)
def test_the_calls_and_commands_that_a_help_names_exist(name: str) -> None:
    text = TEXTS[name]
    assert set(_CALL.findall(text)) <= {*ROUTES, *OPEN}
    for words in _COMMAND.findall(text):
        command: click.Command | None = main
        for word in words.split(" "):
            assert isinstance(command, click.Group), words
            command = command.get_command(click.Context(command), word)
        assert command is not None, words
    assert text.count("postray ") == text.count("`postray "), "a command stands in backticks"


REFUSALS = ("Forbidden", "NotFound", "Conflict")


@pytest.mark.parametrize("path", modules("api"), ids=relative)
def test_every_refusal_has_a_help_of_the_module(path: Any) -> None:
    """A help that is written elsewhere names what no test looks for."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            given = [word.value for word in node.keywords if word.arg == "help"]
            given += node.args[2:3] if node.func.id in ("Fault", *REFUSALS) else []
            assert given or node.func.id not in REFUSALS, f"line {node.lineno}: no help"
            written = [value for value in given if isinstance(value, ast.Constant | ast.JoinedStr)]
            assert not written, f"line {node.lineno}: put it into help_texts.py"


def helps(response: httpx.Response) -> list[str | None]:
    return [error["help"] for error in response.json()["errors"]]


def key(world: World, key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


async def test_who_may_not_is_shown_the_way_out(world: World, operating: Operating) -> None:
    assert helps(await world.client.get("/v3/scopes")) == [help_texts.KEY]
    assert helps(await world.client.get("/v3/scopes", headers=key(world, "sg_live_x"))) == [help_texts.KEY]
    for headers in ({"Authorization": "Bearer x"}, {"Authorization": ""}):
        refused = await operating.client.get("/api/admin/sites", headers=headers)
        assert helps(refused) == [help_texts.OPERATOR_TOKEN]
    poor = world.journal.issue_key("messages.read")
    assert helps(await world.send(mail(), poor)) == [help_texts.SCOPE]
    sandbox = world.journal.issue_key("mail.schedule", sandbox=True)
    body = {"batch_id": new_id("bat_"), "status": "pause"}
    paused = await world.client.post("/v3/user/scheduled_sends", json=body, headers=key(world, sandbox))
    assert (paused.status_code, helps(paused)) == (403, [help_texts.SANDBOX])
    foreign = await world.send(mail(**{"from": {"email": "hello@other.example"}}))
    assert (foreign.status_code, helps(foreign)) == (403, [help_texts.SENDER_DOMAIN])


@pytest.mark.parametrize(
    ("path", "help"),
    [
        (f"/v3/messages/{MESSAGE_ID}", help_texts.MESSAGE),
        (f"/v3/mail/batch/{BATCH_ID}", help_texts.BATCH),
        ("/v3/whitelabel/domains/7", help_texts.DOMAIN),
        ("/v3/ips/192.0.2.7", help_texts.ADDRESS),
        ("/v3/ips/pools/none", help_texts.POOL),
        ("/v3/ips/warmup/192.0.2.7", help_texts.WARM_UP),
        ("/v3/nothing", help_texts.CALLS),
    ],
)
async def test_what_does_not_exist_is_shown_where_to_look(world: World, path: str, help: str) -> None:
    response = await world.request("GET", path)
    assert (response.status_code, helps(response)) == (404, [help])


async def test_a_body_that_is_refused_is_shown_what_is_taken(world: World) -> None:
    assert helps(await world.send(b"{")) == [help_texts.SCHEMA]
    assert helps(await world.send(mail(), **{"Content-Type": "text/plain"})) == [help_texts.MEDIA_TYPE]
    large = await world.send(b" " * 21 * 1024 * 1024)
    assert (large.status_code, helps(large)) == (413, [help_texts.SMALLER])
    assert helps(await world.client.put("/v3/mail/send")) == [help_texts.CALLS]


async def test_a_name_that_is_not_known_is_shown_where_to_find_one(world: World) -> None:
    response = await world.send(mail(batch_id=new_id("bat_"), ip_pool_name="none"))
    assert (response.status_code, helps(response)) == (400, [help_texts.BATCH, help_texts.POOL])


async def test_what_cannot_be_done_now_is_shown_when(world: World) -> None:
    world.journal.failures.append(Unavailable("away"))
    response = await world.send(mail())
    assert (response.status_code, helps(response)) == (503, [help_texts.LATER])
    world.full = "the backlog is full"
    response = await world.send(mail())
    assert (response.status_code, helps(response)) == (503, [help_texts.LATER])
