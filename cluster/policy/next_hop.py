"""The next hop of a delivery: whom a connection must be to so that it may carry the message."""

from msgspec import Struct

from cluster.policy.mx import MxHost, Unresolved, Unroutable
from cluster.policy.routing import Via
from cluster.policy.tls_policy import DomainTls


class Credentials(Struct, frozen=True):
    """For AUTH (RFC 4954)."""

    username: str
    password: str

    def __repr__(self) -> str:
        return f"Credentials({self.username!r})"


class NextHop(Struct, frozen=True):
    """Equal next hops share connections. Domains of one site may have different ones: a host that serves many domains
    need not take one's mail at another's name, and a policy of one domain does not bind the others."""

    via: Via
    hosts: tuple[MxHost, ...] = ()
    """In the order of preference, then of the name; chance among equals is for whoever connects."""
    port: int = 25
    tls: DomainTls = DomainTls()
    credentials: Credentials | None = None


class Unreachable(Struct, frozen=True):
    """There is no next hop: what the DNS said, and whether it can be otherwise later."""

    reason: str
    permanent: bool


def unreachable(answer: Unroutable | Unresolved) -> Unreachable:
    """What the DNS said when it named no host, or no address."""
    if isinstance(answer, Unroutable):
        detail = f" ({answer.detail})" if answer.detail else ""
        return Unreachable(f"{answer.name}: {answer.cause.replace('_', ' ')}{detail}", permanent=True)
    return Unreachable(f"{answer.name}: DNS {answer.reason}", permanent=False)


class Way(Struct, frozen=True):
    """From a domain to its site and its next hop."""

    site: str
    hop: NextHop | Unreachable
