"""The next hop of a delivery: which hosts a connection that carries the message must be to."""

from collections.abc import Sequence

from msgspec import Struct
from msgspec.structs import replace

from cluster.policy.routes.mx import TAKES_NO_MAIL, MailHost, UnresolvedHosts, Unroutable
from cluster.policy.routes.routing import Via
from cluster.policy.tls.level import AuthNeeds
from cluster.policy.tls.policy import DomainTls, TenantTls


class Credentials(Struct, frozen=True):
    """Credentials for AUTH (RFC 4954)."""

    username: str
    password: str
    needs: AuthNeeds = AuthNeeds.VERIFIED
    """What a session must have proved before the credentials are sent."""

    def __repr__(self) -> str:
        return f"Credentials({self.username!r})"


class NextHop(Struct, frozen=True):
    """Equal next hops share connections. Domains of one site may have different ones: a host that serves many domains
    need not accept one's mail under another's name, and one domain's policy does not bind the others."""

    via: Via
    hosts: tuple[MailHost, ...] = ()
    """In the order of preference, then of the name; the connecting code randomises equals."""
    port: int = 25
    tls: DomainTls = DomainTls()
    credentials: Credentials | None = None
    tenant_tls: TenantTls | None = None
    """What the tenant of the mail requires besides ``tls``."""
    last: tuple[str, ...] = ()
    """Hosts that are tried after all others, in this order: they have deferred this mail before."""

    def without(self, host: str) -> "NextHop | None":
        """The next hop without one host; None when no host remains."""
        others = tuple([one for one in self.hosts if one.name != host])
        return replace(self, hosts=others) if others else None

    def beginning_after(self, hosts: Sequence[str]) -> "NextHop":
        """With these hosts at the end, in this order."""
        names = {one.name for one in self.hosts}
        if len(names) == 1:
            return self
        return replace(self, last=tuple([host for host in hosts if host in names]))


class Unreachable(Struct, frozen=True):
    """There is no next hop: the DNS answer, and whether it may change later."""

    reason: str
    permanent: bool
    bad_domain: str = ""
    """The name that does not exist or takes no mail. No such name: the fault may be ours, or that of a record."""


def unreachable(answer: Unroutable | UnresolvedHosts) -> Unreachable:
    """The reason when the DNS named no host or no address."""
    if isinstance(answer, Unroutable):
        detail = f" ({answer.detail})" if answer.detail else ""
        reason = f"{answer.name}: {answer.cause.replace('_', ' ')}{detail}"
        return Unreachable(reason, permanent=True, bad_domain=answer.name if answer.cause in TAKES_NO_MAIL else "")
    return Unreachable(f"{answer.name}: DNS {answer.reason}", permanent=False)


class ResolvedRoute(Struct, frozen=True):
    """The site and the next hop of a domain."""

    site: str
    hop: NextHop | Unreachable
