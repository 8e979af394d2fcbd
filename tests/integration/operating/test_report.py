"""``postray report`` over the SQL door: the numbers of the page are those of the events."""

import json
import stat
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs
from selectolax.lexbor import LexborHTMLParser

from analytics.attempts import ATTEMPTS, attempt_columns
from analytics.client import ClickHouse
from analytics.rows import columns
from analytics.samples import SAMPLES, SITE_SAMPLES, Sample, SiteSample, sample_columns
from cluster.events import Event, WebhookAttempt
from cluster.installation import running
from tests.integration.journal.builders import a_tenant
from tests.integration.operating.conftest import Postray
from tests.unit.analytics.samples import blocked, bounced, by_name, deferred, delivered, processed

HOSTILE = "550 5.1.1 <b>No</b> mailbox <{}> here, id 4bXq7z0000000001-{}"


def an_hour(tenant: str, number: int, at: float) -> list[Event]:
    """The events of some recipients, each at its own site."""
    common = {"tenant_id": tenant, "categories": ("<i>news</i>",)}
    found: list[Event] = []
    for i in range(number):
        of = {**common, "message_id": f"msg_{tenant}_{i}", "recipient": f"r{i}@example.com"}
        found.append(processed(len(found), at=at, **of))
        found.append(deferred(len(found), at=at + 1, site=f"s{i}.example", **of))
        found.append(delivered(len(found), at=at + 3, site=f"s{i}.example", tls_version="", **of))
        reply = HOSTILE.format(f"r{i}@example.com", i)
        found.append(bounced(len(found), at=at + 4, site="google.com", smtp_response=reply, **of))
        found.append(blocked(len(found), at=at + 4, site="google.com", **of))
    return [structs.replace(event, id=f"evt_{tenant}_{i}") for i, event in enumerate(found)]


def table(text: str, id: str) -> list[list[str]]:
    (section,) = LexborHTMLParser(text).css(f"section[aria-labelledby={id}]")
    return [[cell.text() for cell in row.css("th, td")] for row in section.css("tr")][1:]


async def test_the_numbers_are_those_of_the_events(asked: Postray, clickhouse: ClickHouse, tmp_path: Path) -> None:
    tenant = await a_tenant(asked.journal, "acme")
    noon = (datetime.now(UTC) - timedelta(days=3)).replace(hour=12)
    at = noon.timestamp()
    engaged = [
        structs.replace(one, at=at + 60, tenant_id=tenant, id=f"e{i}") for i, one in enumerate(by_name().values())
    ]
    early = [structs.replace(one, id=f"early{i}") for i, one in enumerate(an_hour(tenant, 3, at - 10 * 86_400))]
    clickhouse.insert(columns([*an_hour(tenant, 13, at), *an_hour("tnt_other", 2, at), *engaged, *early]))
    file = tmp_path / "report.html"
    said = await asked.said("report", "--since", "7d", "--html", str(file))
    assert said.startswith(f"{file} ") and said.endswith(" bytes")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    text = file.read_text(encoding="utf-8")
    (day,) = [row for row in table(text, "volumes") if row[1:] != ["0"] * 4]
    assert day == [f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d}", "16", "32", "1", "16"]
    sites = table(text, "sites")
    assert sites[0][:3] == ["google.com", "0", "30"] and len(sites) == 11
    assert sum(int(row[1]) for row in sites) == 16 and sites[-1][0] == "other (5 sites)"
    assert [row[1] for row in table(text, "times")] == ["16", "16"]
    assert table(text, "times")[0][2] == "3 s"
    assert ["550 5.1.1 <b>No</b> mailbox … here, id …", "0", "15"] in table(text, "replies")
    assert dict(row[:2] for row in table(text, "tls")) == {"in clear": "15", "TLSv1.3": "1"}
    assert ["<i>news</i>", "15", "30"] in [row[:3] for row in table(text, "category")]
    assert [row[:3] for row in table(text, "tenant")] == [["acme", "14", "28"], ["tnt_other", "2", "4"]]
    assert dict(row[:2] for row in table(text, "bounces")) == {"bad_mailbox": "16", "blocklisted": "16"}
    assert "<i>" not in text and "<b>" not in text and "r1@example.com" not in text


async def test_of_one_tenant_and_a_shorter_time(asked: Postray, clickhouse: ClickHouse, tmp_path: Path) -> None:
    tenant = await a_tenant(asked.journal, "acme")
    at = datetime(2026, 4, 1, 10, tzinfo=UTC)
    for name, hours in ((tenant, 0), ("tnt_other", 0), (tenant, 5)):
        events = an_hour(name, 2, (at + timedelta(hours=hours)).timestamp())
        clickhouse.insert(columns([structs.replace(one, id=f"{one.id}{hours}") for one in events]))
    file = tmp_path / "report.html"
    arguments = ("--since", "2026-04-01T10:00", "--until", "2026-04-01T12:00", "--html", str(file))
    await asked.said("report", *arguments, "--tenant", "acme")
    text = file.read_text(encoding="utf-8")
    assert [row[:2] for row in table(text, "volumes")] == [["2026-04-01 10:00", "2"], ["2026-04-01 11:00", "0"]]
    assert "Tenants" not in text and "<h1>acme</h1>" in text
    await asked.said("report", "--since", "1h", "--html", str(file))
    assert "There are no events in this range." in file.read_text(encoding="utf-8")


@pytest.mark.parametrize("days", [1, 30, 400, 1000])
async def test_every_period_is_asked_and_drawn_alike(
    asked: Postray, clickhouse: ClickHouse, tmp_path: Path, days: int
) -> None:
    clickhouse.insert(columns(an_hour("tnt_1", 2, time.time() - 3600)))
    file = tmp_path / "report.html"
    since = datetime.now(UTC) - timedelta(days=days)
    await asked.said("report", "--since", since.isoformat(), "--html", str(file))
    text = file.read_text(encoding="utf-8")
    assert sum(int(row[1]) for row in table(text, "volumes")) == 2
    assert [row[1] for row in table(text, "times")] == ["2", "2"]


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("550 5.1.1 <ada@example.com>: unknown", "550 5.1.1 … unknown"),
        ("421-4.7.28 [192.0.2.7] slow\n421 4.7.28 q7a8b9c0-u17", "421 4.7.28 […] slow 421 4.7.28 …"),
        ("550-Unauthenticated mail\n550 5.7.26 see AADBAEECF2AFAF7A", "550 Unauthenticated mail 550 5.7.26 see …"),
        ("554 5.7.1 [2001:db8::1] blocked by rule S3140", "554 5.7.1 […] blocked by rule S3140"),
        ("452 4.2.2 over quota, try in 300 s", "452 4.2.2 over quota, try in 300 s"),
    ],
)
async def test_of_replies_remains_what_they_say(
    asked: Postray, clickhouse: ClickHouse, tmp_path: Path, said: str, shown: str
) -> None:
    clickhouse.insert(columns([bounced(1, at=time.time() - 60, smtp_response=said)]))
    file = tmp_path / "report.html"
    await asked.said("report", "--since", "1h", "--html", str(file))
    assert [row[0] for row in table(file.read_text(encoding="utf-8"), "replies")] == [shown]


async def test_what_cannot_be_made_is_said(asked: Postray, tmp_path: Path) -> None:
    file = str(tmp_path / "report.html")
    assert "no tenant has the name nobody" in await asked.refused(
        "report", "--since", "7d", "--tenant", "nobody", "--html", file
    )
    missing = str(tmp_path / "none" / "report.html")
    assert "No such file or directory" in await asked.refused("report", "--since", "7d", "--html", missing)
    troubles = ("--about", "troubles")
    for more, said in (
        (("--tenant", "acme"), "of all tenants"),
        (("--since", "9d", "--html", file), "at most 7 days"),
        ((), "which file"),
    ):
        answer = await asked.run("report", "--since", "1d", *troubles, *more)
        assert (answer.exit_code, said in answer.output) == (2, True)
    answer = await asked.run("report", "--since", "1d", "--json", "--html", file)
    assert (answer.exit_code, "--json is of troubles" in answer.output) == (2, True)
    for since, until, said in (("1d", "2d", "must be after"), ("2000-01-01", "2020-01-01", "at most 3660 days")):
        answer = await asked.run("report", "--since", since, "--until", until, "--html", file)
        assert (answer.exit_code, said in answer.output) == (2, True)
    running.forget_run(asked.data_dir)
    assert "postray is not running on" in await asked.refused("report", "--since", "7d", "--html", file)
    assert not Path(file).exists()


async def test_troubles_are_told_from_samples_events_and_posts(
    asked: Postray, clickhouse: ClickHouse, tmp_path: Path
) -> None:
    now = int(time.time())
    since = now - 600
    common: dict[str, Any] = {"journal_ms": 2.0, "journal_started": since - 90, "policy_version": 1, "nodes": 1}
    whole = [
        Sample(at=at, interval_s=10.0, started={"api-0": since + 195} if at - since in (200, 210) else {}, **common)
        for at in range(since, now, 10)
    ]
    clickhouse.insert(sample_columns(whole), SAMPLES)
    held = [SiteSample(site="google.com", source=f"s{i}", at=since + 300, interval_s=10.0, queued=5) for i in (1, 2)]
    clickhouse.insert(sample_columns([structs.replace(one, binds="suspension") for one in held]), SITE_SAMPLES)
    reply = {"smtp_response": "421 4.3.2 <ada@example.com> closing", "bounce_class": "rate_limited"}
    events: list[Event] = [delivered(i, at=since + i % 600, site="google.com") for i in range(3000)]
    events += [deferred(i, at=since + 400, site="google.com", **reply) for i in range(3000, 3020)]
    clickhouse.insert(columns([structs.replace(one, id=f"evt_{i}") for i, one in enumerate(events)]))
    nothing: dict[str, Any] = {"event_ids": (), "request_headers": "", "request_body": "", "request_bytes": 0}
    post = WebhookAttempt(
        id="a", at=since + 500, tenant_id="t", webhook_id="w", url="", attempt=1, status=500, **nothing
    )
    answered = [structs.replace(post, id=f"a{i}", at=float(since + i), status=200) for i in range(0, 600, 10)]
    refused = [structs.replace(post, id=f"b{i}") for i in range(3)]
    clickhouse.insert(attempt_columns([*answered, *refused]), ATTEMPTS)
    file = tmp_path / "troubles.html"
    times = ("--since", datetime.fromtimestamp(since, UTC).isoformat())
    said = await asked.said("report", "--about", "troubles", *times, "--json", "--html", str(file))
    told = [(one["kind"], one["subject"], round(one["begin"]) - since) for one in json.loads(said)["troubles"]]
    assert told == [
        ("restarted", "api-0", 195),
        ("held", "google.com", 290),
        ("failures", "google.com", 400),
        ("endpoints", "", 500),
    ]
    text = file.read_text(encoding="utf-8")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [row[0] for row in table(text, "troubles")][1:3] == [
        "google.com: suspended; up to 10 waited",
        "google.com: hosts were not available: 20 of 25 attempts, such as “421 4.3.2 <…> closing”",
    ]
