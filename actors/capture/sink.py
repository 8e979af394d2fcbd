"""The capture sink: where mail goes by default, and where a person reads it.

Owns an SMTP server on loopback, the store of what it took, and the page. A plain class; ``cluster/launch.py`` makes an
actor of it. Never sends anything on. A message is answered with 250 only once it is in the store.
"""

import asyncio
import ipaddress
import logging
import socket
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import uvicorn
from msgspec import Struct

from actors.capture import certificate
from actors.capture.envelope import Answer, Envelope, Reply, ServerOptions
from actors.capture.page import create_app
from actors.capture.smtp_server import SmtpServer
from actors.capture.store import MessageStore
from cluster.settings import CaptureSettings, host_port

log = logging.getLogger(__name__)

_HOSTNAME = "localhost"
_HTTP_GRACE_S = 2
_NO_ROOM = Reply(452, "4.3.1 too much is waiting to be stored")
_NOT_STORED = Reply(451, "4.3.0 the message could not be stored")


class CaptureAddresses(Struct, frozen=True, kw_only=True):
    smtp: str
    """host:port, the port real."""
    page: str
    """URL."""


class CaptureSink:
    def __init__(self, settings: CaptureSettings, data_dir: Path) -> None:
        self._settings = settings
        self._directory = data_dir / "capture"
        self._store = MessageStore(self._directory / "messages.sqlite3", settings.keep_messages)
        self._addresses: CaptureAddresses | None = None
        self._smtp: SmtpServer | None = None
        self._http: _PageServer | None = None
        self._http_task: asyncio.Task[None] | None = None

    async def start(self) -> CaptureAddresses:
        """Opens both ports. Called again, it only returns the addresses. Raises OSError if a port is taken."""
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
        """None while both ports are served."""
        if self._addresses is None or self._http_task is None or self._http_task.done():
            return "the capture sink does not run"
        return None

    async def stop(self) -> None:
        """What was received is stored and answered first."""
        if self._smtp is not None:
            await self._smtp.stop()
            self._smtp = None
        if self._http is not None and self._http_task is not None:
            self._http.should_exit = True
            await self._http_task
            self._http = self._http_task = None
        await self._store.close()
        self._addresses = None

    async def _start_smtp(self) -> str:
        host, port = host_port(self._settings.smtp_bind)
        context = await asyncio.to_thread(certificate.server_context, _HOSTNAME, self._directory)
        options = ServerOptions(hostname=_HOSTNAME, max_message_bytes=self._settings.max_message_bytes)
        self._smtp = SmtpServer(self._capture, options, tls=context)
        return _joined(*await self._smtp.start(host, port))

    async def _start_page(self) -> str:
        host, port = host_port(self._settings.http_bind)
        app = create_app(self._store, loopback_only=_is_loopback(host))
        config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            server_header=False,
            ws="none",
            timeout_graceful_shutdown=_HTTP_GRACE_S,
        )
        listening = socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
        self._http = _PageServer(config)
        self._http_task = asyncio.create_task(self._http.serve(sockets=[listening]))
        ready = asyncio.create_task(self._http.ready.wait())
        await asyncio.wait([ready, self._http_task], return_when=asyncio.FIRST_COMPLETED)
        ready.cancel()
        if self._http_task.done():
            listening.close()
            raise RuntimeError("the page could not start") from self._http_task.exception()
        return f"http://{_joined(host, listening.getsockname()[1])}"

    async def _capture(self, envelope: Envelope) -> Answer:
        try:
            stored_as = await self._store.add(envelope, datetime.now(UTC))
        except sqlite3.Error:
            return _NOT_STORED
        return _NO_ROOM if stored_as is None else Reply(250, f"2.0.0 captured as {stored_as}")


class _PageServer(uvicorn.Server):
    """Signals belong to the process that hosts the sink, and whoever starts it wants to know when it serves."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = asyncio.Event()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready.set()


def _joined(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
