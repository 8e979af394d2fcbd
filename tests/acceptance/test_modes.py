"""Direct delivery, with the test's own DNS server and peer on loopback. (test_benchmarks uses a smarthost.)"""

import asyncio
from pathlib import Path

from dnslib import MX, A

from cluster.smtpd.envelope import ReceivedMessage
from cluster.smtpd.server import SmtpServer
from tests.acceptance.running import Client, RunningPostray
from tests.integration.dns_server import DnsServer


async def test_mail_leaves_the_capture_sink_when_told_to(tmp_path: Path) -> None:
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
    )
    await asyncio.to_thread(postray.start)
    try:
        client = Client(postray)
        (message_id,) = await client.send()
        message = await client.until(
            f"/v3/messages/{message_id}", lambda m: m["status"] == "delivered" and len(m["events"] or []) == 2
        )
        await client.close()
    finally:
        await asyncio.to_thread(postray.stop)
        await peer.stop()
        transport.close()
    assert message["events"][1]["metadata"]["mx_host"] == "mx.example.com"
    (envelope,) = taken
    assert (envelope.rcpt_to, envelope.helo) == (("ada@example.com",), "postray.test")
    assert ("example.com", "MX") in dns.asked
