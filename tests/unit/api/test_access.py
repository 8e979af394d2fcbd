"""Every route with every kind of key: what OpenAPI lists is in the table, is answered as the table says, and is in the
docs as the table has it."""

import re
from pathlib import Path
from typing import Any

import httpx
import pytest

from api.http.access import BODIES, ROUTES, SANDBOX_REFUSED, Access, Caller, SandboxUse
from cluster.access.scopes import SCOPES as EVERY_SCOPE
from cluster.ids import new_id
from cluster.journal.records import BatchCounts, Cancellation, CommandResult, MessageRow
from cluster.policy.lifecycle import Status
from tests.documents import rows
from tests.unit.api.bodies import mail
from tests.unit.api.conftest import World
from tests.unit.api.operating import Operating
from tests.unit.api.test_commands import post
from tests.unit.api.test_messages import AT, keep, row

PAGE = Path(__file__).parents[3] / "docs" / "scopes.md"
BODY = (b"{}", {"Content-Type": "application/json"})


BY_OPERATORS = (Caller.OPERATOR, Caller.OPERATOR_OR_KEY)
SCHEMES: dict[Caller, set[str]] = {
    Caller.ANYBODY: set(),
    Caller.KEY: {"key"},
    Caller.OPERATOR: {"operator"},
    Caller.OPERATOR_OR_KEY: {"operator", "key"},
}


async def listed(client: httpx.AsyncClient) -> dict[str, Any]:
    """The operations of the OpenAPI document, by the names that the table gives them."""
    paths = (await client.get("/schema/openapi.json")).json()["paths"]
    return {f"{method.upper()} {path}": said for path, item in paths.items() for method, said in item.items()}


def placed(name: str) -> tuple[str, str]:
    """A route's method, and its path with an id of the right form that nothing has."""
    method, path = name.split(" ")
    ids = {
        "{id}": new_id("bat_" if "/batch/" in path else "tnt_" if "/tenants/" in path else "msg_"),
        "{batch_id}": new_id("bat_"),
        "{domain}": "a.example",
        "{pool_name}": "marketing",
        "{ip_address}": "192.0.2.1",
    }
    for name, id in ids.items():
        path = path.replace(name, id)
    return method, path


async def called(client: httpx.AsyncClient, name: str, key: str | None) -> httpx.Response:
    method, path = placed(name)
    content, headers = BODY if method in ("POST", "PATCH", "PUT") else (None, {})
    authorization = {"Authorization": f"Bearer {key}"} if key else {"Authorization": ""}
    return await client.request(method, path, content=content, headers={**headers, **authorization})


@pytest.mark.parametrize("name", [name for name in ROUTES if name.startswith("GET ")])
async def test_every_get_route_answers_head(world: World, operating: Operating, name: str) -> None:
    client = operating.client if ROUTES[name].caller in BY_OPERATORS else world.client
    _, path = placed(name)
    asked = [await client.request(method, path) for method in ("GET", "HEAD")]
    assert asked[0].status_code == asked[1].status_code != 405


async def test_head_is_get_and_nothing_else(world: World) -> None:
    assert (await world.client.head("/schema/openapi.json")).status_code == 200
    assert (await world.client.head("/v3/mail/send")).status_code == 405


KEYED = [name for name, access in ROUTES.items() if access.caller is Caller.KEY]


async def test_the_table_has_exactly_the_routes_that_are_served(operating: Operating) -> None:
    assert set(await listed(operating.client)) == set(ROUTES)


async def test_the_document_says_of_each_route_what_the_table_says(operating: Operating) -> None:
    for name, said in (await listed(operating.client)).items():
        access = ROUTES[name]
        schemes = [scheme for requirement in said["security"] for scheme in requirement]
        scopes = [scope for requirement in said["security"] for scope in requirement.get("key", ())]
        expected = SCHEMES[access.caller]
        assert (set(schemes), tuple(scopes)) == (expected, access.scopes), name
        assert ("403" in said["responses"]) == (access.caller is Caller.KEY or bool(access.scopes)), name


async def test_each_single_scope_opens_what_the_table_says_and_nothing_else(world: World) -> None:
    for scope in (*EVERY_SCOPE, "mail", "mail.*", ""):
        key = world.journal.issue_key(scope)
        for name in KEYED:
            access = ROUTES[name]
            response = await called(world.client, name, key)
            if not access.scopes or scope in access.scopes:
                assert response.status_code not in (401, 403), (scope, name, response.text)
            else:
                assert response.status_code == 403, (scope, name, response.text)
                assert response.json()["detail"] == f"Missing required scope: {access.scopes[0]}"


async def test_a_key_without_a_scope_opens_what_takes_none(world: World) -> None:
    key = world.journal.issue_key()
    opened = [name for name in KEYED if (await called(world.client, name, key)).status_code != 403]
    assert opened == [name for name in KEYED if not ROUTES[name].scopes]
    assert "GET /v3/scopes" in opened


async def test_no_key_and_no_tenants_key_opens_what_is_not_its_own(operating: Operating) -> None:
    tenants = operating.journal.issue_key(*EVERY_SCOPE)
    for name, access in ROUTES.items():
        anonymous = await called(operating.client, name, None)
        if access.caller is Caller.ANYBODY:
            assert anonymous.status_code not in (401, 403), name
        else:
            assert anonymous.status_code == 401, name
        if access.caller is Caller.OPERATOR:
            assert (await called(operating.client, name, tenants)).status_code == 401, name


async def test_a_sandbox_key_with_every_scope_is_refused_what_the_table_says(world: World) -> None:
    key = world.journal.issue_key(*EVERY_SCOPE, sandbox=True)
    for name in KEYED:
        response = await called(world.client, name, key)
        refused = ROUTES[name].sandbox is SandboxUse.REFUSED
        assert (response.status_code == 403) == refused, (name, response.text)
        if refused:
            assert response.json()["detail"] == SANDBOX_REFUSED


def test_the_demo_key_has_every_scope_there_is() -> None:
    named = {
        scope for access in ROUTES.values() for scopes in (access.scopes, *access.parts.values()) for scope in scopes
    }
    assert named <= set(EVERY_SCOPE)


async def test_a_route_without_an_entry_keeps_the_application_from_starting(monkeypatch: pytest.MonkeyPatch) -> None:
    without = {name: access for name, access in ROUTES.items() if name != "GET /v3/scopes"}
    monkeypatch.setattr("api.http.routes.ROUTES", without)
    with pytest.raises(KeyError, match="GET /v3/scopes"):
        World()


# What some keys see less of


@pytest.mark.parametrize("scope", ROUTES["GET /v3/messages/{id}"].scopes)
async def test_bodies_are_withheld_from_keys_that_only_follow(world: World, scope: str) -> None:
    message = keep(world, row())
    shown = (await world.request("GET", f"/v3/messages/{message.id}", world.journal.issue_key(scope))).json()
    withheld = scope not in ("messages.read", "mail.send")
    assert shown["content_withheld"] is withheld
    for name in BODIES.split(", "):
        assert (shown[name] is None) is withheld, name
    assert (shown["subject"], shown["to_emails"], shown["events"]) == ("Welcome, Ada", ["ada@example.com"], [])


async def test_sending_later_takes_its_own_scope(world: World) -> None:
    key = world.journal.issue_key("mail.send")
    response = await world.send(mail(send_at=4_102_444_800), key)
    assert (response.status_code, response.json()["detail"]) == (403, "Missing required scope: mail.schedule")


# A sandbox key knows sandbox messages only


@pytest.mark.parametrize("status", [Status.QUEUED, Status.DELIVERED, Status.FAILED, Status.SANDBOX])
async def test_a_sandbox_key_neither_sees_nor_changes_live_messages(world: World, status: Status) -> None:
    message: MessageRow = keep(world, row(status=status))
    world.journal.change = CommandResult(done=False, status=status)
    world.journal.cancellation = Cancellation(cancelled=False, status=status)
    key = world.journal.issue_key(*EVERY_SCOPE, sandbox=True)
    own = status is Status.SANDBOX
    assert (await world.request("GET", f"/v3/messages/{message.id}", key)).status_code == (200 if own else 404)
    for command in ("cancel", "retry", "fail"):
        response = await world.request("POST", f"/v3/messages/{message.id}/{command}", key)
        assert response.status_code == (409 if own else 404), command
    assert len(world.journal.commanded) == (3 if own else 0)


@pytest.mark.parametrize(("asked", "searched"), [(None, 1), ("sandbox", 1), ("queued", 0), ("delivered", 0)])
async def test_a_sandbox_key_lists_sandbox_messages(world: World, asked: str | None, searched: int) -> None:
    key = world.journal.issue_key("messages.read", sandbox=True)
    params = {"status": asked} if asked else {}
    response = await world.request("GET", "/v3/messages", key, **params)
    assert (response.status_code, response.json()["messages"]) == (200, [])
    assert [filter.statuses for filter, _, _ in world.journal.asked] == [(Status.SANDBOX,)] * searched


async def test_a_sandbox_key_cancels_nothing_of_a_batch(world: World) -> None:
    batch_id = (await post(world, "/v3/mail/batch")).json()["batch_id"]
    by_status = {Status.QUEUED: 1, Status.SANDBOX: 1}
    counts = BatchCounts(id=batch_id, created_at=AT, total=2, by_status=by_status, completed_at=None)
    world.journal.counts["tnt_acme", batch_id] = counts
    world.journal.cancelled_of_batch = 1
    key = world.journal.issue_key(*EVERY_SCOPE, sandbox=True)
    response = await world.request("POST", f"/v3/mail/batch/{batch_id}/cancel", key)
    assert (response.status_code, response.json()["cancelled"], world.journal.cancelled_batches) == (200, 0, [])


# The docs


def line(name: str, access: Access) -> str:
    scopes = " or ".join(f"`{scope}`" for scope in access.scopes) or "any"
    parts = "; ".join(
        f"{', '.join(f'`{part}`' for part in parts.split(', '))}: {' or '.join(f'`{s}`' for s in scopes)}"
        for parts, scopes in access.parts.items()
    )
    return f"| `{name}` | {scopes} | {parts} | {access.sandbox.value} |"


def test_the_docs_show_the_table() -> None:
    of_keys = (Caller.KEY, Caller.OPERATOR_OR_KEY)
    expected = [line(name, access) for name, access in ROUTES.items() if access.caller in of_keys]
    shown = [text for text in PAGE.read_text(encoding="utf-8").splitlines() if re.match(r"\| `[A-Z]+ /", text)]
    assert shown == expected, "\n" + "\n".join(expected)


def test_the_docs_show_the_scopes() -> None:
    assert rows(PAGE, "scope | it lets a key") == [(f"`{scope}`", opens) for scope, opens in EVERY_SCOPE.items()]
    used = {scope for access in ROUTES.values() for scope in access.scopes}
    assert used <= EVERY_SCOPE.keys()
