"""Idempotency-Key on POST /v3/mail/send, over a journal in memory."""

import asyncio
import gzip
from typing import Any, cast

import msgspec
import pytest

from api.http.idempotency import LONGEST
from cluster.intake.backpressure import Overloaded
from cluster.intake.idempotency import MOST_TWINS, Idempotency
from cluster.intake.intake import KeyTaken
from cluster.journal.idempotency import IdempotencyKey
from cluster.journal.journal import Journal, Unavailable
from tests.unit.api.bodies import mail, many, to
from tests.unit.api.conftest import World
from tests.unit.api.journal_double import JournalDouble
from tests.unit.virtual_time import in_virtual_time

KEY = {"Idempotency-Key": "order 7"}
ANOTHER_HEADERS = {"date": "x"}


async def test_a_repeat_gets_the_first_answer_and_sends_nothing(world: World) -> None:
    body = mail(personalizations=[to("a@example.com"), to("b@example.com")], headers=ANOTHER_HEADERS)
    first = await world.send(body, **KEY)
    assert first.status_code == 202 and "Idempotent-Replayed" not in first.headers
    again = await world.send(body, **KEY)
    assert (again.status_code, again.content) == (202, first.content)
    assert again.headers["Idempotent-Replayed"] == "true"
    for name in ("X-Message-Id", "X-Postray-Ignored", "Content-Type"):
        assert again.headers[name] == first.headers[name]
    assert len(world.journal.requests) == 1


async def test_without_the_header_each_request_is_sent(world: World) -> None:
    first, second = await world.send(mail()), await world.send(mail())
    assert first.json() != second.json()
    assert [request.idempotency for request in world.journal.requests] == [None, None]


async def test_another_body_is_refused_with_the_way_out(world: World) -> None:
    await world.send(mail(), **KEY)
    other = await world.send(mail(subject="Another"), **KEY)
    assert other.status_code == 409
    (error,) = other.json()["errors"]
    assert error["field"] == "Idempotency-Key" and "a new key" in error["help"]
    assert len(world.journal.requests) == 1


async def test_a_body_is_the_same_compressed_or_not(world: World) -> None:
    body = msgspec.json.encode(mail())
    first = await world.send(body, **KEY)
    again = await world.send(gzip.compress(body), **KEY, **{"Content-Encoding": "gzip"})
    assert again.content == first.content
    assert again.headers["Idempotent-Replayed"] == "true"


@pytest.mark.parametrize("name", ["", " ", "x" * (LONGEST + 1), "a\x01b", "a\x7f", "a\tb"])
async def test_a_key_is_refused(world: World, name: str) -> None:
    response = await world.send(mail(), **{"Idempotency-Key": name.strip(" ")})
    assert response.status_code == 400, response.text
    assert [error["field"] for error in response.json()["errors"]] == ["Idempotency-Key"]
    assert not world.journal.requests


@pytest.mark.parametrize("name", ["x", "x" * LONGEST, '"8e03978e-40d5-43e8-bc93-6894a57f9324"', "a b ~"])
async def test_a_key_is_taken(world: World, name: str) -> None:
    assert (await world.send(mail(), **{"Idempotency-Key": name})).status_code == 202


async def test_two_keys_and_text_that_is_not_ascii_are_refused(world: World) -> None:
    headers = [("Authorization", f"Bearer {world.key}"), ("Idempotency-Key", "a"), ("idempotency-key", "a")]
    response = await world.client.post("/v3/mail/send", content=msgspec.json.encode(mail()), headers=headers)
    assert [error["field"] for error in response.json()["errors"]] == ["Idempotency-Key"]
    headers = [headers[0], ("Idempotency-Key", "schlüssel")]
    encoded = [(name.encode(), value.encode()) for name, value in headers]
    response = await world.client.post("/v3/mail/send", content=msgspec.json.encode(mail()), headers=encoded)
    assert [error["field"] for error in response.json()["errors"]] == ["Idempotency-Key"]


async def test_a_key_belongs_to_its_tenant_and_the_sandbox_is_apart(world: World) -> None:
    world.journal.verified.add(("tnt_other", "mail.example.com"))
    keys = [
        world.key,
        world.journal.issue_key("mail.send", tenant_id="tnt_other"),
        world.journal.issue_key("mail.send", sandbox=True),
    ]
    answers = [(await world.send(mail(), key, **KEY)).json()["message_id"] for key in keys]
    assert len(set(answers)) == 3
    other_key_of_the_tenant = world.journal.issue_key("mail.send")
    assert (await world.send(mail(), other_key_of_the_tenant, **KEY)).json()["message_id"] == answers[0]


async def test_who_may_not_send_gets_no_first_answer(world: World) -> None:
    await world.send(mail(), **KEY)
    assert (await world.send(mail(), "sg_live_" + "0" * 32, **KEY)).status_code == 401
    assert (await world.send(mail(), world.journal.issue_key("domains.read"), **KEY)).status_code == 403


async def test_a_refusal_is_not_stored(world: World) -> None:
    assert (await world.send(mail(subject=""), **KEY)).status_code == 400
    assert (await world.send(mail(**{"from": {"email": "a@strange.example"}}), **KEY)).status_code == 403
    world.journal.failures = [Unavailable("away")]
    assert (await world.send(mail(), **KEY)).status_code == 503
    world.full = "The queue is full"
    assert (await world.send(mail(), **KEY)).status_code == 503
    world.full = None
    first = await world.send(mail(), **KEY)
    assert first.status_code == 202 and "Idempotent-Replayed" not in first.headers


async def test_a_full_system_answers_repeats(world: World) -> None:
    first = await world.send(mail(), **KEY)
    world.full = "The queue is full"
    assert (await world.send(mail(), **KEY)).json() == first.json()
    assert (await world.send(mail(), **{"Idempotency-Key": "new"})).status_code == 503


async def test_twins_wait_for_the_first(world: World) -> None:
    world.journal.gate = asyncio.Event()
    twins = [asyncio.create_task(world.send(mail(), **KEY)) for _ in range(5)]
    other = asyncio.create_task(world.send(mail(subject="Another"), **KEY))
    stranger = asyncio.create_task(world.send(mail()))
    for _ in range(50):
        await asyncio.sleep(0)
    world.journal.gate.set()
    answers = await asyncio.gather(*twins)
    assert len({answer.content for answer in answers}) == 1
    assert sum("Idempotent-Replayed" in answer.headers for answer in answers) == 4
    assert ((await other).status_code, (await stranger).status_code) == (409, 202)
    assert len(world.journal.requests) == 2


async def test_large_requests_take_the_key_along(world: World) -> None:
    body = mail(personalizations=[to(*many(900)[start : start + 100]) for start in range(0, 900, 100)] * 3)
    body["personalizations"] = [
        to(*[f"p{n}-{one['email']}" for one in p["to"]]) for n, p in enumerate(body["personalizations"])
    ]
    assert (await world.send(body, **KEY)).status_code == 202
    long = mail(content=[{"type": "text/plain", "value": "x" * 1_200_000}])
    assert (await world.send(long, **{"Idempotency-Key": "long"})).status_code == 202
    assert (await world.send(long)).status_code == 202
    assert world.large.names == ["order 7", "long", None]


NAMED = IdempotencyKey(text="a", sandbox=False, body_sha256=b"1")


@in_virtual_time
async def test_a_twin_in_another_process_is_waited_for_so_long() -> None:
    idempotency = Idempotency(cast(Journal, JournalDouble()))
    tries = 0

    async def taken() -> Any:
        nonlocal tries
        tries += 1
        raise KeyTaken

    began = asyncio.get_running_loop().time()
    with pytest.raises(Overloaded, match="not answered yet"):
        await idempotency.once("tnt_acme", NAMED, taken)
    assert 30 <= asyncio.get_running_loop().time() - began <= 31
    assert 60 <= tries <= 80

    async def commits() -> str:
        return "sent"

    assert await idempotency.once("tnt_acme", NAMED, commits) == "sent"  # the other one failed


@in_virtual_time
async def test_only_so_many_twins_wait_and_nothing_is_left_of_them() -> None:
    idempotency = Idempotency(cast(Journal, JournalDouble()))
    gate = asyncio.Event()

    async def wait() -> None:
        await gate.wait()

    twins = [asyncio.create_task(idempotency.once("tnt_acme", NAMED, wait)) for _ in range(MOST_TWINS)]
    await asyncio.sleep(0.01)
    with pytest.raises(Overloaded):
        await idempotency.once("tnt_acme", NAMED, wait)
    assert await idempotency.once("tnt_other", NAMED, _at_once) is None
    twins[0].cancel()  # a client that went away hands its turn on
    twins[-1].cancel()
    gate.set()
    assert [type(one) for one in await asyncio.gather(*twins, return_exceptions=True)].count(type(None)) == 62
    assert not idempotency._turns


async def _at_once() -> None:
    return None
