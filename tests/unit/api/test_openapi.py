"""The OpenAPI document: every route, every answer it can give, and that answer's body."""

import re
from pathlib import Path
from typing import Any

import pytest

from api.app import create_app
from api.suppressions.lists import LISTS
from api.webhooks.parts import WebhookParts
from tests.unit.api.conftest import World

KEYED = {"200", "401", "500", "503"}
WITH_BODY = {"400", "401", "403", "404", "408", "413", "415", "422", "500", "503"}
# Every route for keys may also answer 403 (on behalf of another) and 429, and every GET 400 (an unknown parameter).
STATUSES = {
    ("post", "/v3/mail/send"): {"202", "400", "401", "403", "408", "409", "413", "415", "422", "500", "503"},
    ("post", "/v3/mail/batch"): {"201", "401", "403", "500", "503"},
    ("get", "/v3/mail/batch/{id}"): {*KEYED, "400", "403", "404"},
    ("get", "/v3/messages"): {*KEYED, "400", "403"},
    ("get", "/v3/messages/{id}"): {*KEYED, "400", "403", "404"},
    ("post", "/v3/messages/{id}/cancel"): {*KEYED, "400", "403", "404", "409"},
    ("post", "/v3/messages/{id}/retry"): {*KEYED, "400", "403", "404", "409"},
    ("post", "/v3/messages/{id}/fail"): {*KEYED, "400", "403", "404", "408", "409", "413", "415", "422"},
    ("post", "/v3/mail/batch/{id}/cancel"): {*KEYED, "400", "403", "404"},
    ("post", "/v3/user/scheduled_sends"): {"201", *WITH_BODY},
    ("get", "/v3/user/scheduled_sends"): {*KEYED, "403"},
    ("get", "/v3/user/scheduled_sends/{batch_id}"): {*KEYED, "400", "403", "404"},
    ("patch", "/v3/user/scheduled_sends/{batch_id}"): {"204", *WITH_BODY},
    ("delete", "/v3/user/scheduled_sends/{batch_id}"): {"204", "400", "401", "403", "404", "500", "503"},
    ("post", "/api/v1/emails"): {"200", "202", *WITH_BODY, "409"} - {"404"},
    ("get", "/api/v1/emails"): {*KEYED, "400", "403"},
    ("get", "/api/v1/emails/{id}"): {*KEYED, "400", "403", "404"},
    ("post", "/api/v1/emails/{id}/cancel"): {*KEYED, "400", "403", "404", "409"},
    ("post", "/api/v1/emails/{id}/resend"): {*KEYED, "202", "400", "403", "404", "409"},
    ("get", "/v3/whitelabel/domains"): {*KEYED, "400", "403"},
    ("post", "/v3/whitelabel/domains"): {"201", *WITH_BODY, "409"} - {"404"},
    ("get", "/v3/whitelabel/domains/default"): {*KEYED, "400", "403", "404"},
    ("get", "/v3/whitelabel/domains/{id}"): {*KEYED, "400", "403", "404"},
    ("patch", "/v3/whitelabel/domains/{id}"): {"200", *WITH_BODY},
    ("delete", "/v3/whitelabel/domains/{id}"): {"204", "400", "401", "403", "404", "500", "503"},
    ("post", "/v3/whitelabel/domains/{id}/validate"): {*KEYED, "400", "403", "404"},
    ("get", "/v3/whitelabel/links"): {*KEYED, "400", "403"},
    ("post", "/v3/whitelabel/links"): {"201", *WITH_BODY, "409"} - {"404"},
    ("get", "/v3/whitelabel/links/default"): {*KEYED, "400", "403", "404"},
    ("get", "/v3/whitelabel/links/{id}"): {*KEYED, "400", "403", "404"},
    ("patch", "/v3/whitelabel/links/{id}"): {"200", *WITH_BODY},
    ("delete", "/v3/whitelabel/links/{id}"): {"204", "400", "401", "403", "404", "500", "503"},
    ("post", "/v3/whitelabel/links/{id}/validate"): {*KEYED, "400", "403", "404"},
    ("get", "/v3/tracking_settings"): {*KEYED, "404"},
    ("get", "/v3/tracking_settings/click"): {*KEYED, "404"},
    ("patch", "/v3/tracking_settings/click"): {"200", *WITH_BODY},
    ("get", "/v3/tracking_settings/google_analytics"): {*KEYED, "404"},
    ("patch", "/v3/tracking_settings/google_analytics"): {"200", *WITH_BODY},
    ("get", "/v3/tracking_settings/open"): {*KEYED, "404"},
    ("patch", "/v3/tracking_settings/open"): {"200", *WITH_BODY},
    ("get", "/v3/tracking_settings/subscription"): {*KEYED, "404"},
    ("patch", "/v3/tracking_settings/subscription"): {"200", *WITH_BODY},
    ("get", "/v3/mail_settings"): {*KEYED, "404"},
    ("get", "/v3/mail_settings/address_whitelist"): {*KEYED, "404"},
    ("patch", "/v3/mail_settings/address_whitelist"): {"200", *WITH_BODY},
    ("get", "/v3/mail_settings/bounce_purge"): {*KEYED, "404"},
    ("patch", "/v3/mail_settings/bounce_purge"): {"200", *WITH_BODY},
    ("get", "/v3/mail_settings/footer"): {*KEYED, "404"},
    ("patch", "/v3/mail_settings/footer"): {"200", *WITH_BODY},
    ("get", "/v3/mail_settings/forward_bounce"): {*KEYED, "404"},
    ("patch", "/v3/mail_settings/forward_bounce"): {"200", *WITH_BODY},
    ("get", "/v3/mail_settings/forward_spam"): {*KEYED, "404"},
    ("patch", "/v3/mail_settings/forward_spam"): {"200", *WITH_BODY},
    ("get", "/v3/user/settings/enforced_tls"): {*KEYED, "404"},
    ("patch", "/v3/user/settings/enforced_tls"): {"200", *WITH_BODY},
    ("get", "/v3/templates"): {*KEYED, "400", "403"},
    ("post", "/v3/templates"): {"201", *WITH_BODY, "409"} - {"404"},
    ("get", "/v3/templates/{id}"): {*KEYED, "400", "403", "404"},
    ("patch", "/v3/templates/{id}"): {"200", *WITH_BODY},
    ("delete", "/v3/templates/{id}"): {"204", "400", "401", "403", "404", "500", "503"},
    ("post", "/v3/templates/{id}"): {"201", *WITH_BODY, "409"},
    ("post", "/v3/templates/{id}/preview"): {"200", *WITH_BODY},
    ("get", "/v3/templates/{template_id}/versions"): {*KEYED, "400", "403", "404"},
    ("post", "/v3/templates/{template_id}/versions"): {"201", *WITH_BODY, "409"},
    ("get", "/v3/templates/{template_id}/versions/{id}"): {*KEYED, "400", "403", "404"},
    ("patch", "/v3/templates/{template_id}/versions/{id}"): {"200", *WITH_BODY, "409"},
    ("delete", "/v3/templates/{template_id}/versions/{id}"): {"204", "400", "401", "403", "404", "500", "503"},
    ("post", "/v3/templates/{template_id}/versions/{id}/activate"): {*KEYED, "400", "403", "404"},
    ("post", "/v3/templates/{template_id}/versions/{id}/deactivate"): {*KEYED, "400", "403", "404"},
    ("post", "/v3/templates/{template_id}/versions/{id}/duplicate"): {"201", *WITH_BODY, "409"},
    ("post", "/v3/images"): {"201", *WITH_BODY, "409"} - {"404", "422"},
    ("get", "/v3/images"): {*KEYED, "400", "403"},
    ("get", "/v3/images/folders"): {*KEYED, "403"},
    ("get", "/v3/images/{id}"): {*KEYED, "400", "403", "404"},
    ("patch", "/v3/images/{id}"): {"200", *WITH_BODY},
    ("delete", "/v3/images/{id}"): {"204", "400", "401", "403", "404", "500", "503"},
    ("get", "/t/o/{token}"): {"200", "400", "404", "500", "503"},
    ("get", "/t/u/{token}"): {"200", "400", "404", "500", "503"},
    ("post", "/t/u/{token}"): {"200", "303", "400", "404", "500", "503"},
    ("get", "/t/c/{token}"): {"302", "400", "404", "500", "503"},
    ("get", "/v3/suppression/bounces"): {*KEYED, "400", "403"},
    ("post", "/v3/suppression/bounces"): {"201", *WITH_BODY} - {"404"},
    ("delete", "/v3/suppression/bounces"): {"204", *WITH_BODY} - {"404"},
    ("get", "/v3/stats"): {*KEYED, "400", "403"},
    ("get", "/v3/stats/categories"): {*KEYED, "400", "403"},
    ("get", "/v3/stats/summary"): {*KEYED, "400", "403"},
    ("get", "/v3/categories"): {*KEYED, "400", "403"},
    ("get", "/v3/categories/stats"): {*KEYED, "400", "403"},
    ("get", "/v3/categories/stats/sums"): {*KEYED, "400", "403"},
    ("get", "/v3/mailbox_providers/stats"): {*KEYED, "400", "403"},
    ("get", "/v3/suppression/bounces/classifications"): {*KEYED, "400", "403"},
    ("get", "/v3/suppression/bounces/classifications/{classification}"): {*KEYED, "400", "403"},
    ("get", "/v3/suppression/bounces/export"): {*KEYED, "400", "403"},
    ("post", "/v3/suppression/bounces/import"): {"202", *WITH_BODY, "409"} - {"422"},
    ("get", "/v3/suppression/bounces/import/{id}"): {*KEYED, "400", "403", "404"},
    ("get", "/v3/suppression/bounces/{email}"): {*KEYED, "400", "403"},
    ("delete", "/v3/suppression/bounces/{email}"): {"204", "400", "401", "403", "404", "500", "503"},
    ("get", "/v3/suppression/blocks"): {*KEYED, "400", "403"},
    ("post", "/v3/suppression/blocks"): {"201", *WITH_BODY} - {"404"},
    ("delete", "/v3/suppression/blocks"): {"204", *WITH_BODY} - {"404"},
    ("get", "/v3/suppression/blocks/export"): {*KEYED, "400", "403"},
    ("post", "/v3/suppression/blocks/import"): {"202", *WITH_BODY, "409"} - {"422"},
    ("get", "/v3/suppression/blocks/import/{id}"): {*KEYED, "400", "403", "404"},
    ("get", "/v3/suppression/blocks/{email}"): {*KEYED, "400", "403"},
    ("delete", "/v3/suppression/blocks/{email}"): {"204", "400", "401", "403", "404", "500", "503"},
    ("get", "/v3/suppression/invalid_emails"): {*KEYED, "400", "403"},
    ("post", "/v3/suppression/invalid_emails"): {"201", *WITH_BODY} - {"404"},
    ("delete", "/v3/suppression/invalid_emails"): {"204", *WITH_BODY} - {"404"},
    ("get", "/v3/suppression/invalid_emails/export"): {*KEYED, "400", "403"},
    ("post", "/v3/suppression/invalid_emails/import"): {"202", *WITH_BODY, "409"} - {"422"},
    ("get", "/v3/suppression/invalid_emails/import/{id}"): {*KEYED, "400", "403", "404"},
    ("get", "/v3/suppression/invalid_emails/{email}"): {*KEYED, "400", "403"},
    ("delete", "/v3/suppression/invalid_emails/{email}"): {"204", "400", "401", "403", "404", "500", "503"},
    ("get", "/v3/suppression/spam_reports"): {*KEYED, "400", "403"},
    ("post", "/v3/suppression/spam_reports"): {"201", *WITH_BODY} - {"404"},
    ("delete", "/v3/suppression/spam_reports"): {"204", *WITH_BODY} - {"404"},
    ("get", "/v3/suppression/spam_reports/export"): {*KEYED, "400", "403"},
    ("post", "/v3/suppression/spam_reports/import"): {"202", *WITH_BODY, "409"} - {"422"},
    ("get", "/v3/suppression/spam_reports/import/{id}"): {*KEYED, "400", "403", "404"},
    ("get", "/v3/suppression/spam_reports/{email}"): {*KEYED, "400", "403"},
    ("delete", "/v3/suppression/spam_reports/{email}"): {"204", "400", "401", "403", "404", "500", "503"},
    ("get", "/v3/suppression/unsubscribes"): {*KEYED, "400", "403"},
    ("post", "/v3/suppression/unsubscribes"): {"201", *WITH_BODY} - {"404"},
    ("delete", "/v3/suppression/unsubscribes"): {"204", *WITH_BODY} - {"404"},
    ("get", "/v3/suppression/unsubscribes/export"): {*KEYED, "400", "403"},
    ("post", "/v3/suppression/unsubscribes/import"): {"202", *WITH_BODY, "409"} - {"422"},
    ("get", "/v3/suppression/unsubscribes/import/{id}"): {*KEYED, "400", "403", "404"},
    ("get", "/v3/suppression/unsubscribes/{email}"): {*KEYED, "400", "403"},
    ("delete", "/v3/suppression/unsubscribes/{email}"): {"204", "400", "401", "403", "404", "500", "503"},
    ("post", "/v3/user/webhooks"): {"201", *WITH_BODY} - {"404"},
    ("get", "/v3/user/webhooks"): {*KEYED, "403"},
    ("get", "/v3/user/webhooks/{id}"): {*KEYED, "400", "403", "404"},
    ("patch", "/v3/user/webhooks/{id}"): {"200", *WITH_BODY, "409"},
    ("delete", "/v3/user/webhooks/{id}"): {"204", "400", "401", "403", "404", "500", "503"},
    ("post", "/v3/user/webhooks/{id}/rotate"): {"200", *WITH_BODY, "409"},
    ("post", "/v3/user/webhooks/{id}/pause"): {*KEYED, "400", "403", "404"},
    ("post", "/v3/user/webhooks/{id}/resume"): {*KEYED, "400", "403", "404"},
    ("post", "/v3/user/webhooks/{id}/test"): {*KEYED, "400", "403", "404"},
    ("get", "/v3/user/webhooks/{id}/deliveries"): {*KEYED, "400", "403", "404"},
    ("post", "/v3/user/webhooks/{id}/replay"): {"202", *WITH_BODY, "409"},
    ("get", "/v3/user/webhooks/{id}/replay"): {*KEYED, "400", "403", "404"},
    ("get", "/v3/user/webhooks/{id}/replay/{replay_id}"): {*KEYED, "400", "403", "404"},
    ("post", "/v3/user/webhooks/event/settings"): {"201", *WITH_BODY} - {"404"},
    ("get", "/v3/user/webhooks/event/settings"): {*KEYED, "403"},
    ("patch", "/v3/user/webhooks/event/settings"): {"200", *WITH_BODY} - {"404"},
    ("get", "/v3/user/webhooks/event/settings/all"): {*KEYED, "403"},
    ("get", "/v3/user/webhooks/event/settings/{id}"): {*KEYED, "400", "403", "404"},
    ("patch", "/v3/user/webhooks/event/settings/{id}"): {"200", *WITH_BODY},
    ("delete", "/v3/user/webhooks/event/settings/{id}"): {"204", "400", "401", "403", "404", "500", "503"},
    ("get", "/v3/user/webhooks/event/settings/signed/{id}"): {*KEYED, "400", "403", "404"},
    ("patch", "/v3/user/webhooks/event/settings/signed/{id}"): {"200", *WITH_BODY},
    ("post", "/v3/user/webhooks/event/test"): {"204", *WITH_BODY},
    ("get", "/v3/events"): {*KEYED, "400", "403"},
    ("post", "/v3/asm/groups"): {"201", *WITH_BODY, "409"} - {"404"},
    ("get", "/v3/asm/groups"): {*KEYED, "400", "403"},
    ("get", "/v3/asm/groups/{group_id}"): {*KEYED, "400", "403", "404"},
    ("patch", "/v3/asm/groups/{group_id}"): {"201", *WITH_BODY, "409"},
    ("delete", "/v3/asm/groups/{group_id}"): {"204", "400", "401", "403", "404", "500", "503"},
    ("post", "/v3/asm/groups/{group_id}/suppressions"): {"201", *WITH_BODY},
    ("get", "/v3/asm/groups/{group_id}/suppressions"): {*KEYED, "400", "403", "404"},
    ("post", "/v3/asm/groups/{group_id}/suppressions/search"): {"200", *WITH_BODY},
    ("delete", "/v3/asm/groups/{group_id}/suppressions/{email}"): {"204", "400", "401", "403", "404", "500", "503"},
    ("get", "/v3/asm/suppressions"): {*KEYED, "400", "403"},
    ("get", "/v3/asm/suppressions/{email}"): {*KEYED, "400", "403"},
    ("post", "/v3/asm/suppressions/global"): {"201", *WITH_BODY} - {"404"},
    ("get", "/v3/asm/suppressions/global/{email}"): {*KEYED, "400", "403"},
    ("delete", "/v3/asm/suppressions/global/{email}"): {"204", "400", "401", "403", "500", "503"},
    ("post", "/v3/recipients/erasejob"): {"202", *WITH_BODY} - {"404"},
    ("get", "/v3/recipients/erasejob/{id}"): {*KEYED, "400", "403", "404"},
    ("get", "/i/{id}"): {"200", "206", "304", "400", "404", "410", "412", "416", "500", "503"},
    ("get", "/v3/ips"): {*KEYED, "400"},
    ("get", "/v3/ips/assigned"): KEYED,
    ("get", "/v3/ips/pools"): KEYED,
    ("get", "/v3/ips/pools/{pool_name}"): {*KEYED, "400", "404"},
    ("get", "/v3/ips/warmup"): KEYED,
    ("get", "/v3/ips/warmup/{ip_address}"): {*KEYED, "400", "404"},
    ("get", "/v3/ips/{ip_address}"): {*KEYED, "400", "404"},
    ("get", "/v3/scopes"): KEYED,
    ("post", "/v3/api_keys"): {"201", *WITH_BODY} - {"404"},
    ("get", "/v3/api_keys"): {*KEYED, "400", "403"},
    ("get", "/v3/api_keys/{id}"): {*KEYED, "400", "403", "404"},
    ("patch", "/v3/api_keys/{id}"): {"200", *WITH_BODY},
    ("put", "/v3/api_keys/{id}"): {"200", *WITH_BODY},
    ("delete", "/v3/api_keys/{id}"): {"204", "400", "401", "403", "404", "500", "503"},
    ("get", "/healthz"): {"200", "500"},
    ("get", "/readyz"): {"200", "500", "503"},
    ("get", "/metrics"): {"200", "500"},
}
KINDS = {
    ("get", "/i/{id}"): "image/*",
    ("get", "/t/o/{token}"): "image/gif",
    ("get", "/metrics"): "text/plain",
    ("get", "/t/u/{token}"): "text/html",
    ("post", "/t/u/{token}"): "text/html",
    **{("get", f"/v3/suppression/{name}/export"): "text/csv" for name in LISTS},
}
"""The types of the answers that are not JSON."""
PAGES = {
    (method, "/t/u/{token}", status)
    for method, statuses in (("get", ("404", "503")), ("post", ("400", "404", "503")))
    for status in statuses
}
"""Refusals that are pages, as people read them."""


async def document(world: World) -> dict[str, Any]:
    response = await world.client.get("/schema/openapi.json")
    assert response.status_code == 200
    found: dict[str, Any] = response.json()
    return found


async def test_every_route_declares_every_answer_with_its_body(world: World) -> None:
    paths = (await document(world))["paths"]
    declared = {(method, path): operation for path, item in paths.items() for method, operation in item.items()}
    of_keys = {
        (method, path): statuses | {"403", "429"} | ({"400"} if method == "get" else set())
        for (method, path), statuses in STATUSES.items()
        if "401" in statuses
    }
    expected = STATUSES | of_keys
    assert {route: set(operation["responses"]) for route, operation in declared.items()} == expected
    for route, operation in declared.items():
        assert operation["summary"]
        for answer in operation["responses"].values():
            assert answer["description"]
        for status, answer in operation["responses"].items():
            kind = KINDS.get(route, "application/json") if status < "300" else "application/json"
            if (*route, status) in PAGES:
                kind = "text/html"
            assert status in ("204", "302", "303", "304") or answer["content"][kind]["schema"]


async def test_every_answer_to_a_known_key_declares_the_fields_of_its_limit(world: World) -> None:
    fields = {"X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset"}
    for path, item in (await document(world))["paths"].items():
        for operation in item.values():
            limited = "429" in operation["responses"]
            for status, answer in operation["responses"].items():
                has = fields <= set(answer.get("headers", ()))
                assert has == (limited and status != "401"), (path, status)


async def test_it_is_openapi_3_1_and_every_reference_leads_somewhere(world: World) -> None:
    found = await document(world)
    assert found["openapi"].startswith("3.1")
    schemas = found["components"]["schemas"]
    references = set(re.findall(r"'\$ref': '#/components/schemas/([^']+)'", str(found)))
    assert references <= set(schemas)
    send = found["paths"]["/v3/mail/send"]["post"]
    assert send["requestBody"]["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/MailSend"}
    assert "from" in schemas["MailSend"]["properties"]
    assert "X-Message-Id" in send["responses"]["202"]["headers"]


async def test_an_error_is_described_as_it_is_sent(world: World) -> None:
    schemas = (await document(world))["components"]["schemas"]
    error = (await world.client.get("/v3/scopes")).json()
    assert set(schemas["ErrorBody"]["properties"]) == set(error)
    assert set(schemas["Fault"]["properties"]) == set(error["errors"][0])


async def test_what_is_said_of_errors_is_true_of_every_route(world: World) -> None:
    found = await document(world)
    exceptions = {"409": {"ActionAnswer", "CancelAnswer"}, "422": {"SchemaErrorBody"}}
    for path, item in found["paths"].items():
        for method, operation in item.items():
            for status, answer in operation["responses"].items():
                if (method, path, status) in PAGES:
                    continue
                if status < "400" or (path, status) == ("/readyz", "503"):
                    continue
                name = answer["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
                may_be_alike = {"ErrorBody"} if status != "422" else set()
                assert name in exceptions.get(status, set()) | may_be_alike, (path, status)
    said = found["info"]["description"]
    page = (Path(__file__).parents[3] / "docs" / "sending.md").read_text(encoding="utf-8")
    for exception in (*exceptions, "/readyz"):
        assert exception in said
        assert exception in page.partition("An error has")[2].partition("## ")[0]
    shown = found["components"]["schemas"]
    assert all(set(shown[name]["properties"]) == {"message_id", "status", "message"} for name in exceptions["409"])


async def test_a_message_by_itself_shows_all_that_the_list_shows(world: World) -> None:
    schemas = (await document(world))["components"]["schemas"]
    listed, alone = schemas["MessageSummary"]["properties"], schemas["MessageDetail"]["properties"]
    assert {name: alone.get(name) for name in listed} == listed


@pytest.mark.parametrize("path", ["/schema", "/schema/openapi.json", "/schema/openapi.yaml"])
async def test_no_page_of_it_needs_the_internet(world: World, path: str) -> None:
    response = await world.client.get(path)
    assert response.status_code == 200
    assert "<script" not in response.text and "cdn" not in response.text


@pytest.mark.parametrize("path", ["/schema", "/schema/openapi.json", "/schema/openapi.yaml"])
async def test_it_is_made_once(world: World, path: str) -> None:
    bodies = []

    async def receive() -> Any:
        raise AssertionError("nothing is to be read")

    async def send(message: Any) -> None:
        if message["type"] == "http.response.body":
            bodies.append(message["body"])

    for _ in range(2):
        scope: Any = {"type": "http", "method": "GET", "path": path, "headers": [], "query_string": b"", "state": {}}
        await world.app(scope, receive, send)
    assert len(bodies[0]) > 10_000 and bodies[0] is bodies[1]


async def test_unknown_routes_and_methods(world: World) -> None:
    response = await world.client.get("/v3/nope")
    assert (response.status_code, set(response.json())) == (404, {"errors", "detail"})
    response = await world.client.put("/v3/mail/send")
    assert (response.status_code, set(response.json())) == (405, {"errors", "detail"})
    assert "POST" in response.headers["allow"]


def test_making_the_application_touches_nothing() -> None:
    # No collaborator is called, so they can be anything.
    class Untouchable:
        def __getattr__(self, name: str) -> Any:
            if name in ("commit", "start", "stop"):
                return lambda: None
            raise AssertionError(f"{name} was touched")

    from cluster.settings import HttpSettings

    anything: Any = Untouchable()
    create_app(
        HttpSettings(),
        journal=anything,
        directory=anything,
        limiter=anything,
        active_policy=anything,
        domains=anything,
        aliases=anything,
        intake=anything,
        images=anything,
        token_keys=anything,
        engagements=anything,
        large=anything,
        timeline=anything,
        ask_recorder=anything,
        webhooks=WebhookParts(journal=anything, vault=anything, settings=anything, call=anything),
        readiness=anything,
        lifetime_s=1,
    )
