"""A client that submits mail by SMTP, or sends reports: one connection per message, and a distinct error for each way
to fail, as in ``benchmarks/client.py``."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

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
            with _failing_as(NotSent):
                await client.connect()
                await client.mail(sender)
                for recipient in recipients:
                    await client.rcpt(recipient)
            with _failing_as(Unanswered):
                answer = await client.data(message)
        finally:
            client.close()
        return answer.message.split()[1]


@contextmanager
def _failing_as(otherwise: type[NotSent | Unanswered]) -> Iterator[None]:
    """Raises Refused for a reply that says no, and ``otherwise`` where no reply came."""
    try:
        yield
    except aiosmtplib.SMTPResponseException as error:
        raise Refused(error.code, error.message) from error
    except (aiosmtplib.SMTPException, OSError, TimeoutError) as error:
        raise otherwise(str(error) or type(error).__name__) from error
