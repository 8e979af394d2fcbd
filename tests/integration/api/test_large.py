"""Large requests: the worker process takes those within the limits; others are refused like any request."""

import asyncio
import gzip
import os
import signal
from pathlib import Path
from typing import Any

import httpx
import msgspec
import psutil
import pytest

from cluster.events import decode_batch
from tests.integration.api.conftest import Site
from tests.unit.api.bodies import mail, to


@pytest.fixture
async def client(site: Site) -> Any:
    async with httpx.AsyncClient(base_url=site.url, headers=site.headers, timeout=120) as client:
        yield client


def workers() -> list[psutil.Process]:
    return [child for child in psutil.Process().children() if "api.send.large.worker" in " ".join(child.cmdline())]


def long_body(**changes: Any) -> bytes:
    return msgspec.json.encode(mail(content=[{"type": "text/plain", "value": "x" * 1_200_000}], **changes))


async def test_many_recipients_and_long_categories_are_taken(site: Site, client: httpx.AsyncClient) -> None:
    """Their events repeat no category: 2 MB had become 160 MB, which no bound would take."""
    categories = [f"{number}" + "c" * 254 for number in range(10)]
    people = [[f"u{number}-{message}@example.org" for number in range(600)] for message in range(100)]
    body = mail(personalizations=[to(*some) for some in people], categories=categories)
    response = await client.post("/v3/mail/send", content=msgspec.json.encode(body))
    assert response.status_code == 202, response.text
    ids = response.json()["message_ids"]
    assert len(ids) == 100
    rows = await site.journal.event_log.after("recorder", 1000, 1 << 40)
    assert sum(len(row.events) for row in rows) < 10_000_000
    events = [event for row in rows for event in decode_batch(row.events)]
    assert [event.recipient for event in events] == [one for some in people for one in some]
    assert {event.message_id for event in events} == set(ids)
    assert all(event.categories == tuple(categories) for event in events)
    assert len(site.due) == 50_000 and {waiting.message_id for waiting in site.due} <= set(ids)


async def test_the_worker_runs_nothing_of_the_current_folder(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch, strangers_folder: Path
) -> None:
    monkeypatch.chdir(strangers_folder)
    assert (await client.post("/v3/mail/send", content=long_body())).status_code == 202


async def test_a_long_body_is_taken_compressed_or_not(site: Site, client: httpx.AsyncClient) -> None:
    body = long_body()
    plain = await client.post("/v3/mail/send", content=body)
    packed = await client.post("/v3/mail/send", content=gzip.compress(body), headers={"Content-Encoding": "gzip"})
    assert (plain.status_code, packed.status_code) == (202, 202)
    assert len(workers()) == 1
    (one, other) = (plain.json()["message_id"], packed.json()["message_id"])
    assert [await site.journal.messages.find(site.tenant_id, id) is not None for id in (one, other)] == [True, True]


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        (b'{"personalizations":[{"to":[{}]},{"to":[' + b"{}," * 6_000_000 + b"{}]}]}", 400, "personalizations[1]"),
        (b'{"personalizations":[' + b"{}," * 6_000_000 + b"{}]}", 400, "personalizations"),
        (b'{"custom_args":{"a":[' + b"[]," * 6_000_000 + b"[]]}}", 400, "custom_args.a"),
        (b" " * 19_000_000 + b"{", 422, None),
        (b'{"a":' * 3_000_000, 422, None),
        (b'{"custom_args":{"a":' + b"9" * 19_000_000 + b"}}", 422, "custom_args[...]"),
        (long_body(subject="a\r\nb"), 400, "subject"),
        (long_body(**{"from": {"email": "a@other.example"}}), 403, "from"),
    ],
    ids=["recipients", "personalizations", "values", "white space", "nesting", "a number", "a fault", "a sender"],
)
async def test_what_never_can_be_taken_is_refused(
    client: httpx.AsyncClient, body: bytes, status: int, field: str | None
) -> None:
    packed = gzip.compress(body, 1)
    response = await client.post("/v3/mail/send", content=packed, headers={"Content-Encoding": "gzip"})
    assert response.status_code == status, response.text[:500]
    assert response.json()["errors"][0]["field"] == field


async def test_keys_that_would_take_the_worker_long_are_refused_before(client: httpx.AsyncClient) -> None:
    sets = [{"a": "", f"{'a' * 70}{'b' * 9_000}{number}": ""} for number in range(1000)]
    people = [to(f"u{number}@example.org", substitutions=values) for number, values in enumerate(sets)]
    response = await client.post("/v3/mail/send", content=msgspec.json.encode(mail(personalizations=people)))
    assert response.status_code == 400, response.text
    assert [fault["field"] for fault in response.json()["errors"]] == ["personalizations"]


async def test_a_gzip_body_of_empty_members_is_refused(client: httpx.AsyncClient) -> None:
    body = gzip.compress(b"") * 900_000
    response = await client.post("/v3/mail/send", content=body, headers={"Content-Encoding": "gzip"})
    assert (response.status_code, "members" in response.json()["detail"]) == (400, True)


async def test_a_worker_that_dies_fails_one_request_only(client: httpx.AsyncClient) -> None:
    assert (await client.post("/v3/mail/send", content=long_body())).status_code == 202
    (worker,) = workers()
    worker.suspend()
    sending = asyncio.create_task(client.post("/v3/mail/send", content=long_body()))
    await asyncio.sleep(0.1)
    os.kill(worker.pid, signal.SIGKILL)
    response = await sending
    assert (response.status_code, "retry-after" in response.headers) == (503, True)
    assert (await client.post("/v3/mail/send", content=long_body())).status_code == 202
    assert [other.pid for other in workers()] != [worker.pid]


async def test_it_ends_with_the_server(site: Site, client: httpx.AsyncClient) -> None:
    assert (await client.post("/v3/mail/send", content=long_body())).status_code == 202
    (worker,) = workers()
    await site.server.stop()
    assert not worker.is_running()


async def test_a_large_request_with_an_idempotency_key_is_sent_once(site: Site, client: httpx.AsyncClient) -> None:
    named = {"Idempotency-Key": "the newsletter of May"}
    twins = await asyncio.gather(*(client.post("/v3/mail/send", content=long_body(), headers=named) for _ in range(2)))
    compressed = gzip.compress(long_body())
    again = await client.post("/v3/mail/send", content=compressed, headers=named | {"Content-Encoding": "gzip"})
    assert {answer.status_code for answer in (*twins, again)} == {202}
    assert len({answer.content for answer in (*twins, again)}) == 1
    assert [("Idempotent-Replayed" in answer.headers) for answer in twins].count(True) == 1
    assert again.headers["Idempotent-Replayed"] == "true"
    assert len(site.due) == 1
    other = await client.post("/v3/mail/send", content=long_body(subject="Another"), headers=named)
    assert other.status_code == 409
    assert other.json()["errors"][0]["field"] == "Idempotency-Key"
    small = await client.post("/v3/mail/send", json=mail(), headers=named)
    assert small.status_code == 409
