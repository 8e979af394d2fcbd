"""The whole sink: real clients send mail, and the store and the JSON API return it."""

import asyncio
import pickle
import smtplib
from email.message import EmailMessage
from pathlib import Path

import httpx
import pytest

from actors.capture.sink import CaptureAddresses, CaptureSink
from cluster.settings import CaptureSettings
from tests.integration.capture.peers import RawClient, no_verification


def port_of(addresses: CaptureAddresses) -> int:
    return int(addresses.smtp.rpartition(":")[2])


async def test_smtplib_delivers_over_tls(
    sink: CaptureSink, addresses: CaptureAddresses, http: httpx.AsyncClient
) -> None:
    def send() -> None:
        message = EmailMessage()
        message["From"], message["To"], message["Subject"] = "a@example.com", "b@example.org", "Grüße 🎉"
        message.set_content("Hallo\n.\nEnde\n")
        with smtplib.SMTP("127.0.0.1", port_of(addresses)) as client:
            client.starttls(context=no_verification())
            client.send_message(message)

    await asyncio.to_thread(send)
    listed = (await http.get("/api/messages", params={"recipient": "b@example.org"})).json()
    assert listed["total"] == 1
    assert listed["messages"][0].items() >= {"id": 1, "subject": "Grüße 🎉", "tls_version": "TLSv1.3"}.items()
    detail = (await http.get("/api/messages/1")).json()
    assert detail["text"].splitlines() == ["Hallo", ".", "Ende"]
    assert pickle.loads(pickle.dumps(addresses)) == addresses  # it crosses processes
    assert await sink.problem() is None


async def test_every_message_of_many_connections_is_stored_once(
    sink: CaptureSink, addresses: CaptureAddresses, http: httpx.AsyncClient
) -> None:
    async def deliver(connection: int) -> None:
        async with await RawClient.greeted(port_of(addresses)) as client:
            for number in range(50):
                body = b"Subject: %d-%d\r\n\r\nx\r\n" % (connection, number)
                start = b"MAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.org>\r\nBDAT %d LAST\r\n" % len(body)
                client.send(start + body)
                assert (await client.replies(3))[2].startswith("250 2.0.0 captured as ")

    await asyncio.gather(*(deliver(connection) for connection in range(20)))
    listed = (await http.get("/api/messages", params={"page_size": 1000})).json()
    subjects = [message["subject"] for message in listed["messages"]]
    assert len(subjects) == listed["total"] == 1000
    assert set(subjects) == {f"{connection}-{number}" for connection in range(20) for number in range(50)}


async def test_it_starts_again_on_what_it_kept(tmp_path: Path, settings: CaptureSettings) -> None:
    reused = CaptureSink(settings, tmp_path)
    for round_, sink in enumerate((reused, reused, CaptureSink(settings, tmp_path)), 1):
        addresses = await sink.start()
        assert await sink.start() == addresses
        async with await RawClient.greeted(port_of(addresses)) as client:
            client.send(b"MAIL FROM:<>\r\nRCPT TO:<b@example.org>\r\nBDAT 1 LAST\r\nx")
            # Numbers continue after those of the stored messages, which are still there.
            assert (await client.replies(3))[2] == f"250 2.0.0 captured as {round_}"
        await sink.stop()
        assert await sink.problem() == "the capture sink does not run"


async def test_a_taken_port_is_an_error_and_leaves_nothing_behind(
    addresses: CaptureAddresses, tmp_path: Path, settings: CaptureSettings
) -> None:
    taken = CaptureSettings(smtp_bind="127.0.0.1:0", http_bind=addresses.page.removeprefix("http://"))
    second = CaptureSink(taken, tmp_path / "second")
    with pytest.raises(OSError, match="in use"):
        await second.start()
    await CaptureSink(settings, tmp_path / "second").stop()  # never started, so there is nothing to stop
