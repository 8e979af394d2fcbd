"""A job: one message to some of its recipients at one site, composed and claimed, ready for one SMTP transaction; what
carries it, and what became of it."""

from typing import Protocol, Self

from msgspec import Struct

from actors.smtp.commands import Envelope
from actors.smtp.protocol import Observe, SmtpFailure
from actors.smtp.share import Share
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


class Connection(Protocol):
    """What carries transactions: an SMTP connection, or what stands for one."""

    host: str
    address: str
    source: str
    source_address: str
    tls_version: str
    tls_cipher: str
    transactions: int
    opened_at: float
    """Loop time."""
    share: Share
    alternatives: int
    """Other addresses that the same mail could have gone to."""
    observe: Observe | None

    @property
    def is_usable(self) -> bool: ...

    @property
    def has_all_data(self) -> bool:
        """Whether the host has been sent the whole message of the transaction under way, and may have accepted it."""

    async def send(self, envelope: Envelope, data: bytes) -> TransactionResult: ...

    async def quit(self) -> None: ...

    def abort(self) -> None: ...


def hop_of(connection: Connection) -> Hop:
    """The connection as an event tells it."""
    return Hop(
        mx_host=connection.host,
        mx_ip=connection.address,
        source_ip=connection.source_address,
        tls_version=connection.tls_version,
        tls_cipher=connection.tls_cipher,
    )
