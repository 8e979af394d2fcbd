"""What the example queries of docs/querying.md answer for a small set of events, counted by hand."""

import re
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from analytics.client import ClickHouse
from analytics.rows import columns
from cluster.events import Clicked, Event, Opened, SpamReported
from cluster.settings import ClickHouseSettings
from tests.documents import ROOT
from tests.unit.analytics.samples import bounced, deferred, delivered, dropped, processed

EXAMPLES = dict(
    re.findall(
        r"^([^\n]+):\n\n```sql\n(.*?)^```$", (ROOT / "docs" / "querying.md").read_text(), re.MULTILINE | re.DOTALL
    )
)
"""The queries by the last line of what they answer."""
BEGINNING = (datetime.now(UTC) - timedelta(hours=3)).replace(minute=0, second=0, microsecond=0)
HOUR = int(BEGINNING.timestamp())
DAY = (BEGINNING.date() - date(1970, 1, 1)).days
TENANT = "tnt_01HXAMPLE"
ONE, TWO = "198.51.100.1", "198.51.100.2"


def about(message: int, after_s: float, **fields: Any) -> dict[str, Any]:
    """What each event of a message has. ``after_s``: since the beginning."""
    category = "welcome" if message <= 2 else "offer"
    return {
        "id": f"evt_{message}_{after_s}",
        "at": HOUR + after_s,
        "tenant_id": TENANT,
        "message_id": f"msg_{message}",
        "recipient": f"user{message}@{'gmail.com' if message in (1, 2, 5) else 'example.com'}",
        "batch_id": "bat_1",
        "categories": (category,),
    } | fields


def tried(site: str, host: str, source: str, attempt: int, duration_ms: int, tls: str = "TLSv1.3") -> dict[str, Any]:
    return {
        "site": site,
        "mx_host": host,
        "source_ip": source,
        "attempt": attempt,
        "duration_ms": duration_ms,
        "tls_version": tls,
    }


def some_events() -> list[Event]:
    person = {"ip": "", "user_agent": "", "machine": ""}
    return [
        *(processed(**about(message, 0)) for message in range(1, 6)),
        delivered(**about(1, 2, **tried("google", "mx1.example", ONE, 1, 100))),
        Opened(**about(1, 60, **person)),
        Opened(**about(1, 61, **person | {"machine": "a rule"})),
        Clicked(**about(1, 120, **person), url="https://example.com/", link_index=0),
        deferred(**about(2, 1, **tried("google", "mx2.example", ONE, 1, 50)), bounce_class="greylisted"),
        delivered(**about(2, 301, **tried("google", "mx2.example", ONE, 2, 300, ""))),
        bounced(**about(3, 3, **tried("example.com", "mx3.example", TWO, 1, 10)), bounce_class="bad_mailbox"),
        dropped(**about(4, 1), reason="unsubscribes"),
        delivered(**about(5, 4, **tried("google", "mx1.example", TWO, 1, 200))),
        SpamReported(**about(5, 3600), reason="abuse"),
    ]


EXPECTED: dict[str, list[tuple[Any, ...]]] = {
    "Delivery rate by provider and hour. `site` is the provider, where [it is known](glossary.md), else the domain": [
        (HOUR, "example.com", 0, 1, 0, 0.0),
        (HOUR, "google", 3, 0, 1, 1.0),
    ],
    "Why mail is deferred, by site, and how many recipients wait or waited for that": [("google", "greylisted", 1, 1)],
    "How much of what was deferred was delivered in the end": [(1, 1, 1)],
    "Time to deliver by site, in seconds": [("google", 3, [4.0, 301.0, 301.0])],
    "How many attempts it takes until mail is delivered": [(1, 2, 0.6667), (2, 1, 0.3333)],
    "Classes of bounces by the address that mail left from": [(TWO, "bad_mailbox", 1, 1)],
    "How far the warm-up of each address is: what it delivered to each site, day by day, beside the day before": [
        (ONE, "google", DAY, 2, 2),
        (TWO, "google", DAY, 1, 1),
    ],
    "Opens and clicks of people, by category and hour": [("welcome", HOUR, 1, 1)],
    "Complaints by category, per thousand delivered": [("offer", 1, 1, 1000.0), ("welcome", 2, 0, 0.0)],
    "The slowest hosts: from MAIL FROM to the last reply, in milliseconds": [
        ("mx2.example", 2, 300, 300),
        ("mx1.example", 2, 200, 200),
        ("mx3.example", 1, 10, 10),
    ],
    "The share of each version of TLS, by site": [("google", "TLSv1.3", 2, 0.6667), ("google", "in clear", 1, 0.3333)],
    "How much is not sent because of suppression lists, by list": [("unsubscribes", 1, 0.2)],
    "From accepted to clicked, by batch": [("bat_1", 5, 3, 1, 1)],
    "Opens, unique opens, clicks and unique clicks of a tenant, with machines and without": [
        ("click", 1, 1, 1, 1),
        ("open", 2, 1, 1, 1),
    ],
    "Which links of a message or a batch people follow": [(0, "https://example.com/", 1, 1)],
    "Deliveries and bounces of each receiving domain, the largest first": [
        ("gmail.com", 3, 0, 0.0),
        ("example.com", 0, 1, 1.0),
    ],
    "What is not encrypted, by site": [("google", 1, 3)],
}


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[tuple[Any, ...]]]:
    """What each query answers, as its replay is stored too."""
    client = ClickHouse.open(ClickHouseSettings(), tmp_path_factory.mktemp("clickhouse"))
    try:
        client.migrate()
        for _ in range(2):
            client.insert(columns(some_events()))
        return {name: client.rows(query) for name, query in EXAMPLES.items()}
    finally:
        client.close()


@pytest.mark.parametrize("name", EXPECTED)
def test_an_example_query_answers_what_was_counted_by_hand(
    name: str, answers: dict[str, list[tuple[Any, ...]]]
) -> None:
    def plain(value: Any) -> Any:
        return HOUR if isinstance(value, datetime) and value.replace(tzinfo=UTC) == BEGINNING else value

    def day(value: Any) -> Any:
        return (value - date(1970, 1, 1)).days if type(value) is date else plain(value)

    assert [tuple(map(day, row)) for row in answers[name]] == EXPECTED[name]


def test_there_are_queries_enough() -> None:
    assert len(EXAMPLES) >= 20 and not EXPECTED.keys() - EXAMPLES.keys()
