"""Prometheus watches a postray, by the rules of examples/monitoring, and the troubles that they are for are real."""

import asyncio
import os
import shutil
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager

import pytest

from cluster.installation.embedded import journal_dsn
from tests.acceptance.prometheus import MISSING, PROGRAM, PROMTOOL, Prometheus
from tests.acceptance.running import Client, RunningPostray
from tests.integration.webhooks.world import Hook, answering, served
from tests.standing_still import standing_still
from tests.unit.monitoring.test_examples import FOLDER

NEEDS_PROMETHEUS = pytest.mark.skipif(PROGRAM is None, reason=f"prometheus {MISSING}")
NEEDS_PROMTOOL = pytest.mark.skipif(PROMTOOL is None, reason=f"promtool {MISSING}")
FIRES_S = 60.0
SOON = {
    "PostrayJournalAway": "5",
    "PostrayQueueOverdue": "3",
    "PostrayEventLogLag": "3",
    "PostrayEndpointFails": "1",
}


@NEEDS_PROMTOOL
@pytest.mark.parametrize("arguments", [("check", "rules", "rules.yml"), ("test", "rules", "rules_test.yml")])
def test_the_rules_are_right_and_each_fires(arguments: tuple[str, ...]) -> None:
    assert PROMTOOL is not None
    ended = subprocess.run([PROMTOOL, *arguments], cwd=FOLDER, capture_output=True, text=True, timeout=120, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr


@NEEDS_PROMTOOL
def test_the_configuration_is_right() -> None:
    assert PROMTOOL is not None
    ended = subprocess.run(
        [PROMTOOL, "check", "config", "prometheus.yml"],
        cwd=FOLDER,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr


class Watched:
    """A postray, and the Prometheus that scrapes it."""

    def __init__(self, postray: RunningPostray, prometheus: Prometheus, client: Client) -> None:
        self.postray = postray
        self.prometheus = prometheus
        self.client = client

    async def until(self, holds: Callable[[], bool]) -> None:
        deadline = time.monotonic() + FIRES_S
        while not await asyncio.to_thread(holds):
            assert time.monotonic() < deadline, self.prometheus.alerts()
            await asyncio.sleep(0.2)

    async def fires(self, alert: str) -> dict[str, str]:
        await self.until(lambda: alert in self.prometheus.alerts())
        return self.prometheus.alerts()[alert]

    async def is_quiet(self, alert: str) -> None:
        await self.until(lambda: alert not in self.prometheus.alerts())


@contextmanager
def stopped(pid: int) -> Iterator[None]:
    """A process stands still until the end of the block, or until the supervisor ends it."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        try:
            os.kill(pid, signal.SIGCONT)
        except ProcessLookupError:
            return


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[RunningPostray, Prometheus]]:
    postray = RunningPostray(
        tmp_path_factory.mktemp("watched"),
        POSTRAY_WEBHOOKS_ALLOW_NETWORKS="127.0.0.0/8",
        POSTRAY_WEBHOOKS_RETRY_SCHEDULE_S="1",
    )
    postray.start()
    prometheus = Prometheus(tmp_path_factory.mktemp("prometheus"), postray.run.metrics, dict(SOON))
    prometheus.start()
    yield postray, prometheus
    prometheus.stop()
    postray.stop()


@pytest.fixture
async def watched(running: tuple[RunningPostray, Prometheus]) -> AsyncIterator[Watched]:
    postray, prometheus = running
    client = Client(postray)
    yield Watched(postray, prometheus, client)
    await client.close()


@NEEDS_PROMETHEUS
async def test_prometheus_scrapes_and_nothing_is_wrong(watched: Watched) -> None:
    (message_id,) = await watched.client.send()
    await watched.client.until(f"/v3/messages/{message_id}", lambda m: m["status"] == "delivered")
    prometheus = watched.prometheus
    await watched.until(lambda: prometheus.value('sum(postray_attempts_total{result="accepted"})') == 1)
    (target,) = prometheus.targets()
    assert (target["health"], target["lastError"]) == ("up", "")
    assert prometheus.value("count(postray_process_resident_memory_bytes)") == 8
    assert prometheus.value("sum(postray_site_accepted_total)") == 1
    assert prometheus.value("max(postray_journal_silent_seconds)") is not None
    # An event loop may stand still while its process starts on a busy machine: the rule itself waits for five minutes.
    assert set(prometheus.alerts()) <= {"PostrayLoopLate"}


@NEEDS_PROMETHEUS
async def test_mail_that_is_due_and_not_handed_out(watched: Watched) -> None:
    with stopped(watched.postray.pid_of("scheduler")):
        await watched.client.send(send_at=int(time.time()) + 1)
        await watched.fires("PostrayQueueOverdue")
        assert (await watched.fires("PostrayActorSilent"))["actor"] == "scheduler"
    await watched.is_quiet("PostrayQueueOverdue")


@NEEDS_PROMETHEUS
async def test_a_journal_that_does_not_answer(watched: Watched) -> None:
    with standing_still(journal_dsn(watched.postray.settings)):
        await watched.fires("PostrayJournalAway")
    await watched.is_quiet("PostrayJournalAway")


@NEEDS_PROMETHEUS
async def test_a_recorder_that_does_not_follow(watched: Watched) -> None:
    with stopped(watched.postray.pid_of("recorder")):
        await watched.client.send()
        assert (await watched.fires("PostrayEventLogLag"))["consumer"] == "recorder"
    await watched.is_quiet("PostrayEventLogLag")


@NEEDS_PROMETHEUS
async def test_an_endpoint_that_is_dead(watched: Watched) -> None:
    hook = Hook()
    hook.answer = answering(503)
    async with served(hook):
        made = await watched.client.api.post("/v3/user/webhooks", json={"url": hook.url, "enabled_events": ["*"]})
        assert made.status_code == 201, made.text
        await watched.client.send()
        await watched.fires("PostrayEndpointFails")
        hook.answer = answering(410)
        await watched.fires("PostrayEndpointsDisabled")
    await watched.client.api.delete(f"/v3/user/webhooks/{made.json()['id']}")
    await watched.is_quiet("PostrayEndpointsDisabled")


@NEEDS_PROMETHEUS
async def test_a_disk_that_becomes_full(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("full")
    kept_free = shutil.disk_usage(folder).free - 2 * 1024**3
    postray = RunningPostray(folder, POSTRAY_HTTP_MIN_FREE_DISK_MB=str(kept_free // 1024**2))
    await asyncio.to_thread(postray.start)
    prometheus = Prometheus(tmp_path_factory.mktemp("prometheus"), postray.run.metrics, {})
    prometheus.start()
    client = Client(postray)
    watched = Watched(postray, prometheus, client)
    with (folder / "large").open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, shutil.disk_usage(folder).free - kept_free + 1024**3)
    await watched.fires("PostrayDiskNearlyFull")
    await watched.fires("PostrayRefusesMail")
    (folder / "large").unlink()
    await watched.is_quiet("PostrayRefusesMail")
    await client.close()
    prometheus.stop()
    await asyncio.to_thread(postray.stop)
