"""A job: one message to some of its recipients at one site, composed and claimed, ready for one SMTP transaction. Also
the connection that carries it, and the report on it."""

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
    """The octets for a host without SMTPUTF8, if the header uses it and can do without."""
    reports_tls: bool = False
    """It is a TLS report (``DomainTls.for_reports``)."""
    is_notice: bool = False
    """It is postray's own mail, which neither counts for its tenant nor feeds its lists."""


class Uncomposed(Struct, frozen=True):
    """A claimed delivery without a job. ``is_final``: no attempt can make one; otherwise it is tried again."""

    delivery: Claimed
    reason: str
    is_final: bool = True


class Hop(Struct, frozen=True, kw_only=True):
    """The connection that carried a transaction, as events record it."""

    mx_host: str = ""
    mx_ip: str = ""
    source_ip: str = ""
    """Our address."""
    tls_version: str = ""
    tls_cipher: str = ""


class NoRoute(Exception):
    """There is no host to connect to. ``reason``: what the DNS answered. ``permanent``: a retry cannot help.
    ``bad_domain``: the name that does not exist or takes no mail."""

    def __init__(self, reason: str, permanent: bool, bad_domain: str = "") -> None:
        super().__init__(reason, permanent, bad_domain)
        self.reason = reason
        self.permanent = permanent
        self.bad_domain = bad_domain

    @classmethod
    def of(cls, found: Unreachable) -> Self:
        return cls(found.reason, found.permanent, found.bad_domain)


Report = TransactionResult | SmtpFailure | NoRoute
"""The result of a job."""


class Connection(Protocol):
    """What carries transactions: an SMTP connection, or one that discards mail."""

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
    """How many other hosts or addresses could have taken the same mail."""
    observe: Observe | None

    @property
    def is_usable(self) -> bool: ...

    @property
    def has_all_data(self) -> bool:
        """Whether the current transaction's message was sent in full, so that the host may have accepted it."""

    async def send(self, envelope: Envelope, data: bytes) -> TransactionResult: ...

    async def quit(self) -> None: ...

    def abort(self) -> None: ...


def hop_of(connection: Connection) -> Hop:
    """The connection as events record it."""
    return Hop(
        mx_host=connection.host,
        mx_ip=connection.address,
        source_ip=connection.source_address,
        tls_version=connection.tls_version,
        tls_cipher=connection.tls_cipher,
    )
