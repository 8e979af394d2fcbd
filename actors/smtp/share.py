"""What one connection may carry of its site's mail, and what it has carried of that."""

from msgspec import Struct

from actors.smtp.commands import Envelope
from cluster.policy.limits.session import UNBOUNDED, UNLIMITED, SessionLimits, Spent, fitting
from cluster.policy.routes.domains import domain_of


class Share(Struct, eq=False):
    """Of one connection, which counts its transactions itself."""

    limits: SessionLimits = UNLIMITED
    """What its host has announced, or shown."""
    recipients: int = 0
    domains: frozenset[str] = frozenset()
    """Of its recipients; only kept where they are limited."""
    is_used_up: bool = False
    """Its host has said so."""

    def is_full(self, transactions: int, at_most: int) -> bool:
        """Whether it may carry no more. ``at_most``: transactions, as its site's rules have it."""
        limits = self.limits
        return (
            self.is_used_up or transactions >= at_most or transactions >= limits.messages
        ) or self.recipients >= limits.recipients

    def fitting(self, recipients: tuple[str, ...]) -> list[int]:
        """The places of the recipients that its next transaction may carry; empty where it has had other domains."""
        limits = self.limits
        at_most = min(limits.recipients_per_transaction, limits.recipients - self.recipients)
        return fitting(recipients, at_most, self.domains, limits.domains)

    def described(self, host: str) -> str:
        """For operators; "" where nothing is known."""
        known = self.limits.described()
        return f"at most {known}, says {host}" if known else ""

    def begin(self, envelope: Envelope) -> None:
        """A transaction begins."""
        self.recipients += len(envelope.recipients)
        if self.limits.domains < UNBOUNDED:
            self.domains |= {domain_of(recipient) for recipient in envelope.recipients}

    def use_up(self, spent: Spent, messages: int, recipients: int, accepted: int) -> SessionLimits | None:
        """Its host says that it has had its share. Returns what that shows of the host's other connections, if
        anything. ``messages``: transactions before the last one; ``recipients``: of the last one, and ``accepted``
        how many of these."""
        self.is_used_up = True
        before = self.recipients - recipients
        match spent:
            case Spent.MESSAGES if messages:
                return SessionLimits(messages=messages)
            case Spent.RECIPIENTS if before + accepted:
                return SessionLimits(recipients=before + accepted)
        return None
