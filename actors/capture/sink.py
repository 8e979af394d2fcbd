"""The capture sink: receives mail by default, and shows it to a person.

It owns an SMTP server on loopback, the store of received messages, and the page. A plain class; ``cluster/launch``
makes an actor of it. It never sends mail. It answers a message with 250 only once the message is in the store.
"""

import asyncio
import ipaddress
import logging
import sqlite3
from datetime import UTC, datetime
from pathlib import Path

from actors.capture.accepted import AcceptedMessages
from actors.capture.page import create_app
from actors.capture.store import MessageStore
from cluster import metrics
from cluster.http.connections import ConnectionBounds
from cluster.http.paths import OneSpelling
from cluster.http.server import HttpServer
from cluster.metrics import Reading
from cluster.policy.forms import Form
from cluster.policy.routes.host_names import joined
from cluster.settings import CaptureSettings, host_port
from cluster.smtpd import certificate
from cluster.smtpd.envelope import Answer, ReceivedMessage, ServerOptions, ServerReply
from cluster.smtpd.server import SmtpServer

log = logging.getLogger(__name__)

_HOSTNAME = "localhost"
_PAGE_BOUNDS = ConnectionBounds(connections=512, per_address=512)
"""Enough for some people with browsers, and tests that read what they sent."""
_NO_ROOM = ServerReply(452, "4.3.1 too much is waiting to be stored")
_NOT_STORED = ServerReply(451, "4.3.0 the message could not be stored")


class CaptureAddresses(Form, frozen=True, kw_only=True):
    smtp: str
    """host:port, with the actual port."""
    page: str
    """URL."""


class CaptureSink:
    def __init__(self, settings: CaptureSettings, data_dir: Path, accepted: AcceptedMessages | None = None) -> None:
        """``accepted``: where the page finds the messages of captured mail; None if it does not show them."""
        self._settings = settings
        self._directory = data_dir / "capture"
        self._store = MessageStore(self._directory / "messages.sqlite3", settings.keep_messages)
        self._accepted = accepted
        self._addresses: CaptureAddresses | None = None
        self._smtp: SmtpServer | None = None
        self._http: HttpServer | None = None

    async def start(self) -> CaptureAddresses:
        """Opens both ports; further calls only return the addresses. Raises OSError when a port is taken."""
        if self._addresses is not None:
            return self._addresses
        try:
            await self._store.open()
            smtp = await self._start_smtp()
            page = await self._start_page()
        except BaseException:
            await self.stop()
            raise
        self._addresses = CaptureAddresses(smtp=smtp, page=page)
        log.info("capturing mail at %s, shown at %s", smtp, page)
        return self._addresses

    async def problem(self) -> str | None:
        """None while both ports are served; otherwise the problem."""
        if self._addresses is None or self._http is None or not self._http.running():
            return "the capture sink does not run"
        return None

    async def metrics(self) -> list[Reading]:
        return metrics.read(self)

    async def stop(self) -> None:
        """Stop; messages already received are stored and answered first."""
        if self._smtp is not None:
            await self._smtp.stop()
            self._smtp = None
        if self._http is not None:
            await self._http.stop()
            self._http = None
        await self._store.close()
        if self._accepted is not None:
            await self._accepted.close()
        self._addresses = None

    async def _start_smtp(self) -> str:
        host, port = host_port(self._settings.smtp_bind)
        context = await asyncio.to_thread(certificate.server_context, _HOSTNAME, self._directory)
        options = ServerOptions(hostname=_HOSTNAME, max_message_bytes=self._settings.max_message_bytes)
        self._smtp = SmtpServer(self._capture, options, tls=context)
        return joined(*await self._smtp.start(host, port))

    async def _start_page(self) -> str:
        host, port = host_port(self._settings.http_bind)
        app = create_app(self._store, loopback_only=_is_loopback(host), accepted=self._accepted)
        self._http = HttpServer(OneSpelling(app, app.routes), _PAGE_BOUNDS)
        _, port = await self._http.start(host, port)
        return f"http://{joined(host, port)}"

    async def _capture(self, envelope: ReceivedMessage) -> Answer:
        try:
            stored_as = await self._store.add(envelope, datetime.now(UTC))
        except sqlite3.Error:
            return _NOT_STORED
        return _NO_ROOM if stored_as is None else ServerReply(250, f"2.0.0 captured as {stored_as}")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
