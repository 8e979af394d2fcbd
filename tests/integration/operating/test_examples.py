"""Each example of the OpenAPI document, sent to the API over a real journal: the route answers as it documents."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from datetime import date
from typing import Any

import httpx
import jsonschema
import pytest
from msgspec import Struct

from api.http.access import ROUTES
from api.http.examples import (
    API_KEY_ID,
    BATCH_ID,
    CLICK_TOKEN,
    DOMAIN_ID,
    ERASE_JOB_ID,
    GROUP_ID,
    IMAGE_ID,
    IMPORT_ID,
    LINK_ID,
    MESSAGE_ID,
    OPERATOR_TOKEN_ID,
    PIXEL_TOKEN,
    REPLAY_ID,
    SENDGRID_WEBHOOK_ID,
    TEMPLATE_ID,
    TENANT,
    TENANT_ID,
    UNSUBSCRIBE_TOKEN,
    VERSION_ID,
    WEBHOOK_ID,
)
from cluster.access.scopes import SCOPES
from cluster.demo import DOMAIN
from cluster.ids import new_id
from cluster.keys import operator_token
from cluster.policy.routes.routing import Routing
from cluster.suppression.lists import SuppressionList
from cluster.tenancy.granting import add_key, add_verified_domain
from cluster.tracking.tokens import Recipient
from cluster.vault import secret_key
from cluster.webhooks.endpoints import Dialect
from tests.images import png
from tests.integration.journal.builders import a_message, a_request, a_tenant
from tests.integration.operating.conftest import Postray
from tests.integration.webhooks.builders import an_endpoint
from tests.tracking import click_token, open_token, unsubscribe_token


class Caller(Struct, frozen=True, kw_only=True):
    """A client of the API with a key of every scope and the operator token."""

    postray: Postray
    http: httpx.AsyncClient
    tenant_id: str
    tokens: Mapping[str, str]
    """Tokens by the security scheme of the OpenAPI document."""

    async def post(self, path: str, body: Any = None) -> Any:
        response = await self.http.post(path, json=body, headers=self.headers("key"))
        assert response.is_success, response.text
        return response.json()

    def headers(self, scheme: str | None) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.tokens[scheme]}"} if scheme else {}


Make = Callable[[Caller], Awaitable[str]]


async def _message(caller: Caller) -> str:
    message = a_message()
    await caller.postray.journal.intake.accept([a_request(caller.tenant_id, message)])
    return message.id


async def _failed_message(caller: Caller) -> str:
    message_id = await _message(caller)
    await caller.post(f"/v3/messages/{message_id}/fail", {})
    return message_id


async def _scheduled_message(caller: Caller) -> str:
    email = {"to": ["ada@example.com"], "from_": f"a@{DOMAIN}", "subject": "Later", "text": "Later"}
    made = await caller.post("/api/v1/emails", {**email, "scheduled_at": "2100-01-01T00:00:00Z"})
    message_id: str = made["id"]
    return message_id


async def _batch(caller: Caller) -> str:
    batch_id: str = (await caller.post("/v3/mail/batch"))["batch_id"]
    return batch_id


async def _paused_batch(caller: Caller) -> str:
    batch_id = await _batch(caller)
    await caller.post("/v3/user/scheduled_sends", {"batch_id": batch_id, "status": "pause"})
    return batch_id


async def _tenant(caller: Caller) -> str:
    return caller.tenant_id


async def _domain(caller: Caller) -> str:
    """A domain that mail of the examples does not leave from; a new one where an example has removed the last."""
    journal = caller.postray.journal
    while True:
        for domain in await journal.sender_domains.of_tenant(caller.tenant_id):
            if domain.domain != DOMAIN:
                return str(domain.id)
        name = f"{new_id('bat_')[4:].lower()}.example"
        await add_verified_domain(journal, caller.postray.vault, caller.tenant_id, name)


async def _link(caller: Caller) -> str:
    link = await caller.post(
        "/v3/whitelabel/links", {"domain": "example.net", "subdomain": new_id("bat_")[4:], "default": True}
    )
    return str(link["id"])


async def _group(caller: Caller) -> str:
    made = await caller.post("/v3/asm/groups", {"name": new_id("evt_")[4:], "description": "to be changed"})
    return str(made["id"])


async def _webhook(caller: Caller) -> str:
    """Not over HTTP, where only so many are made a minute."""
    return await an_endpoint(caller.postray.journal, caller.tenant_id)


async def _sendgrid_webhook(caller: Caller) -> str:
    return await an_endpoint(caller.postray.journal, caller.tenant_id, dialect=Dialect.SENDGRID)


async def _erase_job(caller: Caller) -> str:
    return await caller.postray.journal.recipient_erasure.add(caller.tenant_id, ["ada@example.com"])


async def _replay(caller: Caller) -> str:
    """Of the endpoint that was made last."""
    (*_, last) = await caller.postray.journal.webhooks.of_tenant(caller.tenant_id)
    return str((await caller.post(f"/v3/user/webhooks/{last.id}/replay", {"message_id": "msg_x"}))["id"])


def _import(list_: SuppressionList) -> Make:
    async def begin(caller: Caller) -> str:
        imports = caller.postray.journal.suppression_imports
        import_id = await imports.begin(caller.tenant_id, list_)
        assert import_id is not None
        await imports.add(import_id, 0, b"email\n")
        await imports.end(import_id, 1)
        while await imports.work_in():
            pass
        return import_id

    return begin


async def _template(caller: Caller) -> str:
    """A template with an active version."""
    template = await caller.post("/v3/templates", {"name": "to be changed"})
    version = {"name": "first", "subject": "Hi {{name}}", "html_content": "<p>Hello {{name}}</p>"}
    await caller.post(f"/v3/templates/{template['id']}/versions", version)
    template_id: str = template["id"]
    return template_id


async def _newest_template(caller: Caller) -> str:
    """The template of an example that names a version too."""
    templates = await caller.postray.journal.templates.page(caller.tenant_id, ["dynamic"], 1, before="d-~")
    return templates[0][0].id if templates else await _template(caller)


async def _version(caller: Caller) -> str:
    """A version that is not active."""
    path = f"/v3/templates/{await _newest_template(caller)}/versions"
    version_id: str = (await caller.post(path, {"name": "to be changed", "active": 0}))["id"]
    return version_id


async def _image(caller: Caller) -> str:
    files = {"file": ("logo.png", png(), "image/png")}
    made = await caller.http.post("/v3/images", files=files, headers=caller.headers("key"))
    image_id: str = made.json()["id"]
    return image_id


async def _key(caller: Caller) -> str:
    key_id: str = (await caller.post("/v3/api_keys", {"name": "to be changed"}))["api_key_id"]
    return key_id


async def _fresh_tenant(caller: Caller) -> str:
    return await a_tenant(caller.postray.journal, new_id("evt_"))


async def _suspended_tenant(caller: Caller) -> str:
    tenant_id = await _fresh_tenant(caller)
    await caller.postray.journal.tenants.suspend(tenant_id)
    return tenant_id


async def _operator_token(caller: Caller) -> str:
    made = await caller.http.post(
        "/api/admin/operator-tokens", json={"name": "to be revoked"}, headers=caller.headers("operator")
    )
    token_id: str = made.json()["id"]
    return token_id


async def _pixel_token(caller: Caller) -> str:
    return f"{open_token(caller.postray.token_keys, await _recipient(caller))}.gif"


async def _click_token(caller: Caller) -> str:
    return click_token(caller.postray.token_keys, await _recipient(caller), "https://example.com")


async def _unsubscribe_token(caller: Caller) -> str:
    return unsubscribe_token(caller.postray.token_keys, await _recipient(caller))


async def _recipient(caller: Caller) -> Recipient:
    tenant = await caller.postray.journal.tenants.find(caller.tenant_id)
    assert tenant is not None
    return Recipient(
        tenant_number=tenant.number, message_id=await _message(caller), recipient_no=0, email="ada@example.com"
    )


MAKERS: dict[str, Make] = {
    MESSAGE_ID: _message,
    BATCH_ID: _batch,
    DOMAIN_ID: _domain,
    LINK_ID: _link,
    GROUP_ID: _group,
    WEBHOOK_ID: _webhook,
    SENDGRID_WEBHOOK_ID: _sendgrid_webhook,
    REPLAY_ID: _replay,
    ERASE_JOB_ID: _erase_job,
    IMAGE_ID: _image,
    TEMPLATE_ID: _template,
    VERSION_ID: _version,
    API_KEY_ID: _key,
    TENANT: _tenant,
    TENANT_ID: _fresh_tenant,
    OPERATOR_TOKEN_ID: _operator_token,
    PIXEL_TOKEN: _pixel_token,
    CLICK_TOKEN: _click_token,
    UNSUBSCRIBE_TOKEN: _unsubscribe_token,
}
"""What makes the thing that an id of an example stands for; returns its real id."""

MAKERS_OF_ROUTES: dict[str, dict[str, Make]] = {
    "POST /api/v1/emails/{id}/cancel": {MESSAGE_ID: _scheduled_message},
    "POST /v3/messages/{id}/retry": {MESSAGE_ID: _failed_message},
    "GET /v3/user/scheduled_sends/{batch_id}": {BATCH_ID: _paused_batch},
    "PATCH /v3/user/scheduled_sends/{batch_id}": {BATCH_ID: _paused_batch},
    "DELETE /v3/user/scheduled_sends/{batch_id}": {BATCH_ID: _paused_batch},
    "DELETE /api/admin/tenants/{id}": {TENANT_ID: _suspended_tenant},
    **{name: {TEMPLATE_ID: _newest_template} for name in ROUTES if "/v3/templates/{template_id}/versions/{id}" in name},
    "GET /api/admin/tenants/{tenant}/suppressions/{list}/import/{id}": {IMPORT_ID: _import(SuppressionList.BOUNCES)},
    **{
        f"GET /v3/suppression/{list_}/import/{{id}}": {IMPORT_ID: _import(list_)}
        for list_ in SuppressionList
        if list_ is not SuppressionList.GROUP
    },
    **{
        f"{method} /api/admin/tenants/{{id}}/{part}": {TENANT_ID: _tenant}  # a tenant's key sets these of its own
        for method in ("GET", "PUT")
        for part in ("tracking", "settings", "limits")
    },
}
"""Other makers for routes that need the thing in a certain state."""


ROUTING = """
[sources.mta1]
address = "192.0.2.1"

[sources.mta1.warm_up]
started = 2026-11-01
per_day = [50, 100]

[pools.marketing]
mta1 = 1
"""


@pytest.fixture
async def caller(postray: Postray) -> AsyncIterator[Caller]:
    postray.policy.routing = Routing.parse(ROUTING)
    postray.policy.today = lambda: date(2026, 11, 2)
    tenant_id = await a_tenant(postray.journal, "sender")
    await add_verified_domain(postray.journal, postray.vault, tenant_id, DOMAIN)
    key = await add_key(postray.journal, tenant_id, "all", SCOPES)
    tokens = {"key": key.secret, "operator": operator_token(secret_key("", postray.data_dir))}
    async with httpx.AsyncClient(base_url=postray.url) as http:
        yield Caller(postray=postray, http=http, tenant_id=tenant_id, tokens=tokens)


async def test_each_example_is_answered_as_documented(caller: Caller) -> None:
    document = (await caller.http.get("/schema/openapi.json")).json()
    problems = {}
    for path, item in document["paths"].items():
        for method, operation in item.items():
            name = f"{method.upper()} {path}"
            problem = _lacks(operation) or await _sent(caller, name, operation, document)
            if problem:
                problems[name] = problem
    assert not problems, "\n" + "\n".join(f"{name}: {problem}" for name, problem in problems.items())


def _lacks(operation: dict[str, Any]) -> str | None:
    """What the operation's example does not have."""
    for shown in operation.get("parameters", ()):
        if shown["required"] and "example" not in shown:
            return f"no example of {shown['name']}: give the route example=Example({shown['in']}={{…}})"
    for content in operation.get("requestBody", {}).get("content", {}).values():
        if "example" not in content:
            return "no example of the body: give the route example=Example(body={…})"
    return None


async def _sent(caller: Caller, name: str, operation: dict[str, Any], document: dict[str, Any]) -> str | None:
    """Send an operation's example; returns what is wrong with it or with its answer."""
    method, path = name.split(" ")
    bodies = list(operation.get("requestBody", {}).get("content", {}).values())
    for content in bodies:
        if faults := _faults(content["example"], content["schema"], document):
            return f"the example does not fit the schema of the body: {faults}"
    makers = MAKERS | MAKERS_OF_ROUTES.get(name, {})
    made: dict[str, str] = {}

    async def real(value: Any) -> Any:
        """The value with real ids of things that exist."""
        if isinstance(value, dict):
            return {key: await real(inner) for key, inner in value.items()}
        if isinstance(value, list):
            return [await real(inner) for inner in value]
        if isinstance(value, str) and value in makers:
            if value not in made:
                made[value] = await makers[value](caller)
            return made[value]
        return value

    values = {
        place: {
            shown["name"]: await real(shown["example"])
            for shown in operation.get("parameters", ())
            if shown["in"] == place and "example" in shown
        }
        for place in ("path", "query")
    }
    for parameter, value in values["path"].items():
        path = path.replace(f"{{{parameter}}}", value)
    scheme = next((scheme for requirement in operation["security"] for scheme in requirement), None)
    body: dict[str, Any] = {}
    content = operation.get("requestBody", {}).get("content", {})
    if "application/x-www-form-urlencoded" in content:
        body = {"data": bodies[0]["example"]}
    elif "text/csv" in content:
        body = {"content": bodies[0]["example"]}
    elif "multipart/form-data" in content:
        texts = {name: value for name, value in bodies[0]["example"].items() if name != "file"}
        body = {"files": {"file": ("logo.png", png(), "image/png")}, "data": texts}
    elif bodies:
        body = {"json": await real(bodies[0]["example"])}
    response = await caller.http.request(method, path, params=values["query"], headers=caller.headers(scheme), **body)
    return _unlike(response, operation["responses"], document)


def _unlike(response: httpx.Response, documented: dict[str, Any], document: dict[str, Any]) -> str | None:
    """How a response differs from the documented successes."""
    successes = {status: answer for status, answer in documented.items() if status < "400" and status != "304"}
    answer = successes.get(str(response.status_code))
    if answer is None:
        return f"answered {response.status_code}, not {' or '.join(successes)}: {response.text}"
    content = answer.get("content", {})
    if not content:
        return f"answered a body: {response.text}" if response.content else None
    media_type = response.headers["content-type"].partition(";")[0]
    if media_type.startswith("image/"):
        return None if content.keys() & {"image/*", media_type} else f"answered {media_type}"
    if media_type in ("text/html", "text/csv") and media_type in content:
        return None
    if media_type not in content:
        return f"answered {media_type}, not {' or '.join(content)}"
    bodies = response.text.splitlines() if media_type == "application/x-ndjson" else [response.text]
    for body in bodies:
        if faults := _faults(json.loads(body), content[media_type]["schema"], document):
            return f"the answer does not fit its schema: {faults}: {body}"
    return None


def _faults(value: Any, schema: dict[str, Any], document: dict[str, Any]) -> str:
    validator = jsonschema.Draft202012Validator({**schema, "components": document["components"]})
    return "; ".join(f"{error.json_path}: {error.message}" for error in validator.iter_errors(value))


def test_a_route_without_an_example_is_reported_with_what_it_lacks() -> None:
    required: dict[str, Any] = {"parameters": [{"name": "id", "in": "path", "required": True}]}
    assert _lacks(required) == "no example of id: give the route example=Example(path={…})"
    with_body: dict[str, Any] = {"requestBody": {"content": {"application/json": {}}}}
    assert _lacks(with_body) == "no example of the body: give the route example=Example(body={…})"
    assert _lacks({}) is None
