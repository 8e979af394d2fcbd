"""What a pool needs of whatever carries its transactions."""

from typing import Protocol

from actors.delivery.job import Hop
from actors.smtp.commands import Envelope
from actors.smtp.protocol import Observe
from actors.smtp.share import Share
from actors.smtp.transaction import TransactionResult


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
