"""Query parameters that a route does not have, and the header that names a subuser."""

import pytest

from api.http.access import ROUTES
from api.http.auth import NO_SUBUSERS
from api.http.parameters import UNUSED
from tests.unit.api.bodies import mail
from tests.unit.api.conftest import World
from tests.unit.api.operating import Operating


def messages_key(world: World) -> str:
    return world.journal.issue_key("messages.read", "mail.send", "mail.schedule", "mail.cancel")


async def test_a_list_refuses_them_all_at_once_and_names_its_own(world: World) -> None:
    response = await world.request("GET", "/v3/messages", messages_key(world), to_emial="a@b.example", page=1, x="")
    assert response.status_code == 400
    errors = response.json()["errors"]
    assert [error["field"] for error in errors] == ["to_emial", "x"]
    assert all("to_email" in error["message"] and "page_size" in error["message"] for error in errors)
    assert "to_emial" in errors[0]["message"]
    assert world.journal.asked == []


@pytest.mark.parametrize("query", ["colour", "colour=", "colour=1&colour=2", "c%6Flour=1", "page=1&colour=1"])
async def test_however_they_are_written(world: World, query: str) -> None:
    headers = {"Authorization": f"Bearer {messages_key(world)}"}
    for method in ("GET", "HEAD"):
        response = await world.client.request(method, f"/v3/messages?{query}", headers=headers)
        assert response.status_code == 400
    response = await world.client.get(f"/v3/messages?{query}", headers=headers)
    assert [error["field"] for error in response.json()["errors"]] == ["colour"]


async def test_a_route_without_any_says_so(world: World) -> None:
    response = await world.request("GET", "/v3/scopes", limit=5)
    assert (response.status_code, response.json()["detail"]) == (
        400,
        "limit: There is no query parameter limit: this route has none",
    )


async def test_hostile_ones_are_bounded(world: World) -> None:
    query = "&".join(f"{'%0D%0A' * 50}{index}=1" for index in range(150))
    headers = {"Authorization": f"Bearer {world.key}"}
    response = await world.client.get(f"/v3/scopes?{query}", headers=headers)
    assert response.status_code == 400 and len(response.json()["errors"]) == 101 and len(response.content) < 70_000
    response = await world.client.post(f"/v3/mail/batch?{query}", headers=headers)
    assert response.status_code == 201 and response.headers["x-postray-ignored"].endswith(",+130")
    assert len(response.headers["x-postray-ignored"]) < 2200


async def test_the_key_is_asked_for_first(world: World) -> None:
    response = await world.client.get("/v3/messages?colour=1")
    assert response.status_code == 401
    response = await world.request("GET", "/v3/messages", world.journal.issue_key("domains.read"), colour=1)
    assert response.status_code == 403


async def test_a_command_without_parameters_names_them(world: World) -> None:
    response = await world.request("POST", "/v3/mail/batch", dry_run="true")
    assert (response.status_code, response.headers["x-postray-ignored"]) == (201, "dry_run")
    headers = {"Authorization": f"Bearer {world.key}"}
    response = await world.client.post("/v3/mail/send?sandbox=1", json=mail(sendat=1), headers=headers)
    assert (response.status_code, response.headers["x-postray-ignored"]) == (202, "sandbox,sendat")


async def test_what_sendgrid_documents_and_means_nothing_here_is_named(world: World) -> None:
    for route in UNUSED:
        assert route in ROUTES
    response = await world.request("GET", "/v3/whitelabel/domains", username="ada", exclude_subusers="true")
    assert (response.status_code, response.headers["x-postray-ignored"]) == (200, "username,exclude_subusers")
    assert (await world.request("GET", "/v3/whitelabel/domains", usrname="ada")).status_code == 400


async def test_a_command_with_parameters_refuses_others(operating: Operating) -> None:
    response = await operating.client.delete("/api/admin/suspensions?sitee=example.com&all=true")
    assert response.status_code == 400
    assert [error["field"] for error in response.json()["errors"]] == ["sitee"]


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics", "/schema/openapi.json"])
async def test_public_routes_take_no_notice(world: World, path: str) -> None:
    assert (await world.client.get(f"{path}?colour=1")).status_code == 200


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/v3/scopes"), ("POST", "/v3/mail/batch"), ("POST", "/v3/mail/send")]
)
async def test_there_are_no_subusers(world: World, method: str, path: str) -> None:
    headers = {"Authorization": f"Bearer {world.key}", "On-Behalf-Of": "ada"}
    body = mail() if path.endswith("send") else None
    response = await world.client.request(method, path, headers=headers, json=body)
    assert (response.status_code, response.json()["detail"]) == (403, NO_SUBUSERS)
    assert response.json()["errors"][0]["field"] == "on-behalf-of"
    response = await world.client.request(method, path, headers={"On-Behalf-Of": "ada"}, json=body)
    assert response.status_code == 401
    response = await world.client.request(method, path, headers=headers | {"On-Behalf-Of": ""}, json=body)
    assert response.status_code < 300


@pytest.mark.parametrize(
    ("path", "query", "fields"),
    [
        ("/v3/stats", "", ["start_date"]),
        ("/v3/stats", "end_date=never&aggregated_by=year", ["start_date", "aggregated_by", "end_date"]),
        ("/v3/stats", "start_date=2026-04-01&end_date=never&limit=x", ["limit", "end_date"]),
        ("/v3/stats", "colour=1&limit=x", ["colour", "start_date", "limit"]),
        ("/v3/stats", "start_date=2026-04-01&start_date=never", ["start_date", "start_date"]),
        ("/v3/stats", "start_date=2026-04-01&limit=1&limit=1", ["limit"]),
        ("/v3/stats/categories", "end_date=never", ["categories", "start_date", "end_date"]),
        ("/v3/categories/stats/sums", "sort_by_metric=luck&limit=0", ["start_date", "limit", "sort_by_metric"]),
        ("/v3/messages", "page=1&page=2", ["page"]),
        ("/v3/suppression/bounces/classifications", "start_date=x&colour=1", ["colour", "start_date"]),
        (
            "/v3/suppression/bounces/classifications/Nope",
            "start_date=x&end_date=y",
            ["classification", "end_date", "start_date"],
        ),
    ],
)
async def test_all_faults_come_at_once(world: World, path: str, query: str, fields: list[str]) -> None:
    key = world.journal.issue_key("stats.read", "messages.read", "suppressions.read")
    response = await world.client.get(f"{path}?{query}", headers={"Authorization": f"Bearer {key}"})
    assert response.status_code == 400
    assert [error["field"] for error in response.json()["errors"]] == fields, response.text
    if "Required" in response.text:
        assert all(error["message"] != "Required" or error["field"] not in query for error in response.json()["errors"])


async def test_a_list_may_be_given_often(world: World) -> None:
    key = world.journal.issue_key("stats.read")
    query = "start_date=2026-04-01&end_date=2026-04-01&categories=a&categories=b"
    response = await world.client.get(f"/v3/stats/categories?{query}", headers={"Authorization": f"Bearer {key}"})
    assert [one["category"] for one in response.json()["stats"]] == ["a", "b"]
