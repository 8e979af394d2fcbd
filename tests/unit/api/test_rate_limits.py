"""The limits of a tenant as a client sees them: what is refused, what is charged, and what every answer shows."""

import asyncio
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from api.http.access import ROUTES, Caller
from api.send.large.frames import Promised
from cluster.journal.journal import Unavailable
from cluster.tenancy.limits import Limit, RequestLimits
from tests.unit.api.conftest import World

BODY: dict[str, Any] = {
    "personalizations": [{"to": [{"email": "ada@example.com"}]}],
    "from": {"email": "hello@mail.example.com"},
    "subject": "Welcome",
    "content": [{"type": "text/plain", "value": "Welcome"}],
}
FIELDS = ("X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset")


def of(count: int, **more: Any) -> dict[str, Any]:
    """A request with as many messages."""
    return BODY | {"personalizations": [{"to": [{"email": f"u{n}@example.com"}]} for n in range(count)]} | more


def shown(response: httpx.Response) -> tuple[int, int, int]:
    limit, remaining, reset = (int(response.headers[name]) for name in FIELDS)
    return limit, remaining, reset


def assert_refused(response: httpx.Response, detail: str = "Rate limit exceeded") -> None:
    assert response.status_code == 429, response.text
    answer = response.json()
    assert answer["detail"] == answer["errors"][0]["message"] == detail
    assert answer["errors"][0]["field"] is None and answer["errors"][0]["help"]
    assert int(response.headers["Retry-After"]) >= 1
    assert shown(response)[2] > 0


@pytest.fixture
def limited(world: World) -> World:
    """A tenant that may send 10 messages a second, and ask for 5 of anything else."""
    world.journal.limits["tnt_acme"] = RequestLimits(
        messages_per_s=10, reads_per_s=5, creations_per_min=5, requests_per_s=5
    )
    return world


async def test_messages_are_counted_and_every_answer_shows_how_many_are_left(limited: World) -> None:
    reset = None
    for left in (9, 8, 7):
        response = await limited.send(BODY)
        assert response.status_code == 202
        limit, remaining, reset = shown(response)
        assert (limit, remaining) == (10, left)
    assert reset is not None
    assert shown(await limited.send(of(7)))[1] == 0
    assert_refused(await limited.send(BODY))
    limited.now += 1
    assert (await limited.send(BODY)).status_code == 202
    assert sum(len(request.messages) for request in limited.journal.requests) == 11


async def test_a_thousand_messages_are_possible_at_any_limit_and_paid_for_afterwards(limited: World) -> None:
    assert (await limited.send(of(1000))).status_code == 202
    refused = await limited.send(BODY)
    assert_refused(refused)
    assert refused.headers["Retry-After"] == "100"
    limited.now += 99
    assert_refused(await limited.send(BODY))
    limited.now += 1
    assert (await limited.send(of(1000))).status_code == 202


async def test_the_body_of_a_tenant_in_debt_is_not_read(limited: World) -> None:
    await limited.send(of(1000))
    assert_refused(await limited.send(b"no JSON"))
    taken = []

    async def body() -> Any:
        taken.append(1)
        yield b"{"

    headers = {"Authorization": f"Bearer {limited.key}", "Content-Type": "application/json"}
    response = await limited.client.post("/v3/mail/send", content=body(), headers=headers)
    assert_refused(response)
    assert not taken


async def test_only_what_is_accepted_is_charged(limited: World) -> None:
    async def left() -> int:
        return shown(await limited.send(b"{}"))[1]

    assert await left() == 10
    bodies = (b"{", b"[]", BODY | {"subject": None}, BODY | {"from": {"email": "a@other.example"}}, of(1001))
    for body in bodies:
        response = await limited.send(body)
        assert response.status_code in (400, 403, 422)
        assert shown(response) == (10, 10, shown(response)[2])
    limited.journal.failures = [Unavailable("away")]
    assert (await limited.send(of(4))).status_code == 503
    limited.full = "full"
    assert shown(await limited.send(BODY))[1] == 10
    limited.full = None
    no_scope = await limited.send(BODY, limited.journal.issue_key("messages.read"))
    assert no_scope.status_code == 403 and shown(no_scope)[1] == 10
    assert await left() == 10


async def test_requests_at_the_same_time_cannot_pass_together(limited: World) -> None:
    answers = await asyncio.gather(*[limited.send(of(4)) for _ in range(20)])
    assert sorted(answer.status_code for answer in answers) == [202] * 3 + [429] * 17


async def test_the_sandbox_is_charged_by_the_second(limited: World) -> None:
    sandboxed = of(10, mail_settings={"sandbox_mode": {"enable": True}})
    assert shown(await limited.send(sandboxed))[1] == 0
    assert_refused(await limited.send(BODY, limited.journal.issue_key("mail.send", sandbox=True)))


@pytest.mark.parametrize(("path", "limit"), [("/v3/messages", "reads"), ("/v3/scopes", "requests")])
async def test_other_requests_count_one_whatever_their_answer_is(limited: World, path: str, limit: str) -> None:
    key = limited.journal.issue_key("messages.read")
    lefts = [shown(await limited.request("GET", path, key))[:2] for _ in range(5)]
    assert lefts == [(5, left) for left in (4, 3, 2, 1, 0)]
    assert_refused(await limited.request("GET", path, key))
    assert limited.limiter.refused[f"{limit}_per_s"] == 1


async def test_limits_are_apart_from_each_other_and_from_other_tenants(limited: World) -> None:
    key = limited.journal.issue_key("messages.read")
    for _ in range(6):
        last = await limited.request("GET", "/v3/scopes", key)
    assert_refused(last)
    assert (await limited.request("GET", "/v3/messages", key)).status_code == 200
    assert (await limited.send(BODY)).status_code == 202
    other = limited.journal.issue_key(tenant_id="tnt_other")
    response = await limited.request("GET", "/v3/scopes", other)
    assert response.status_code == 200 and shown(response)[:2] == (1000, 999)


async def test_all_keys_of_a_tenant_share_its_limits(limited: World) -> None:
    keys = [limited.journal.issue_key("messages.read") for _ in range(6)]
    codes = [(await limited.request("GET", "/v3/scopes", key)).status_code for key in keys]
    assert codes == [200] * 5 + [429]


async def test_errors_of_other_routes_show_it_too(limited: World) -> None:
    key = limited.journal.issue_key("messages.read")
    for path, status in (("/v3/messages/msg_none", 404), ("/v3/messages?page_size=0", 400), ("/v3/mail/batch/x", 403)):
        response = await limited.request("GET", path, key)
        assert response.status_code == status and shown(response)[0] == 5
    limited.journal.broken = RuntimeError("a defect")
    response = await limited.request("GET", "/v3/messages", key)
    assert response.status_code == 500 and shown(response)[0] == 5


async def test_without_a_key_there_is_nothing_to_show(limited: World) -> None:
    for path in ("/v3/scopes", "/healthz", "/nowhere"):
        assert not set(FIELDS) & {name.title() for name in (await limited.client.get(path)).headers}
    assert "x-ratelimit-limit" not in (await limited.send(BODY, "sg_live_" + "0" * 32)).headers


async def test_a_limit_of_0_is_none_and_shows_nothing(world: World) -> None:
    world.journal.limits["tnt_acme"] = RequestLimits(messages_per_s=0, requests_per_s=0)
    for _ in range(20):
        response = await world.send(of(1000))
        assert response.status_code == 202 and FIELDS[0] not in response.headers
    assert FIELDS[0] not in (await world.request("GET", "/v3/scopes")).headers


async def test_a_changed_limit_holds_after_the_next_poll_and_what_is_used_stays_used(limited: World) -> None:
    assert shown(await limited.send(of(6)))[1] == 4
    limited.journal.limits["tnt_acme"] = RequestLimits(messages_per_s=20)
    limited.journal.changed_tenants = {"tnt_acme"}
    await limited.directory.refresh()
    assert shown(await limited.send(b"{}"))[:2] == (20, 14)


# The daily quota


@pytest.fixture
def with_quota(world: World) -> World:
    world.journal.limits["tnt_acme"] = RequestLimits(messages_per_day=10)
    return world


async def test_messages_over_the_quota_are_refused_and_never_a_part_of_a_request(with_quota: World) -> None:
    assert (await with_quota.send(of(6))).status_code == 202
    refused = await with_quota.send(of(5))
    assert_refused(refused, "Daily quota exceeded")
    assert shown(refused)[:2] == (10, 4)
    assert 3 * 3600 < int(refused.headers["Retry-After"]) <= 4 * 3600
    assert (await with_quota.send(of(4))).status_code == 202
    assert_refused(await with_quota.send(b"unread"), "Daily quota exceeded")
    assert [request.uses_quota for request in with_quota.journal.requests] == [True, True]
    assert with_quota.limiter.refused["messages_per_day"] == 2


async def test_what_is_used_is_read_before_the_first_message(with_quota: World) -> None:
    with_quota.journal.used["tnt_acme"] = (3, 4)
    assert_refused(await with_quota.send(of(4)), "Daily quota exceeded")
    assert (await with_quota.send(of(3))).status_code == 202


async def test_what_is_not_committed_uses_nothing_of_the_day(with_quota: World) -> None:
    with_quota.journal.failures = [Unavailable("away")]
    assert (await with_quota.send(of(10))).status_code == 503
    assert (await with_quota.send(of(11))).status_code == 429
    assert (await with_quota.send(of(10))).status_code == 202


async def test_a_new_day_begins_at_midnight(with_quota: World) -> None:
    await with_quota.send(of(10))
    with_quota.now += 4 * 3600 - 1
    with_quota.journal.used["tnt_acme"] = (10, 0)
    assert_refused(await with_quota.send(BODY), "Daily quota exceeded")
    with_quota.now += 1
    with_quota.journal.used.clear()
    assert (await with_quota.send(of(10))).status_code == 202


async def test_the_sandbox_uses_nothing_of_the_day(with_quota: World) -> None:
    test_key = with_quota.journal.issue_key("mail.send", sandbox=True)
    sandboxed = of(10, mail_settings={"sandbox_mode": {"enable": True}})
    assert (await with_quota.send(sandboxed)).status_code == 202
    assert (await with_quota.send(of(10))).status_code == 202
    assert (await with_quota.send(BODY, test_key)).status_code == 202
    assert [request.uses_quota for request in with_quota.journal.requests] == [False, True, False]


async def test_a_quota_alone_is_shown_where_no_rate_is_set(world: World) -> None:
    world.journal.limits["tnt_acme"] = RequestLimits(messages_per_s=0, messages_per_day=10)
    assert shown(await world.send(of(4)))[:2] == (10, 6)


async def test_nothing_is_accepted_while_the_use_of_the_day_cannot_be_read(with_quota: World) -> None:
    await with_quota.send(BODY)
    with_quota.now += 2
    with_quota.journal.broken = Unavailable("away")
    assert (await with_quota.send(BODY)).status_code == 503
    with_quota.journal.broken = None
    assert (await with_quota.send(BODY)).status_code == 202


# Large requests


async def test_a_large_request_is_charged_when_another_process_has_committed_it(limited: World) -> None:
    allowance = await limited.limiter.begin_elsewhere("tnt_acme", sandbox=False, may_be_repeat=False)
    assert allowance is None
    limited.limiter.spend("tnt_acme", len(Promised(["msg"] * 1000).message_ids), counted=False)
    refused = await limited.send(BODY)
    assert_refused(refused)
    assert refused.headers["Retry-After"] == "100"


# The table of routes


def creating() -> Iterator[str]:
    webhooks = ("POST /v3/user/webhooks", "POST /v3/user/webhooks/event/settings")
    return (name for name in ROUTES if name in ("POST /v3/api_keys", *webhooks))


def test_each_route_is_counted_under_the_limit_of_its_kind() -> None:
    found = {name: access.limit for name, access in ROUTES.items() if access.caller is Caller.KEY}
    special = dict.fromkeys(("POST /v3/mail/send", "POST /api/v1/emails"), Limit.MESSAGES)
    special |= dict.fromkeys(("GET /v3/messages", "GET /api/v1/emails"), Limit.READS)
    special |= dict.fromkeys(creating(), Limit.CREATIONS)
    assert {name: limit for name, limit in found.items() if limit is not Limit.REQUESTS} == special
