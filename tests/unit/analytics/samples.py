"""One event of every kind, with every field it may have."""

from typing import Any

from cluster.events import (
    Bounced,
    Clicked,
    Deferred,
    Delivered,
    Dropped,
    Event,
    GroupResubscribed,
    GroupUnsubscribed,
    Opened,
    Processed,
    SpamReported,
    Unsubscribed,
)

AT = 1_776_938_402.12  # 2026-04-23T10:00:02.120Z
ATTEMPT: dict[str, Any] = {
    "attempt": 2,
    "site": "example.com",
    "mx_host": "mx1.example.com",
    "mx_ip": "192.0.2.1",
    "source_ip": "198.51.100.7",
    "tls_version": "TLSv1.3",
    "tls_cipher": "TLS_AES_256_GCM_SHA384",
    "duration_ms": 42,
}


def _common(number: int, changes: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": f"evt_{number:026d}",
        "at": AT + number,
        "tenant_id": "tnt_1",
        "message_id": "msg_1",
        "recipient": "ada@example.com",
        "batch_id": "bat_1",
        "categories": ("onboarding", "welcome"),
    } | changes


def processed(number: int = 1, **changes: Any) -> Processed:
    return Processed(**_common(number, {"reason": "images keep their URLs"} | changes))


def deferred(number: int = 2, **changes: Any) -> Deferred:
    reply = {"smtp_response": "451 4.7.1 Later", "reason": "greylisted", "next_attempt_at": AT + 60}
    return Deferred(**_common(number, ATTEMPT | reply | {"bounce_class": "greylisted"} | changes))


def delivered(number: int = 3, **changes: Any) -> Delivered:
    return Delivered(**_common(number, ATTEMPT | {"smtp_response": "250 2.0.0 OK"} | changes))


def bounced(number: int = 4, **changes: Any) -> Bounced:
    reply = {"smtp_response": "550 5.1.1 No", "reason": "no such user", "bounce_type": "hard"}
    return Bounced(**_common(number, ATTEMPT | reply | {"bounce_class": "bad_mailbox"} | changes))


def blocked(number: int = 5, **changes: Any) -> Bounced:
    reply = {"smtp_response": "550 5.7.1 Listed", "reason": "listed", "bounce_type": "block"}
    return Bounced(**_common(number, ATTEMPT | reply | {"bounce_class": "blocklisted"} | changes))


def dropped(number: int = 6, **changes: Any) -> Dropped:
    return Dropped(**_common(number, {"reason": "suppressed"} | changes))


CLIENT: dict[str, Any] = {"ip": "203.0.113.42", "user_agent": "Mozilla/5.0", "machine": ""}


def by_name() -> dict[str, Event]:
    """One event of each public name."""
    return {
        "processed": processed(),
        "deferred": deferred(),
        "delivered": delivered(),
        "bounce": bounced(),
        "blocked": blocked(),
        "dropped": dropped(),
        "open": Opened(**_common(7, CLIENT)),
        "click": Clicked(**_common(8, CLIENT | {"url": "https://example.com/a", "link_index": 2})),
        "unsubscribe": Unsubscribed(**_common(9, CLIENT)),
        "group_unsubscribe": GroupUnsubscribed(**_common(10, CLIENT | {"asm_group_id": 5})),
        "group_resubscribe": GroupResubscribed(**_common(11, CLIENT | {"asm_group_id": 5})),
        "spam_report": SpamReported(**_common(12, {"reason": "abuse"})),
    }


def every_kind() -> list[Event]:
    return list(by_name().values())
