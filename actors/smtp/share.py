"""What one connection may carry of its site's mail, and what it has carried so far."""

from msgspec import Struct

from actors.smtp.commands import Envelope
from cluster.policy.limits.session import UNBOUNDED, UNLIMITED, SessionLimits, Spent, fitting
from cluster.policy.routes.domains import domain_of


class Share(Struct, eq=False):
    """The share of one connection. The connection itself counts its transactions."""

    limits: SessionLimits = UNLIMITED
    """The limits that its host has announced, or that were observed."""
    recipients: int = 0
    domains: frozenset[str] = frozenset()
    """The domains of its recipients; recorded only where their number is limited."""
    is_used_up: bool = False
    """Whether its host has replied that the connection may carry no more."""

    def is_full(self, transactions: int, at_most: int) -> bool:
        """Whether it may carry no more. ``at_most`` is the limit of transactions in the site's rules."""
        limits = self.limits
        return (
            self.is_used_up or transactions >= at_most or transactions >= limits.messages
        ) or self.recipients >= limits.recipients

    def fitting(self, recipients: tuple[str, ...]) -> list[int]:
        """The indexes of the recipients that its next transaction may carry; empty when the limit of domains excludes
        them."""
        limits = self.limits
        at_most = min(limits.recipients_per_transaction, limits.recipients - self.recipients)
        return fitting(recipients, at_most, self.domains, limits.domains)

    def described(self, host: str) -> str:
        """The limits in words, for operators; "" where none is known."""
        known = self.limits.described()
        return f"at most {known}, says {host}" if known else ""

    def begin(self, envelope: Envelope) -> None:
        """Count a transaction that begins."""
        self.recipients += len(envelope.recipients)
        if self.limits.domains < UNBOUNDED:
            self.domains |= {domain_of(recipient) for recipient in envelope.recipients}

    def use_up(self, spent: Spent, messages: int, recipients: int, accepted: int) -> SessionLimits | None:
        """Record that the host accepts no more on this connection. Returns the limits that this implies for the host's
        other connections, if any. ``messages`` is the number of transactions before the last one; ``recipients`` and
        ``accepted`` are those of the last one."""
        self.is_used_up = True
        before = self.recipients - recipients
        match spent:
            case Spent.MESSAGES if messages:
                return SessionLimits(messages=messages)
            case Spent.RECIPIENTS if before + accepted:
                return SessionLimits(recipients=before + accepted)
        return None
