"""``postray shaping diff`` over the SQL door."""

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from msgspec import structs

from analytics.client import ClickHouse
from analytics.rows import columns
from cluster.commands.shaping_diff import CANNOT_KNOW, Lines
from cluster.events import Event
from cluster.ids import first_id
from tests.integration.operating.conftest import Postray
from tests.unit.analytics.samples import blocked, bounced, deferred, delivered, processed

NOON = datetime(2026, 4, 1, 12, tzinfo=UTC)
AT = NOON.timestamp()
NEW = """
[[rule]]
name = "mine"
site = ["mx.example.com"]
retry_schedule = ["7m"]
message_rate = "1/s"

[[automation]]
name = "stop"
code = ["451"]
action = "suspend"
for = "1h"
"""


def some_events() -> list[Event]:
    found: list[Event] = []
    for i in range(30):
        of: dict[str, Any] = {
            "message_id": f"{first_id('msg_', NOON)[:-4]}{i:04}",
            "site": "mx.example.com",
            "recipient": "a@example.com",
        }
        found.append(processed(message_id=of["message_id"], at=AT))
        reply = f"451 4.3.0 Try later, id {i}\nand again"
        found.append(deferred(at=AT + i * 200, smtp_response=reply, bounce_class="system_failure", attempt=1, **of))
        found.append(delivered(at=AT + 7000, **of))
        found.append(bounced(at=AT + i * 200 + 100, **of))
        found.append(blocked(at=AT - 86_400, **of))  # before
    return [structs.replace(one, id=f"evt_{i}") for i, one in enumerate(found)]


async def test_what_would_have_been_otherwise(asked: Postray, clickhouse: ClickHouse, tmp_path: Path) -> None:
    clickhouse.insert(columns(some_events()))
    new = tmp_path / "new.toml"
    new.write_text(NEW, encoding="utf-8")
    arguments = ("shaping", "diff", str(new), "--since", "2026-04-01T12:00", "--until", "2026-04-01T14:30")
    found = await asked.json(*arguments)
    assert (found["replies"], found["accepted"]) == (60, 30)
    (retried,) = found["retried"]
    assert (retried["change"], retried["site"], retried["count"]) == ("later", "mx.example.com", 30)
    assert (retried["wait_before_s"], retried["wait_after_s"]) == (60, 420)
    assert retried["examples"][0]["said"] == "451 4.3.0 Try later, id 0\nand again"
    (stop,) = (one for one in found["slowed"] if one["trigger"] == "stop")
    assert (stop["kind"], stop["before"], stop["after"]) == ("suspend", 0, 2)  # the second after the first hour
    (paced,) = found["paced"]
    assert (paced["site"], paced["before"]["suspended"], paced["after"]["suspended"]) == ("mx.example.com", 0, 88)
    assert {one["key"] for one in found["limits"]} == {"message_rate", "retry_schedule"}
    assert found["cannot_know"] == list(CANNOT_KNOW)
    since_ever = (*arguments[:4], "0001-01-01", *arguments[5:])
    assert (await asked.json(*since_ever))["replies"] == 90, "it begins with the first event"
    shown = await asked.said(*arguments)
    assert "60 replies that were no acceptance and 30 deliveries" in shown
    assert "1m → 7m" in shown and "This cannot be known" in shown and CANNOT_KNOW[0] in shown


async def test_other_bounce_rules(asked: Postray, clickhouse: ClickHouse, tmp_path: Path) -> None:
    clickhouse.insert(columns(some_events()))
    new, rules = tmp_path / "new.toml", tmp_path / "rules.toml"
    new.write_text("", encoding="utf-8")
    rules.write_text('[[rule]]\nname = "all"\nsource = "x"\nclass = "policy"\n', encoding="utf-8")
    arguments = ("shaping", "diff", str(new), "--since", "2026-04-01T12:00", "--until", "2026-04-01T14:30")
    assert (await asked.json(*arguments))["judged"] == []
    found = await asked.json(*arguments, "--bounce-rules", str(rules))
    assert {(one["before"], one["after"], one["count"]) for one in found["judged"]} == {
        ("deferred as system_failure", "deferred as policy", 30),
        ("bounced as bad_mailbox", "bounced as policy", 30),
    }


async def test_files_that_cannot_be_tried(asked: Postray, tmp_path: Path) -> None:
    bad = tmp_path / "bad.toml"
    for text, option, said in (
        ("[[rule]]\nname = 1\n", (), f"{bad}: "),
        ("", ("--bounce-rules", str(bad)), f"{bad}: "),
        (
            '[[rule]]\nname = "a"\nsource = "x"\nclass = "spam"\ncodes = ["550"]\n',
            ("--bounce-rules", str(bad)),
            "the last rule must match every reply",
        ),
    ):
        bad.write_text(text, encoding="utf-8")
        file = bad if not option else tmp_path / "empty.toml"
        (tmp_path / "empty.toml").write_text("", encoding="utf-8")
        result = await asked.run("shaping", "diff", str(file), *option)
        assert result.exit_code == 1 and said in result.output


def test_lines_are_whole_wherever_an_answer_is_cut() -> None:
    answer = b'["a"]\n["bc"]\n[]\n'
    for size in range(1, len(answer) + 1):
        found: list[bytes] = []
        lines = Lines(found.append)
        for start in range(0, len(answer), size):
            lines.write(answer[start : start + size])
        lines.flush()
        assert found == [b'["a"]', b'["bc"]', b"[]"]


REPLAYED = """
import resource, sys
from cluster.policies import base_limits, shaping_of
from cluster.policy.replies.bounce_rules import RULES
from cluster.policy.whatif.recorded import Reply
from cluster.policy.whatif.replay import Policy, Replay
from cluster.settings import DeliverySettings
settings = DeliverySettings()
replay = Replay(Policy(shaping_of("", settings), RULES), Policy(shaping_of(sys.stdin.read(), settings), RULES))
for i in range(int(sys.argv[1])):
    replay.on_reply(Reply(
        at=1.7e9 + i / 100, event="deferred", site=f"mx{i % 500}.example.com", source="", tenant_id=f"tnt_{i % 50}",
        domain=f"d{i % 2000}.example", attempt=1 + i % 5, text=f"451 4.3.0 Try later, id {i}", reason="",
        bounce_class="system_failure", age_s=float(i % 90000),
    ))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def test_memory_does_not_grow_with_the_replies() -> None:
    """What 10,000,000 need is what 60,000 need: from 30,000 on it does not grow."""
    used = [
        int(
            subprocess.run(
                [sys.executable, "-c", REPLAYED, str(count)],
                input=NEW,
                capture_output=True,
                text=True,
                check=True,
                timeout=300,
                cwd=Path(__file__).parents[3],
            ).stdout
        )
        for count in (30_000, 60_000)
    ]
    assert used[1] - used[0] < 4000, used  # KiB
