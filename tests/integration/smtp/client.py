"""The messages that the tests of this folder send, and how the tests connect."""

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from actors.smtp.client import SmtpConnection
from actors.smtp.commands import Envelope
from actors.smtp.protocol import Observe
from cluster.policy.routes.next_hop import Credentials
from cluster.policy.tls.level import TlsLevel
from cluster.settings import SmtpSettings
from tests.integration.smtp.conftest import HOST
from tests.integration.smtp.peer import Peer

ENVELOPE = Envelope("a@example.org", ("b@peer.test",))
TWO = Envelope("a@example.org", ("b@peer.test", "c@peer.test"))
DATA = b"Subject: hello\r\n\r\n.dots.\r\n.\r\n..\r\n"
MAX_WAIT_S = 20.0
"""Time limit for steps that take no time unless the machine is very busy."""
PATIENT = SmtpSettings(
    connect_timeout_s=MAX_WAIT_S,
    greeting_timeout_s=MAX_WAIT_S,
    mail_timeout_s=MAX_WAIT_S,
    rcpt_timeout_s=MAX_WAIT_S,
    data_initiation_timeout_s=MAX_WAIT_S,
    data_block_timeout_s=MAX_WAIT_S,
    data_termination_timeout_s=MAX_WAIT_S,
)


@asynccontextmanager
async def connected(
    peer: Peer,
    *,
    settings: SmtpSettings = PATIENT,
    tls: TlsLevel = TlsLevel.OPPORTUNISTIC,
    ssl_context: ssl.SSLContext | None = None,
    source_address: str | None = None,
    credentials: Credentials | None = None,
    observe: Observe | None = None,
    ignored_capabilities: frozenset[str] = frozenset(),
    takes_bdat: bool = False,
) -> AsyncIterator[SmtpConnection]:
    async with peer.listening():
        connection = await SmtpConnection.open(
            HOST,
            "127.0.0.1",
            peer.port,
            settings=settings,
            helo_name="client.test",
            tls=tls,
            ssl_context=ssl_context,
            source_address=source_address,
            credentials=credentials,
            observe=observe,
            ignored_capabilities=ignored_capabilities,
        )
        connection.takes_bdat = takes_bdat
        try:
            yield connection
        finally:
            await connection.quit()
