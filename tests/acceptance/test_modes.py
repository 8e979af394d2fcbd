"""What other settings than the demo's have, on one postray: direct delivery, with the test's own DNS server and peer on
loopback (test_benchmarks uses a smarthost), and a server of its own for metrics."""

import asyncio
from pathlib import Path

import httpx
from dnslib import MX, A

from cluster.smtpd.envelope import ReceivedMessage
from cluster.smtpd.server import SmtpServer
from tests.acceptance.running import Client, RunningPostray
from tests.integration.dns_server import DnsServer


async def test_mail_leaves_the_capture_sink_and_metrics_have_a_server_when_told_to(tmp_path: Path) -> None:
    loop = asyncio.get_running_loop()
    taken: list[ReceivedMessage] = []
    peer = SmtpServer(taken.append)
    _, port = await peer.start()
    dns = DnsServer()
    dns.zone = {("example.com", "MX"): [MX("mx.example.com", 10)], ("mx.example.com", "A"): [A("127.0.0.1")]}
    transport, _ = await loop.create_datagram_endpoint(lambda: dns, local_addr=("127.0.0.1", 0))
    postray = RunningPostray(
        tmp_path,
        POSTRAY_DELIVERY_MODE="direct",
        POSTRAY_DNS_NAMESERVERS=f"127.0.0.1:{dns.port}",
        POSTRAY_SMTP_PORT=str(port),
        POSTRAY_SMTP_HELO_NAME="postray.test",
        POSTRAY_SMTP_ALLOWED_NETWORKS="127.0.0.0/8",  # the peer's
        POSTRAY_METRICS_BIND="127.0.0.1:0",
    )
    await asyncio.to_thread(postray.start)
    try:
        client = Client(postray)
        (message_id,) = await client.send()
        message = await client.until(
            f"/v3/messages/{message_id}", lambda m: m["status"] == "delivered" and len(m["events"] or []) == 2
        )
        await client.close()
        await a_server_of_metrics_has_nothing_else(postray)
    finally:
        await asyncio.to_thread(postray.stop)
        await peer.stop()
        transport.close()
    assert message["events"][1]["metadata"]["mx_host"] == "mx.example.com"
    (envelope,) = taken
    assert (envelope.rcpt_to, envelope.helo) == (("ada@example.com",), "postray.test")
    assert ("example.com", "MX") in dns.asked


async def a_server_of_metrics_has_nothing_else(postray: RunningPostray) -> None:
    url = postray.run.metrics
    async with httpx.AsyncClient(timeout=20.0, trust_env=False) as prometheus:
        assert not url.startswith(postray.run.url)
        answer = await prometheus.get(url)
        assert 'postray_actor_answers{actor="metrics-0-0"} 1.0' in answer.text
        assert 'postray_actor_answers{actor="api-0-0"} 1.0' in answer.text
        assert (await prometheus.get(url.replace("/metrics", "/healthz"))).status_code == 404
        assert (await prometheus.get(f"{postray.run.url}/metrics")).status_code == 404
        assert (await prometheus.get(f"{postray.run.url}/healthz")).status_code == 200
