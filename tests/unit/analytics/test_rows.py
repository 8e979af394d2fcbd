from typing import Any, get_args

import pytest
from msgspec import structs

from analytics.rows import COLUMNS, columns
from cluster.events import Event, name_of
from tests.unit.analytics.samples import (
    blocked,
    bounced,
    by_name,
    deferred,
    delivered,
    dropped,
    every_kind,
    processed,
)


def row_of(event: Event) -> dict[str, Any]:
    return dict(zip(COLUMNS, (values[0] for values in columns([event])), strict=True))


def test_a_delivery_fills_every_column_it_has_a_fact_for() -> None:
    assert row_of(delivered()) == {
        "event_id": "evt_00000000000000000000000003",
        "at": 1_776_938_405_120,
        "tenant_id": "tnt_1",
        "message_id": "msg_1",
        "event": "delivered",
        "recipient": "ada@example.com",
        "recipient_domain": "example.com",
        "batch_id": "bat_1",
        "categories": ("onboarding", "welcome"),
        "attempt": 2,
        "site": "example.com",
        "mx_host": "mx1.example.com",
        "mx_ip": "192.0.2.1",
        "source_ip": "198.51.100.7",
        "tls_version": "TLSv1.3",
        "tls_cipher": "TLS_AES_256_GCM_SHA384",
        "smtp_response": "250 2.0.0 OK",
        "duration_ms": 42,
        "bounce_type": "",
        "bounce_class": "",
        "reason": "",
        "next_attempt_at": None,
        "url": "",
        "link_index": 0,
        "image": "",
        "asm_group_id": 0,
        "ip": "",
        "user_agent": "",
        "machine": False,
        "machine_rule": "",
        "log_tx": 0,
        "sequence": 0,
    }


def test_positions_stay_with_their_events_though_kinds_are_grouped() -> None:
    events: list[Event] = [delivered(1), processed(2), delivered(3)]
    made = dict(zip(COLUMNS, columns(events, [(7, 10), (7, 11), (8, 12)]), strict=True))
    found = dict(zip(made["event_id"], zip(made["log_tx"], made["sequence"], strict=True), strict=True))
    assert found == {events[0].id: (7, 10), events[1].id: (7, 11), events[2].id: (8, 12)}


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (processed(), ("processed", 0, "", "", "", "images keep their URLs", None)),
        (deferred(), ("deferred", 2, "451 4.7.1 Later", "", "greylisted", "greylisted", 1_776_938_462_120)),
        (bounced(), ("bounce", 2, "550 5.1.1 No", "hard", "bad_mailbox", "no such user", None)),
        (blocked(), ("blocked", 2, "550 5.7.1 Listed", "block", "blocklisted", "listed", None)),
        (dropped(), ("dropped", 0, "", "", "", "suppressed", None)),
    ],
)
def test_each_kind_has_its_own_columns(event: Event, expected: tuple[Any, ...]) -> None:
    row = row_of(event)
    names = ("event", "attempt", "smtp_response", "bounce_type", "bounce_class", "reason", "next_attempt_at")
    assert tuple(row[name] for name in names) == expected


@pytest.mark.parametrize(
    ("name", "changes", "expected"),
    [
        ("open", {}, ("", 0, "", 0, False, "")),
        ("open", {"image": "img_1", "machine": "head"}, ("", 0, "img_1", 0, True, "head")),
        ("click", {}, ("https://example.com/a", 2, "", 0, False, "")),
        ("click", {"machine": "at_delivery"}, ("https://example.com/a", 2, "", 0, True, "at_delivery")),
        ("unsubscribe", {}, ("", 0, "", 0, False, "")),
        ("group_unsubscribe", {}, ("", 0, "", 5, False, "")),
        ("group_resubscribe", {"asm_group_id": 0}, ("", 0, "", 0, False, "")),
    ],
)
def test_what_recipients_do_has_its_own_columns(name: str, changes: dict[str, Any], expected: tuple[Any, ...]) -> None:
    row = row_of(structs.replace(by_name()[name], **changes))
    assert (
        tuple(row[of] for of in ("url", "link_index", "image", "asm_group_id", "machine", "machine_rule")) == expected
    )
    assert (row["event"], row["ip"], row["user_agent"]) == (name, "203.0.113.42", "Mozilla/5.0")


def test_no_kind_is_forgotten() -> None:
    assert {type(event) for event in every_kind()} == set(get_args(Event))
    assert {name: name_of(event) for name, event in by_name().items()} == {name: name for name in by_name()}


def test_columns_are_parallel_and_keep_the_events_order() -> None:
    made = columns(every_kind())
    assert len(made) == len(COLUMNS)
    assert {len(values) for values in made} == {len(every_kind())}
    assert list(made[0]) == [event.id for event in every_kind()]


def test_nothing_makes_no_columns() -> None:
    assert columns([]) == []


@pytest.mark.parametrize(
    ("recipient", "domain"),
    [
        ("Ada@EXAMPLE.com", "example.com"),
        ('"a@b"@example.net', "example.net"),
        ("x@Bücher.example", "xn--bcher-kva.example"),
    ],
)
def test_the_domain_follows_the_last_at_sign(recipient: str, domain: str) -> None:
    assert row_of(processed(recipient=recipient))["recipient_domain"] == domain


def test_no_batch_is_an_empty_one() -> None:
    assert row_of(processed(batch_id=None))["batch_id"] == ""


@pytest.mark.parametrize(("at", "written"), [(0.0, 0), (1.0006, 1001), (1_776_938_402.9996, 1_776_938_403_000)])
def test_times_are_rounded_to_milliseconds(at: float, written: int) -> None:
    assert row_of(processed(at=at))["at"] == written


@pytest.mark.parametrize("at", [float("nan"), float("inf")])
def test_a_time_that_is_none_is_an_error(at: float) -> None:
    with pytest.raises((ValueError, OverflowError)):
        columns([processed(at=at)])
