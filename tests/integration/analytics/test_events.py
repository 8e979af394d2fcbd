"""The schema, the inserts and the reads on the real engine."""

import gc
import socket
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec import structs

from analytics.client import ClickHouse, ClickHouseRejected, ClickHouseUnavailable
from analytics.metrics import Kind
from analytics.queries import timeline
from analytics.rows import COLUMNS, columns
from analytics.statistics import LAST, Statistics, statistics
from analytics.tallies import Uncounted
from cluster.events import Event
from cluster.settings import ClickHouseSettings
from tests.integration.analytics.counting import event_counts
from tests.unit.analytics.samples import (
    AT,
    blocked,
    bounced,
    by_name,
    deferred,
    delivered,
    dropped,
    every_kind,
    processed,
)


def test_the_table_is_as_rows_writes_it(clickhouse: ClickHouse) -> None:
    described = clickhouse.rows(
        "SELECT name, type, comment FROM system.columns WHERE database = 'postray' AND table = 'events'"
    )
    assert {name: kind for name, kind, _ in described} == {**COLUMNS, "details": "String"}
    assert [name for name, _, comment in described if not comment] == []


def test_the_data_is_there_after_reopening(tmp_path: Path, clickhouse: ClickHouse) -> None:
    clickhouse.insert(columns(every_kind()))
    clickhouse.close()
    again = ClickHouse.open(ClickHouseSettings(), tmp_path)
    assert again.migrate() == []
    assert again.rows("SELECT count() FROM events_once") == [(len(every_kind()),)]
    again.close()


def test_a_replay_changes_nothing(clickhouse: ClickHouse) -> None:
    events = every_kind()
    clickhouse.insert(columns(events))
    before = (timeline(clickhouse, "tnt_1", "msg_1"), event_counts(clickhouse, "tnt_1", "bat_1"))
    clickhouse.insert(columns(events[2:] + events[:4]))
    clickhouse.insert(columns([processed(99, message_id="msg_2", batch_id=None)]))
    assert (timeline(clickhouse, "tnt_1", "msg_1"), event_counts(clickhouse, "tnt_1", "bat_1")) == before
    assert clickhouse.rows("SELECT count() FROM events_once") == [(len(events) + 1,)]
    clickhouse.rows("OPTIMIZE TABLE events FINAL")
    assert clickhouse.rows("SELECT count() FROM events") == [(len(events) + 1,)]


def test_repeats_collapse_across_a_months_end_too(clickhouse: ClickHouse) -> None:
    new_year = 1_798_761_600.0  # 2027-01-01T00:00:00Z
    events: list[Event] = [processed(1, at=new_year - 0.001), delivered(2, at=new_year)]
    for _ in range(3):
        clickhouse.insert(columns(events))
    assert [event.timestamp for event in timeline(clickhouse, "tnt_1", "msg_1")] == [
        "2026-12-31T23:59:59.999Z",
        "2027-01-01T00:00:00.000Z",
    ]
    assert clickhouse.rows("SELECT count() FROM events_once") == [(2,)]


def test_a_timeline_is_in_the_order_of_time_and_of_one_tenant(clickhouse: ClickHouse) -> None:
    clickhouse.insert(columns([delivered(3), deferred(2)]))
    clickhouse.insert(columns([processed(1), delivered(9, message_id="msg_2"), delivered(8, tenant_id="tnt_2")]))
    assert [event.event_type for event in timeline(clickhouse, "tnt_1", "msg_1")] == [
        "processed",
        "deferred",
        "delivered",
    ]
    assert timeline(clickhouse, "tnt_3", "msg_1") == []


ENGAGED: dict[str, Any] = {
    "recipient_email": "ada@example.com",
    "ip_address": "203.0.113.42",
    "user_agent": "Mozilla/5.0",
}
TRANSACTION: dict[str, str | int] = {
    "attempt": 2,
    "site": "example.com",
    "mx_host": "mx1.example.com",
    "mx_ip": "192.0.2.1",
    "source_ip": "198.51.100.7",
    "tls_version": "TLSv1.3",
    "tls_cipher": "TLS_AES_256_GCM_SHA384",
    "duration_ms": 42,
}


def test_each_kind_tells_what_it_knows(clickhouse: ClickHouse) -> None:
    clickhouse.insert(columns(every_kind()))
    assert msgspec.to_builtins(timeline(clickhouse, "tnt_1", "msg_1")) == [
        {
            "event_type": "processed",
            "timestamp": "2026-04-23T10:00:03.120Z",
            "recipient_email": "ada@example.com",
            "metadata": {"reason": "images keep their URLs"},
        },
        {
            "event_type": "deferred",
            "timestamp": "2026-04-23T10:00:04.120Z",
            "recipient_email": "ada@example.com",
            "smtp_response": "451 4.7.1 Later",
            "metadata": TRANSACTION
            | {"reason": "greylisted", "bounce_class": "greylisted", "next_attempt_at": "2026-04-23T10:01:02.120Z"},
        },
        {
            "event_type": "delivered",
            "timestamp": "2026-04-23T10:00:05.120Z",
            "recipient_email": "ada@example.com",
            "smtp_response": "250 2.0.0 OK",
            "metadata": TRANSACTION,
        },
        {
            "event_type": "bounce",
            "timestamp": "2026-04-23T10:00:06.120Z",
            "recipient_email": "ada@example.com",
            "bounce_type": "hard",
            "bounce_reason": "no such user",
            "smtp_response": "550 5.1.1 No",
            "metadata": TRANSACTION | {"bounce_class": "bad_mailbox"},
        },
        {
            "event_type": "blocked",
            "timestamp": "2026-04-23T10:00:07.120Z",
            "recipient_email": "ada@example.com",
            "bounce_type": "block",
            "bounce_reason": "listed",
            "smtp_response": "550 5.7.1 Listed",
            "metadata": TRANSACTION | {"bounce_class": "blocklisted"},
        },
        {
            "event_type": "dropped",
            "timestamp": "2026-04-23T10:00:08.120Z",
            "recipient_email": "ada@example.com",
            "metadata": {"reason": "suppressed"},
        },
        ENGAGED | {"event_type": "open", "timestamp": "2026-04-23T10:00:09.120Z", "metadata": {"machine": False}},
        ENGAGED
        | {
            "event_type": "click",
            "timestamp": "2026-04-23T10:00:10.120Z",
            "url": "https://example.com/a",
            "metadata": {"machine": False, "link_index": 2},
        },
        ENGAGED
        | {"event_type": "unsubscribe", "timestamp": "2026-04-23T10:00:11.120Z", "metadata": {"machine": False}},
        *(
            ENGAGED | {"event_type": name, "timestamp": at, "metadata": {"machine": False, "asm_group_id": 5}}
            for name, at in (
                ("group_unsubscribe", "2026-04-23T10:00:12.120Z"),
                ("group_resubscribe", "2026-04-23T10:00:13.120Z"),
            )
        ),
        {
            "event_type": "spam_report",
            "recipient_email": "ada@example.com",
            "timestamp": "2026-04-23T10:00:14.120Z",
            "metadata": {"reason": "abuse"},
        },
    ]


def opened(number: int, day: int, recipient: str, **changes: Any) -> Event:
    event = structs.replace(by_name()["open"], id=f"evt_{number}", at=AT + day * 86_400 + number, recipient=recipient)
    return structs.replace(event, **changes)


def test_a_server_that_writes_large_numbers_as_texts_is_understood(clickhouse: ClickHouse) -> None:
    clickhouse.rows("SET output_format_json_quote_64bit_integers = 1, enable_named_columns_in_function_tuple = 1")
    clickhouse.insert(columns([deferred(1)]))
    (event,) = timeline(clickhouse, "tnt_1", "msg_1")
    assert event.metadata["next_attempt_at"] == "2026-04-23T10:01:02.120Z"


def test_a_machines_open_of_an_image_says_so(clickhouse: ClickHouse) -> None:
    clickhouse.insert(columns([opened(1, 0, "ada@example.com", image="img_1", machine="head")]))
    (event,) = timeline(clickhouse, "tnt_1", "msg_1")
    assert event.metadata == {"source": "image", "image": "img_1", "machine": True, "machine_rule": "head"}


def test_the_first_open_of_each_recipient_is_the_unique_one(clickhouse: ClickHouse) -> None:
    clickhouse.insert(
        columns(
            [
                opened(1, 0, "ada@example.com", machine="apple_mail_privacy"),
                opened(2, 0, "ada@example.com"),
                opened(3, 1, "ada@example.com"),
                opened(4, 1, "bob@example.com", machine="head"),
                opened(5, 1, "bob@example.com", message_id="msg_2"),
                opened(6, 1, "ada@example.com", tenant_id="tnt_2", message_id="msg_3"),
            ]
        )
    )
    query = """
        SELECT toDate(first_at) AS day, event, sum(times), sum(times_by_people), count(), countIf(times_by_people > 0),
            countIf(isNull(first_at_by_people))
        FROM engagement WHERE tenant_id = 'tnt_1' GROUP BY day, event ORDER BY day
    """
    rows = [row[1:] for row in clickhouse.rows(query)]
    assert rows == [("open", 3, 2, 1, 1, 0), ("open", 2, 1, 2, 1, 1)]


def test_any_text_comes_back_as_it_went(clickhouse: ClickHouse) -> None:
    reply = "250-zürich\n250 'quoted' \\N \x00 done\t\"x\""
    clickhouse.insert(columns([delivered(recipient="ünïcode'@bücher.example", smtp_response=reply, duration_ms=0)]))
    (event,) = timeline(clickhouse, "tnt_1", "msg_1")
    assert (event.recipient_email, event.smtp_response) == ("ünïcode'@bücher.example", reply)
    assert event.metadata["duration_ms"] == 0


def test_names_in_a_query_are_values_not_sql(clickhouse: ClickHouse) -> None:
    clickhouse.insert(columns([processed()]))
    assert timeline(clickhouse, "tnt_1", "' OR 1 = 1 --") == []
    assert event_counts(clickhouse, "tnt_1", "\\' OR 1 = 1 --") == {}


def test_a_batch_is_counted_by_event(clickhouse: ClickHouse) -> None:
    clickhouse.insert(columns([*every_kind(), delivered(27, message_id="msg_2"), bounced(28, batch_id="bat_2")]))
    clickhouse.insert(columns([delivered(29, tenant_id="tnt_2"), blocked(5), dropped(6)]))
    assert event_counts(clickhouse, "tnt_1", "bat_1") == {
        "processed": 1,
        "deferred": 1,
        "delivered": 2,
        "bounce": 1,
        "blocked": 1,
        "dropped": 1,
        "open": 1,
        "click": 1,
        "unsubscribe": 1,
        "group_unsubscribe": 1,
        "group_resubscribe": 1,
        "spam_report": 1,
    }
    assert event_counts(clickhouse, "tnt_1", "bat_0") == {}


def test_an_analyst_counts_by_day_and_category(clickhouse: ClickHouse) -> None:
    day = 86_400
    events = [delivered(n, at=n * day, categories=("a", "b") if n % 2 else ("a",)) for n in range(1, 5)]
    clickhouse.insert(columns(events))
    clickhouse.insert(columns(events))
    assert clickhouse.rows(
        "SELECT toString(toDate(at)) AS day, arrayJoin(categories) AS category, event, count() FROM events_once "
        "WHERE tenant_id = 'tnt_1' AND at >= '1970-01-03' GROUP BY ALL ORDER BY ALL"
    ) == [
        ("1970-01-03", "a", "delivered", 1),
        ("1970-01-04", "a", "delivered", 1),
        ("1970-01-04", "b", "delivered", 1),
        ("1970-01-05", "a", "delivered", 1),
    ]


@pytest.mark.parametrize("bad", [delivered(attempt=2**40), delivered(duration_ms=-1), processed(at=1e300)])
def test_a_value_that_fits_no_column_is_rejected_and_nothing_is_written(clickhouse: ClickHouse, bad: Event) -> None:
    with pytest.raises(ClickHouseRejected):
        clickhouse.insert(columns([processed(), bad]))
    assert clickhouse.rows("SELECT count() FROM events") == [(0,)]


def test_one_insert_may_span_any_number_of_months(clickhouse: ClickHouse) -> None:
    clickhouse.insert(columns([processed(n, at=n * 31 * 86_400.0) for n in range(150)]))
    assert clickhouse.rows("SELECT count() FROM events_once") == [(150,)]


def test_a_server_that_does_not_answer_is_unavailable(tmp_path: Path) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    with pytest.raises(ClickHouseUnavailable):
        ClickHouse.open(ClickHouseSettings(dsn=f"clickhouse://127.0.0.1:{port}"), tmp_path)


def test_an_engine_of_another_directory_in_this_process_is_unavailable(clickhouse: ClickHouse, tmp_path: Path) -> None:
    with pytest.raises(ClickHouseUnavailable):
        ClickHouse.open(ClickHouseSettings(), tmp_path / "other")


def test_an_insert_leaves_nothing_to_the_garbage_collector(clickhouse: ClickHouse) -> None:
    gc.collect()
    before = contexts()
    gc.disable()  # our processes collect so seldom that hundreds of inserts would come before the next collection
    try:
        for number in range(3):
            clickhouse.insert(columns([processed(number)]))
        left = [one for one in contexts() if one not in before]
    finally:
        gc.enable()
    assert left == []


def contexts() -> list[object]:
    """The number of insert contexts, including those of other tests that are still referenced."""
    return [one for one in gc.get_objects() if type(one).__name__ == "InsertContext"]


def test_parts_that_were_merged_are_not_deleted_by_a_hundred_threads(clickhouse: ClickHouse) -> None:
    ((made,),) = clickhouse.rows("SELECT engine_full FROM system.tables WHERE database = 'postray' AND name = 'events'")
    assert "concurrent_part_removal_threshold = 100000" in made


def test_bounces_are_counted_once_by_day_and_class_or_domain(clickhouse: ClickHouse) -> None:
    day = 86_400
    events: list[Event] = [
        bounced(1),
        bounced(2, recipient="bob@two.example"),
        bounced(3, bounce_class="spam", bounce_type="block"),
        bounced(4, at=AT + day, bounce_class=""),
        bounced(5, tenant_id="tnt_2"),
        delivered(6),
    ]
    for _ in range(2):  # the second insert is a replay
        clickhouse.insert(columns(events))
    first = int(AT // day) * day

    def counted(kind: Kind, starts: tuple[int, ...], *classes: str) -> list[tuple[int, str, int]]:
        wanted = Statistics(tenant_id="tnt_1", kind=kind, starts=starts, end=first + 2 * day, names=classes)
        found = statistics(clickhouse, wanted, Uncounted(quarters=((0, LAST),)))
        return [((one.start - first) // day, one.name, one.metrics["bounces"] + one.metrics["blocks"]) for one in found]

    both = (first, first + day)
    assert counted(Kind.CLASS, both) == [(0, "bad_mailbox", 2), (0, "spam", 1), (1, "", 1)]
    assert counted(Kind.CLASS_DOMAIN, both[1:], "other", "") == [(1, "example.com", 1)]
    assert counted(Kind.CLASS_DOMAIN, both, "bad_mailbox") == [(0, "example.com", 1), (0, "two.example", 1)]
    assert counted(Kind.CLASS, ()) == []
