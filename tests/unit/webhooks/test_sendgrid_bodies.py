"""Bodies in SendGrid's dialect."""

from typing import Any

import msgspec
import pytest

from cluster.events import Event
from cluster.webhooks.bodies import sendgrid
from cluster.webhooks.endpoints import EVENT_NAMES
from tests.unit.analytics.samples import blocked, bounced, by_name, deferred, delivered, dropped, processed
from tests.unit.webhooks.samples import disabled, owed

ARGS = {"user_id": "u_12345", "tries": 3, "plan": {"name": "gold"}}
COMMON = ARGS | {
    "email": "ada@example.com",
    "sg_message_id": "msg_1",
    "smtp-id": "<msg_1@mail.example.com>",
    "category": ["onboarding", "welcome"],
    "asm_group_id": 4,
}
CLIENT = {"useragent": "Mozilla/5.0", "ip": "203.0.113.42"}
EXPECTED: dict[str, dict[str, Any]] = {
    "processed": {"event": "processed"},
    "deferred": {
        "event": "deferred",
        "ip": "198.51.100.7",
        "response": "451 4.7.1 Later",
        "reason": "greylisted",
        "attempt": "2",
    },
    "delivered": {"event": "delivered", "ip": "198.51.100.7", "response": "250 2.0.0 OK", "tls": 1},
    "bounce": {
        "event": "bounce",
        "type": "bounce",
        "ip": "198.51.100.7",
        "reason": "550 5.1.1 No",
        "status": "5.1.1",
        "bounce_classification": "Invalid Address",
        "tls": 1,
    },
    "blocked": {
        "event": "bounce",
        "type": "blocked",
        "ip": "198.51.100.7",
        "reason": "550 5.7.1 Listed",
        "status": "5.7.1",
        "bounce_classification": "Reputation",
        "tls": 1,
    },
    "dropped": {"event": "dropped", "reason": "suppressed", "status": "5.0.0"},
    "open": CLIENT | {"event": "open", "sg_machine_open": False, "sg_content_type": "html"},
    "click": CLIENT | {"event": "click", "url": "https://example.com/a", "url_offset": {"index": 2, "type": "html"}},
    "spam_report": {"event": "spamreport"},
    "unsubscribe": CLIENT | {"event": "unsubscribe"},
    "group_unsubscribe": CLIENT | {"event": "group_unsubscribe", "asm_group_id": 5},
    "group_resubscribe": CLIENT | {"event": "group_resubscribe", "asm_group_id": 5},
}


def read(event: Event, **changes: Any) -> Any:
    (found,) = msgspec.json.decode(sendgrid.body([owed(event, **changes)]))
    return found


@pytest.mark.parametrize("name", by_name())
def test_each_event(name: str) -> None:
    event = by_name()[name]
    assert read(event) == COMMON | EXPECTED[name] | {"timestamp": int(event.at), "sg_event_id": event.id}


def test_every_name_that_an_endpoint_may_choose_has_one_of_sendgrids() -> None:
    assert list(sendgrid.NAMES) == list(EVENT_NAMES)
    assert sendgrid.NAMES["spam_report"] == "spamreport"


def test_an_events_own_fields_win_over_custom_args() -> None:
    own = read(delivered())
    mine = dict.fromkeys(own, "mine")
    assert read(delivered(), custom_args=mine) == {**mine, **own, **dict.fromkeys(ARGS, "mine")}


def test_what_is_not_known_is_absent() -> None:
    told = read(processed(categories=()), custom_args={}, smtp_id="", asm_group_id=0)
    assert told.keys() == {"email", "timestamp", "event", "sg_event_id", "sg_message_id"}


@pytest.mark.parametrize(
    ("reply", "bounce_type", "status", "kind"),
    [
        ("550-5.1.1 No such user\n550 5.1.1 Bye", "hard", "5.1.1", "bounce"),
        ("550 No such user", "hard", "5.0.0", "bounce"),
        ("552 5.2.2 Full", "soft", "5.2.2", "blocked"),
        ("", "soft", "4.0.0", "blocked"),
        ("", "block", "5.0.0", "blocked"),
    ],
)
def test_the_status_and_the_type_of_a_bounce(reply: str, bounce_type: Any, status: str, kind: str) -> None:
    told = read(bounced(smtp_response=reply, bounce_type=bounce_type, reason="expired"))
    assert (told["status"], told["type"]) == (status, kind)
    assert told["reason"] == (reply.replace("\n", " ") or "expired")


def test_a_bounce_of_an_unknown_class_is_unclassified() -> None:
    assert read(blocked(bounce_class="gone"))["bounce_classification"] == "Unclassified"


def test_what_was_deferred_without_a_reply_gives_the_reason_as_the_response() -> None:
    told = read(deferred(smtp_response="", reason="no connection", source_ip=""))
    assert (told["response"], told["reason"]) == ("no connection", "no connection")
    assert "ip" not in told


def test_an_attempt_without_tls() -> None:
    assert read(delivered(tls_version=""))["tls"] == 0


@pytest.mark.parametrize(
    ("reason", "told"),
    [
        ("unsubscribes", "Unsubscribed Address"),
        ("group 12", "Unsubscribed Address"),
        ("bounces", "Bounced Address"),
        ("invalid_emails", "Invalid"),
        ("spam_reports", "Spam Reporting Address"),
        ("cancelled", "cancelled"),
    ],
)
def test_the_reason_of_a_drop(reason: str, told: str) -> None:
    assert read(dropped(reason=reason))["reason"] == told


def test_a_body_is_an_array_without_what_sendgrid_does_not_have() -> None:
    posted = msgspec.json.decode(sendgrid.body([owed(processed()), owed(disabled()), owed(delivered())]))
    assert [one["event"] for one in posted] == ["processed", "delivered"]
