"""The actor of mail in: its SMTP server, which knows its addresses at RCPT."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence

from actors.mail_in.taking import Taking
from cluster import metrics
from cluster.access.terms import network
from cluster.context import DEGRADED
from cluster.draining import Draining
from cluster.metrics import Reading
from cluster.settings import BounceSettings, host_port
from cluster.smtpd.certificate import Certificate
from cluster.smtpd.envelope import Answer, Behaviour, ServerOptions, ServerReply
from cluster.smtpd.server import SmtpServer
from cluster.tasks import Tasks
from cluster.tracking.keys import TokenKeys

log = logging.getLogger(__name__)

MOST_MESSAGE_BYTES = 10 * 1024 * 1024
"""A report may return all of a message."""
MOST_ERRORS = 10
MOST_RECIPIENTS = 100
"""RFC 5321 §4.5.3.1.8. A report has one; each is looked for and kept by itself."""
_NOT_OURS = ServerReply(550, "5.1.1 no such address here")


class MailInServer:
    """Call ``start`` and ``stop`` once each."""

    def __init__(
        self,
        settings: BounceSettings,
        hostname: str,
        taking: Taking,
        keys: TokenKeys,
        find_certificate: Callable[[], Certificate],
        is_draining: Callable[[], Awaitable[bool]],
        tell_closed: Callable[[], Awaitable[None]],
    ) -> None:
        """``find_certificate`` reads or makes the certificate, which blocks. ``is_draining`` and ``tell_closed`` are
        those of ``Draining``."""
        self._settings = settings
        self._hostname = hostname
        self.taking = taking
        self.keys = keys
        self._find_certificate = find_certificate
        self._draining = Draining(is_draining, self._close, tell_closed)
        self._tasks = Tasks()
        self._server: SmtpServer | None = None
        self.port = 0
        """The actual port, once it listens."""

    async def start(self) -> None:
        """Listen. Raises OSError when the address is taken, Unavailable, UnusablePair."""
        await self.keys.load()
        self._tasks.spawn("token keys", self.keys.run())
        certificate = await asyncio.to_thread(self._find_certificate)
        self._tasks.spawn("certificate", certificate.watch())
        options = ServerOptions(
            hostname=self._hostname,
            max_message_bytes=MOST_MESSAGE_BYTES,
            max_connections=self._settings.max_connections,
            max_connections_per_address=self._settings.max_connections_per_address,
            max_recipients=MOST_RECIPIENTS,
            max_errors=MOST_ERRORS,
            max_refused_recipients=MOST_ERRORS,
        )
        self._server = SmtpServer(
            self.taking.take,
            options,
            tls=certificate.context,
            behaviour=Behaviour(rcpt=self._rcpt),
            trusted_proxies=tuple(map(network, self._settings.trusted_proxies)),
        )
        host, self.port = await self._server.start(*host_port(self._settings.bind), shared=True)
        log.info("mail in at %s:%d", host, self.port)
        self._tasks.spawn("draining", self._draining.follow())

    async def stop(self) -> None:
        """End; mail that was received is taken first."""
        await self._tasks.stop()
        await self._close()

    async def _close(self) -> None:
        """Say 421 to clients, and take what was received."""
        server, self._server = self._server, None
        if server is not None:
            await server.stop()

    async def problem(self) -> str | None:
        """None while the server listens, and while the node drains."""
        return None if self._server is not None or self._draining.is_closed else f"{DEGRADED}mail in is not taken"

    async def metrics(self) -> Sequence[Reading]:
        return metrics.read(self)

    def _rcpt(self, address: str) -> Answer:
        return None if self.taking.may_come_to(address) else _NOT_OURS
