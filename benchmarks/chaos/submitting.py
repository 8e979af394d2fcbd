"""A client of the harness that hands mail over by SMTP, and one that reports by it: one connection per message, and a
distinct error for each way to fail, as in ``benchmarks/client.py``."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import aiosmtplib

from benchmarks.client import NotSent, Unanswered
from cluster.settings import host_port

ANSWER_S = 15.0
"""How long a reply may take."""
USER = "apikey"


class Refused(Exception):
    """A reply said no: the message was not taken."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(code, text)
        self.code = code

    def __str__(self) -> str:
        return f"{self.code} {self.args[1]}"


class Submitting:
    """Mail to one server at ``address``, with STARTTLS; ``key``: the password, "" for a server without logins."""

    def __init__(self, address: str, key: str = "") -> None:
        self._host, self._port = host_port(address)
        self._key = key

    async def submit(self, sender: str, recipients: Sequence[str], message: bytes) -> str:
        """Returns the word of the 250 after its status, which is the message's id. Raises NotSent, Unanswered,
        Refused."""
        async with self._connected() as client:
            try:
                await client.mail(sender)
                for recipient in recipients:
                    await client.rcpt(recipient)
            except aiosmtplib.SMTPResponseException as error:
                raise Refused(error.code, error.message) from error
            except (aiosmtplib.SMTPException, OSError, TimeoutError) as error:
                raise NotSent(str(error) or type(error).__name__) from error
            try:
                answer = await client.data(message)
            except aiosmtplib.SMTPResponseException as error:
                raise Refused(error.code, error.message) from error
            except (aiosmtplib.SMTPException, OSError, TimeoutError) as error:
                raise Unanswered(str(error) or type(error).__name__) from error
            return answer.message.split()[1]

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[aiosmtplib.SMTP]:
        client = aiosmtplib.SMTP(
            hostname=self._host,
            port=self._port,
            start_tls=True,
            validate_certs=False,
            username=USER if self._key else None,
            password=self._key or None,
            timeout=ANSWER_S,
        )
        try:
            try:
                await client.connect()
            except aiosmtplib.SMTPResponseException as error:
                raise Refused(error.code, error.message) from error
            except (aiosmtplib.SMTPException, OSError, TimeoutError) as error:
                raise NotSent(str(error) or type(error).__name__) from error
            yield client
        finally:
            client.close()
