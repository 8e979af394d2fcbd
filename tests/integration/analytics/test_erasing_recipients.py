"""Deleting what ClickHouse has of recipients."""

import time
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from analytics.attempts import ATTEMPTS, attempt_columns
from analytics.client import ClickHouse
from analytics.erasing import ADDRESSES_AT_ONCE, FOUND, erase_recipients
from analytics.queries import timeline
from analytics.rows import columns
from cluster.event_consumer import erase_rejected
from cluster.events import Opened, WebhookAttempt
from tests.files import files_in
from tests.integration.analytics.old_parts import delete_soon
from tests.unit.analytics.samples import deferred, delivered, processed

MAX_WAIT_S = 30.0
JOB = "ers_01HX00000000000000000000AA"
TENANT = processed().tenant_id
BEFORE = "msg_5"
ASKED = 1_900_000_000_000


def event(number: int, recipient: str, message_id: str = "msg_1", **fields: Any) -> Any:
    return replace(delivered(number), id=f"evt_{number}", message_id=message_id, recipient=recipient, **fields)


def attempt(number: int, *event_ids: str, **fields: Any) -> WebhookAttempt:
    made = WebhookAttempt(
        id=f"att_{number}",
        at=1_800_000_000.0,
        tenant_id=TENANT,
        webhook_id="wh_1",
        url="https://hooks.example.com/",
        attempt=1,
        event_ids=event_ids,
        request_headers="",
        request_body="{}",
        request_bytes=2,
        status=200,
        answer_headers="",
        answer_body="",
        error="",
        duration_ms=1,
    )
    return replace(made, **fields)


def erase(client: ClickHouse, *addresses: str) -> None:
    deadline = time.monotonic() + MAX_WAIT_S
    while not erase_recipients(client, JOB, TENANT, addresses, BEFORE, ASKED):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def ids(client: ClickHouse, table: str, column: str = "event_id") -> set[str]:
    return {id for (id,) in client.rows(f"SELECT {column} FROM {table}")}


def test_the_events_of_the_addresses_go_and_no_other(clickhouse: ClickHouse) -> None:
    gone = [event(1, "Ada@Example.com"), event(2, "ada@example.com", "msg_4"), event(3, "JÖRG@bücher.example")]
    stay = [
        event(11, "ada@example.com", "msg_6"),  # accepted later
        event(12, "ada@example.com.example"),
        event(13, "bob@example.com"),
        event(14, "ada@example.com", tenant_id="tnt_other"),
    ]
    clickhouse.insert(columns([*gone, *stay], [(1, number) for number in range(len(gone) + len(stay))]))
    erase(clickhouse, "ada@example.com", "jörg@xn--bcher-kva.example")
    left = {one.id for one in stay}
    assert ids(clickhouse, "events") == ids(clickhouse, "feed") == left
    assert not clickhouse.rows(FOUND, job_id=JOB)


def test_texts_of_others_that_name_an_address_go(clickhouse: ClickHouse) -> None:
    naming = event(1, "bob@example.com", smtp_response="250 also for <Ada@example.com>")
    clickhouse.insert(columns([naming, event(2, "bob@example.com", smtp_response="250 ok")]))
    erase(clickhouse, "ada@example.com")
    texts = clickhouse.rows("SELECT event_id, smtp_response FROM events_once ORDER BY event_id")
    assert texts == [("evt_1", "[erased]"), ("evt_2", "250 ok")]


def test_the_timelines_of_others_name_no_address_any_more(clickhouse: ClickHouse) -> None:
    naming = deferred(1, recipient="bob@example.com", reason="wait for ada@example.com")
    clickhouse.insert(columns([naming, deferred(2, recipient="bob@example.com")]))
    before = timeline(clickhouse, TENANT, "msg_1")
    erase(clickhouse, "ada@example.com")
    first, second = timeline(clickhouse, TENANT, "msg_1")
    assert (first.smtp_response, first.metadata["reason"]) == ("[erased]", "[erased]")
    assert first.metadata == before[0].metadata | {"reason": "[erased]"}
    assert second == before[1]
    assert clickhouse.rows("SELECT count() FROM events WHERE details LIKE '%ada@%'") == [(0,)]


def test_posts_with_an_event_of_the_addresses_go(clickhouse: ClickHouse) -> None:
    clickhouse.insert(
        columns([event(1, "ada@example.com"), event(2, "bob@example.com"), event(3, "bob@example.com", "msg_6")])
    )
    later = {"at": ASKED / 1000 + 1, "request_body": '{"by":"ada@example.com"}'}
    posts = [
        attempt(1, "evt_1", "evt_2"),
        attempt(2, "evt_2"),
        attempt(3, "evt_9", request_body='{"email":"ADA@example.com"}'),
        attempt(4, "evt_9", answer_body="no such person: ada@example.com"),
        attempt(5),
        attempt(6, "evt_1", tenant_id="tnt_other"),
        attempt(7, "evt_2", **later),
        attempt(8, "evt_3", **later),  # of a message that was accepted later
        attempt(9, **later),
    ]
    clickhouse.insert(attempt_columns(posts), ATTEMPTS)
    erase(clickhouse, "ada@example.com")
    assert ids(clickhouse, "webhook_attempts", "attempt_id") == {"att_2", "att_5", "att_6", "att_8", "att_9"}


def test_there_may_be_more_addresses_than_a_query_takes(clickhouse: ClickHouse) -> None:
    addresses = [f"user{number}@example.com" for number in range(ADDRESSES_AT_ONCE + 50)]
    clickhouse.insert(columns([event(number, email) for number, email in enumerate(addresses)]))
    erase(clickhouse, *addresses)
    assert not ids(clickhouse, "events")


def test_no_file_of_the_engine_has_the_address(clickhouse: ClickHouse, tmp_path: Path) -> None:
    address = "very-unusual-person@example.com"
    clickhouse.insert(columns([event(1, address), event(2, "bob@example.com", smtp_response=f"250 {address}")]))
    clickhouse.insert(columns([deferred(3, recipient="bob@example.com", reason=address)]))
    clickhouse.insert(attempt_columns([attempt(1, "evt_1", request_body=f'{{"email":"{address}"}}')]), ATTEMPTS)
    assert named(tmp_path, address), "the search finds nothing"
    erase(clickhouse, address)
    for table in ("events", "webhook_attempts"):
        delete_soon(clickhouse, table)
    deadline = time.monotonic() + MAX_WAIT_S * 4
    while found := named(tmp_path, address):
        assert time.monotonic() < deadline, found
        time.sleep(0.1)


def named(folder: Path, address: str) -> list[str]:
    """The files with the address, in so short texts that no compression takes it apart."""
    return [str(path) for path, content in files_in(folder) if address.encode() in content]


@pytest.mark.parametrize(("addresses", "left"), [((), ["c"]), (("ada@example.com",), ["b", "c"])])
def test_rows_that_were_put_aside_go(tmp_path: Path, addresses: tuple[str, ...], left: list[str]) -> None:
    texts = {"a": b"\x82tnt_1 Ada@example.com", "b": b"\x82tnt_1 bob@example.com", "c": b"\x82tnt_2 ada@example.com"}
    for folder in (tmp_path / "rejected", tmp_path / "rejected" / "webhooks"):
        folder.mkdir()
        for name, text in texts.items():
            (folder / f"{name}.msgpack").write_bytes(text)
    assert erase_rejected(tmp_path, "tnt_1", addresses) == 2 * (len(texts) - len(left))
    assert sorted(path.stem for path in tmp_path.rglob("*.msgpack")) == sorted(left * 2)


def test_first_opens_of_the_addresses_go(clickhouse: ClickHouse) -> None:
    opened: dict[str, Any] = {"ip": "", "user_agent": "", "machine": ""}
    events = [
        Opened(id=f"evt_{email}", at=1_800_000_000.0, tenant_id=TENANT, message_id="msg_1", recipient=email, **opened)
        for email in ("ada@example.com", "bob@example.com")
    ]
    clickhouse.insert(columns(events))
    erase(clickhouse, "ada@example.com")
    assert clickhouse.rows("SELECT recipient_hash = sipHash64('bob@example.com') FROM firsts FINAL") == [(1,)]
