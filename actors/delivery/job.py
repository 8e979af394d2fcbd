"""A job: one message to some of its recipients at one site, composed and claimed, ready for one SMTP transaction."""

from typing import Self

from msgspec import Struct

from actors.smtp.commands import Envelope
from actors.smtp.protocol import SmtpFailure
from actors.smtp.transaction import TransactionResult
from cluster.journal.records import Claimed
from cluster.policy.routes.next_hop import Unreachable


class Job(Struct, frozen=True, kw_only=True, eq=False):
    """Claimed deliveries of one message, in the order of the envelope's recipients, and the octets to send."""

    deliveries: tuple[Claimed, ...]
    envelope: Envelope
    data: bytes
    categories: tuple[str, ...]
    downgraded: bytes | None = None
    """The octets for a host without SMTPUTF8, where the header asks for it and can be had without."""


class Hop(Struct, frozen=True, kw_only=True):
    """The connection that carried a transaction, as an event tells it."""

    mx_host: str = ""
    mx_ip: str = ""
    source_ip: str = ""
    """Our own address in it."""
    tls_version: str = ""
    tls_cipher: str = ""


class NoRoute(Exception):
    """There is no host to connect to: what DNS said, and whether it can be otherwise later."""

    def __init__(self, reason: str, permanent: bool) -> None:
        super().__init__(reason, permanent)
        self.reason = reason
        self.permanent = permanent

    @classmethod
    def of(cls, found: Unreachable) -> Self:
        return cls(found.reason, found.permanent)


Report = TransactionResult | SmtpFailure | NoRoute
"""What became of a job."""
