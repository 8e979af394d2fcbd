"""The counts of all actors for a message's whole path, as the supervisor and GET /metrics collect them: every part is
the real one."""

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from actors import build as actors
from actors.supervisor import Collected
from api import build as api
from cluster.context import Context, Facts, Links
from cluster.demo import ensure_demo
from cluster.installation import confinement
from cluster.installation.ports import ANY_PORT, HeldPort
from cluster.journal.journal import Journal
from cluster.peers import PeerGone
from cluster.policy.placement import Living, Node
from cluster.settings import (
    BounceSettings,
    CaptureSettings,
    ClusterSettings,
    DeliverySettings,
    HttpSettings,
    MetricsSettings,
    RaySettings,
    Settings,
    SmtpSettings,
    SubmissionSettings,
    TlsReportSettings,
    WebhookSettings,
)
from cluster.topology import ACTORS
from cluster.vault import Vault, secret_key
from tests.metrics_page import declared
from tests.unit.api.bodies import mail, to

MAX_WAIT_S = 20.0


class Installation:
    """Every actor of the topology in this process, without Ray, and a client of its API."""

    def __init__(self, client: httpx.AsyncClient, metrics_bind: str) -> None:
        self.client = client
        self.metrics_url = f"http://{metrics_bind}/metrics"
        self.parts: dict[str, Any] = {}

    async def call(self, actor: str, method: str, *arguments: Any) -> Any:
        if actor not in self.parts:
            raise PeerGone(actor, "it has not started yet")
        return await getattr(self.parts[actor], method)(*arguments)

    async def metrics(self) -> dict[str, dict[str, dict[str, float]]]:
        """By actor, name and label."""
        collected: Collected = await self.call("supervisor", "collected_metrics")
        assert collected.missing == {}
        return {
            actor: {reading.name: dict(reading.values) for reading in readings}
            for actor, readings in collected.readings.items()
        }

    async def until(self, holds: Callable[[], Awaitable[bool]]) -> None:
        async with asyncio.timeout(MAX_WAIT_S):
            while not await holds():
                await asyncio.sleep(0.02)


@pytest.fixture
async def installation(
    journal: Journal, journal_dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Installation]:
    # All of these would hold for the tests that follow.
    monkeypatch.setattr(os, "nice", lambda more: more)
    monkeypatch.setattr(confinement, "confine", lambda writable: False)
    monkeypatch.setenv("TMPDIR", tempfile.gettempdir())
    monkeypatch.setattr(tempfile, "tempdir", tempfile.gettempdir())
    secret = secret_key("", tmp_path)
    key = await ensure_demo(journal, Vault(secret), tmp_path)
    http, smtp, page, inbound, submission, shown = (HeldPort(ANY_PORT) for _ in range(6))
    for port in (smtp, page, inbound, submission):
        port.release()
    settings = Settings(
        http=HttpSettings(bind=http.bind),
        capture=CaptureSettings(smtp_bind=smtp.bind, http_bind=page.bind),
        smtp=SmtpSettings(helo_name="postray.test"),
        delivery=DeliverySettings(mode="capture", actors_per_node=1),
        webhooks=WebhookSettings(notices_from="postray@mail.example.com"),
        bounce=BounceSettings(bind=inbound.bind),
        submission=SubmissionSettings(bind=submission.bind),
        metrics=MetricsSettings(bind=shown.bind),
        tls_reports=TlsReportSettings(sender="postray@mail.example.com"),
        # It grows by itself.
        ray=RaySettings(address="auto"),
        cluster=ClusterSettings(max_nodes=1, grow_after_s=60),
    )
    names = [spec.kind if spec.per == "cluster" else f"{spec.kind}-0-0" for spec in ACTORS]
    context = partial(
        Context,
        node_id="here",
        settings=settings,
        data_dir=str(tmp_path),
        postgres_dsn=journal_dsn,
        secret_key=secret,
    )

    async def kill(actor: str) -> None:
        raise AssertionError(f"{actor} is well")

    async def look() -> Facts:
        return Facts(nodes=(Node(id="here", cpus=8.0),), living=tuple(Living(name, "here") for name in names))

    async def place(*_: object) -> None:
        raise AssertionError("every actor is at its place")

    async def ask_for(cpus: Sequence[float]) -> None:
        assert cpus == (8.0,), "one node is enough"

    async def share(data: bytes) -> Awaitable[bytes]:
        return asyncio.get_running_loop().create_future()

    async with httpx.AsyncClient(
        base_url=f"http://{http.bind}", headers={"Authorization": f"Bearer {key}"}, timeout=MAX_WAIT_S
    ) as client:
        installation = Installation(client, shown.bind)
        links = Links(
            call=installation.call, kill=kill, share=share, look=look, start=place, end=place, ask_for=ask_for
        )
        for spec, name in zip(ACTORS, names, strict=True):
            module = {"actors.build": actors, "api.build": api}[spec.build.partition(":")[0]]
            part = installation.parts[name] = await getattr(module, spec.kind)(context(name=name), links)
            await part.start()
        yield installation
        for part in reversed(installation.parts.values()):
            await part.stop()


OF_PROCESSES = ("cluster/launch/host_process.py", "cluster/monitoring/process.py")
"""What declares the metrics of a process of Ray, of which there is none here."""


async def test_all_that_is_declared_is_shown(installation: Installation) -> None:
    async with httpx.AsyncClient(trust_env=False) as prometheus:
        answer = await prometheus.get(installation.metrics_url)
    assert answer.status_code == 200
    shown = [line.split()[2] for line in answer.text.splitlines() if line.startswith("# TYPE ")]
    assert sorted(shown) == sorted({metric.name for file, metric in declared() if file not in OF_PROCESSES})
    assert (await installation.client.get("/metrics")).status_code == 404, "it is not on http.bind as well"


async def test_every_actor_counts_its_part_of_a_message(installation: Installation) -> None:
    before = await installation.metrics()
    assert set(before) == set(installation.parts)

    body = mail(personalizations=[to("ada@example.org"), to("bob@example.org"), to("eve@example.net")])
    answer = await installation.client.post("/v3/mail/send", json=body)
    assert answer.status_code == 202, answer.text

    async def is_over() -> bool:
        metrics = await installation.metrics()
        return metrics["recorder"]["postray_recorder_events_total"][""] >= 6  # accepted and delivered, each thrice

    await installation.until(is_over)
    metrics = await installation.metrics()
    assert metrics["api-0-0"]["postray_intake_messages_total"] == {"": 3}
    assert metrics["api-0-0"]["postray_intake_requests_per_commit"]["+Inf"] == 1
    assert metrics["api-0-0"]["postray_offers_total"] == {"taken": 3, "refused": 0, "lost": 0}
    assert metrics["api-0-0"]["postray_http_requests_total"] == {"": 1}
    delivery = metrics["delivery-0-0"]
    assert delivery["postray_claims_claimed_total"] == {"": 3}
    latency = delivery["postray_delivery_latency_seconds"]
    assert latency["+Inf"] == 3 and latency["60"] == 3, "from acceptance to a host's 250"
    assert delivery["postray_attempts_total"] == {"accepted": 3, "deferred": 0, "bounced": 0}
    assert delivery["postray_outcomes_committed_total"] == {
        "delivered": 3,
        "sent": 0,
        "queued": 0,
        "bounced": 0,
        "failed": 0,
    }
    assert delivery["postray_held_deliveries"] == {"": 0}
    assert metrics["capture"]["postray_smtpd_accepted_total"] == {"": 3}
    assert metrics["recorder"]["postray_consumer_put_aside_total"] == {"": 0}
