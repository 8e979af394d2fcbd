"""GET /metrics of a running postray, and what Debian's promtool says of it. (test_modes has a server of metrics.)"""

import shutil
import subprocess
from pathlib import Path

import httpx
import pytest

from tests.acceptance.running import Client, RunningPostray
from tests.metrics_page import declared

PROMTOOL = shutil.which("promtool")
NEEDS_PROMTOOL = pytest.mark.skipif(PROMTOOL is None, reason="promtool is not installed (Debian's package prometheus)")


def scraped(postray: RunningPostray) -> str:
    answer = httpx.get(postray.run.metrics, timeout=20.0, trust_env=False)
    assert answer.status_code == 200
    return answer.text


async def test_everything_is_told_by_every_process(client: Client, postray: RunningPostray) -> None:
    (message_id,) = await client.send()
    await client.until(f"/v3/messages/{message_id}", lambda m: m["status"] == "delivered")
    text = scraped(postray)
    shown = {line.split()[2] for line in text.splitlines() if line.startswith("# TYPE ")}
    left_out = {metric.name for _, metric in declared()} - shown
    # Of parts that this postray has not: mail in, TLS reports, notices to owners of endpoints, a cluster that grows.
    parts = ("postray_mail_in_", "postray_tls_reports_", "postray_webhook_notices_", "postray_nodes_")
    assert {name for name in left_out if not name.startswith(parts)} == set()
    assert 'postray_actor_answers{actor="delivery-0-1"} 1.0' in text
    assert 'postray_process_resident_memory_bytes{actor="recorder"}' in text
    assert "ada@" not in text and "tnt_" not in text and "msg_" not in text


@NEEDS_PROMTOOL
def test_promtool_finds_nothing_wrong_with_them(postray: RunningPostray, tmp_path: Path) -> None:
    assert PROMTOOL is not None
    ended = subprocess.run(
        [PROMTOOL, "check", "metrics"], input=scraped(postray), capture_output=True, text=True, timeout=60, check=False
    )
    assert (ended.returncode, ended.stdout + ended.stderr) == (0, "")
