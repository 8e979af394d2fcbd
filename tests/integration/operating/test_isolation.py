"""A tenant sees and changes nothing of another: every route of the OpenAPI document, with the other tenant's ids.

The answer is the one for an id that nothing has, so it does not tell that the thing exists.
"""

import re
from collections.abc import Iterator
from typing import Any

import httpx

from cluster.access.scopes import SCOPES
from cluster.ids import new_id
from cluster.tenancy.granting import add_key
from tests.integration.journal.builders import a_tenant
from tests.integration.operating.test_examples import MAKERS, MAKERS_OF_ROUTES, Caller, caller

__all__ = ["caller"]  # the fixture

ABSENT_NUMBER = "987654321"
NOT_OF_TENANTS = {"operator"}
"""Security schemes of routes that no tenant may call."""


def keyed(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """(method, path, operation) of each route for tenants."""
    for path, item in document["paths"].items():
        for method, operation in item.items():
            schemes = {scheme for requirement in operation["security"] for scheme in requirement}
            if schemes - NOT_OF_TENANTS:
                yield method.upper(), path, operation


def ids_in(value: Any) -> Iterator[str]:
    """The ids of examples in a value."""
    match value:
        case dict():
            for inner in value.values():
                yield from ids_in(inner)
        case list():
            for inner in value:
                yield from ids_in(inner)
        case str() if value in MAKERS:
            yield value


def with_ids(value: Any, ids: dict[str, str]) -> Any:
    match value:
        case dict():
            return {name: with_ids(inner, ids) for name, inner in value.items()}
        case list():
            return [with_ids(inner, ids) for inner in value]
        case str():
            return ids.get(value, value)
    return value


def absent(id: str) -> str:
    """An id of the same form that nothing has."""
    prefix = re.match(r"[a-z]+_|d-", id)
    return f"{prefix[0]}{new_id('msg_')[4:]}" if prefix else ABSENT_NUMBER


async def call(
    http: httpx.AsyncClient, method: str, path: str, operation: dict[str, Any], ids: dict[str, str], key: str
) -> httpx.Response:
    for shown in operation.get("parameters", ()):
        if shown["in"] == "path":
            path = path.replace(f"{{{shown['name']}}}", with_ids(shown["example"], ids))
    query = {
        shown["name"]: with_ids(shown["example"], ids)
        for shown in operation.get("parameters", ())
        if shown["in"] == "query" and "example" in shown
    }
    bodies = list(operation.get("requestBody", {}).get("content", {}).values())
    body = with_ids(bodies[0]["example"], ids) if bodies else None
    return await http.request(method, path, params=query, json=body, headers={"Authorization": f"Bearer {key}"})


async def test_the_ids_of_another_tenant_are_ids_that_nothing_has(caller: Caller) -> None:
    journal = caller.postray.journal
    other = (await add_key(journal, await a_tenant(journal, "other"), "all", SCOPES)).secret
    document = (await caller.http.get("/schema/openapi.json")).json()
    tried = 0
    problems = {}
    for method, path, operation in keyed(document):
        name = f"{method} {path}"
        examples = [shown.get("example") for shown in operation.get("parameters", ())]
        in_path = {shown.get("example") for shown in operation.get("parameters", ()) if shown["in"] == "path"}
        bodies = [content["example"] for content in operation.get("requestBody", {}).get("content", {}).values()]
        if not (wanted := set(ids_in(examples + bodies))):
            continue
        tried += 1
        makers = MAKERS | MAKERS_OF_ROUTES.get(name, {})
        real = {
            id: await make(caller) for id, make in makers.items() if id in wanted
        }  # a thing after what it belongs to
        nothing = {id: absent(real[id]) for id in wanted}
        answers = [await call(caller.http, method, path, operation, ids, other) for ids in (real, nothing)]
        own = await call(caller.http, method, path, operation, real, caller.tokens["key"])
        if not own.is_success:
            problems[name] = f"answered its owner {own.status_code}: {own.text}"
        elif wanted & in_path and answers[0].status_code != 404:
            problems[name] = f"answered {answers[0].status_code}: {answers[0].text}"
        elif answers[0].status_code < 400 or _without(answers[0], real) != _without(answers[1], nothing):
            problems[name] = f"answered {answers[0].text} for what exists, {answers[1].text} for what does not"
    assert not problems, "\n" + "\n".join(f"{name}: {problem}" for name, problem in problems.items())
    assert tried > 10


async def test_no_list_shows_what_another_tenant_has(caller: Caller) -> None:
    journal = caller.postray.journal
    other = (await add_key(journal, await a_tenant(journal, "other"), "all", SCOPES)).secret
    document = (await caller.http.get("/schema/openapi.json")).json()
    made = [
        await make(caller)
        for make in (*MAKERS.values(), *MAKERS_OF_ROUTES["GET /v3/user/scheduled_sends/{batch_id}"].values())
    ]
    shown = [*(id for id in made if not id.isdecimal()), caller.tenant_id]
    asked = 0
    for method, path, operation in keyed(document):
        required = any(shown["required"] for shown in operation.get("parameters", ()))
        if method == "GET" and not required:
            asked += 1
            response = await call(caller.http, method, path, {**operation, "parameters": []}, {}, other)
            assert not [id for id in shown if id in response.text], (path, response.text)
            assert response.status_code in (200, 404), (path, response.text)
    assert asked > 5


def _without(response: httpx.Response, ids: dict[str, str]) -> tuple[int, str]:
    """The answer without the ids that it repeats."""
    text = response.text
    for id in ids.values():
        text = re.sub(rf"\b{re.escape(id)}\b", "…", text)  # not the 3 of /v3
    return response.status_code, text
