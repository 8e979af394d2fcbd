"""What the DNS says of our own names: sources, the host of bounces, the resolver.

Receivers refuse mail from addresses without a PTR record whose name leads back to them, and many weigh the name that is
given in EHLO.
"""

from collections.abc import Iterator, Mapping, Sequence
from ipaddress import ip_address, ip_network

from msgspec import Struct

from cluster.doctor.findings import Finding, FindingState, ok, problem, warning
from cluster.doctor.judging.answers import Answer, Unanswered

NOT_SEEN = tuple(
    ip_network(text)
    for text in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "127.0.0.0/8", "fc00::/7", "::1/128")
)
"""Networks of addresses that receivers never see (RFC 1918, 4193, 6598): a router puts another one in their place."""


class Address(Struct, frozen=True):
    """An address that mail leaves from. ``is_here``: whether this machine has it; None where another one may. ``back``:
    the addresses of each name of the pointers."""

    address: str
    is_here: bool | None
    pointers: Answer | Unanswered
    back: Mapping[str, Answer | Unanswered]


class Source(Struct, frozen=True):
    """``name``: "" stands for the address that the system chooses. ``is_direct``: its mail goes to the mail exchangers
    of domains, which look at these names."""

    name: str
    helo: str
    helo_addresses: Answer | Unanswered
    addresses: tuple[Address, ...]
    is_direct: bool

    @property
    def title(self) -> str:
        return f"source {self.name}" if self.name else "smtp.helo_name"


class BounceHost(Struct, frozen=True):
    """The MX of return paths. ``complaints``: the MX records of the domains of complaint addresses."""

    host: str
    addresses: Answer | Unanswered
    is_bound: bool
    is_direct: bool
    complaints: Mapping[str, Answer | Unanswered] = {}


class Resolver(Struct, frozen=True):
    """``root``: the answer about the root of the DNS, which is signed. ``needs_dnssec``: the setting tls.dane."""

    servers: tuple[str, ...]
    root: Answer | Unanswered
    needs_dnssec: bool


def of_source(source: Source) -> Iterator[Finding]:
    grave = FindingState.PROBLEM if source.is_direct else FindingState.WARNING
    found = [*_of_helo(source, grave)]
    for address in source.addresses:
        found += _of_address(source, address, grave)
    yield from found
    if not found:
        addresses = ", ".join(one.address for one in source.addresses)
        yield ok(f"{source.title}: {addresses} and {source.helo} lead to each other")


def _of_helo(source: Source, grave: FindingState) -> Iterator[Finding]:
    helo, own = source.helo, {str(ip_address(one.address)) for one in source.addresses}
    if helo.startswith("["):
        yield warning(
            f"{source.title} says {helo} in EHLO, and many hosts refuse addresses there: set helo_name to a name"
        )
        return
    if "." not in helo:
        yield Finding(grave, f"{source.title} says {helo} in EHLO, which is no full name: set smtp.helo_name")
        return
    if isinstance(source.helo_addresses, Unanswered):
        yield warning(f"{source.title}: the addresses of {helo} could not be looked up: {source.helo_addresses.reason}")
        return
    if not source.helo_addresses.records:
        yield Finding(
            grave, f"{source.title} says {helo} in EHLO, which has no address: publish an A or AAAA record for it"
        )
        return
    for address in sorted(own - _plain(source.helo_addresses.records)):
        yield warning(
            f"{source.title} says {helo} in EHLO, which leads to {', '.join(source.helo_addresses.records)} and not to "
            f"{address}: publish that, too, or give the source a helo_name of its own"
        )


def _of_address(source: Source, address: Address, grave: FindingState) -> Iterator[Finding]:
    here, text = f"{address.address} of {source.title}", address.address
    if address.is_here is False:
        yield Finding(
            grave, f"this machine does not have {here}: set it up (ip address add), or take it from routing.toml"
        )
    if any(ip_address(text) in network for network in NOT_SEEN):
        yield warning(
            f"{here} is not public, so receivers see another one, whose PTR record cannot be looked at from here: it "
            f"should be {source.helo}"
        )
        return
    if isinstance(address.pointers, Unanswered):
        yield warning(f"the PTR record of {here} could not be looked up: {address.pointers.reason}")
        return
    names = address.pointers.records
    if not names:
        yield Finding(grave, f"{here} has no PTR record: have its provider set it to {source.helo}")
        return
    lead_back = [name for name in names if _leads_to(address.back.get(name), text)]
    unknown = [name for name in names if isinstance(address.back.get(name), Unanswered)]
    if not lead_back and unknown:
        yield warning(f"the addresses of {unknown[0]}, the PTR record of {here}, could not be looked up")
    elif not lead_back:
        yield Finding(
            grave,
            f"the PTR record of {here} is {', '.join(names)}, which does not lead back to it: publish {text} as an "
            f"address of it, or have the provider set the PTR record to {source.helo}",
        )
    elif len(names) > 1:
        yield warning(f"{here} has {len(names)} PTR records ({', '.join(names)}), and receivers read any: leave one")


def _leads_to(answer: Answer | Unanswered | None, address: str) -> bool:
    return isinstance(answer, Answer) and str(ip_address(address)) in _plain(answer.records)


def _plain(records: Sequence[str]) -> set[str]:
    return {str(ip_address(record)) for record in records}


def of_bounces(found: BounceHost) -> Iterator[Finding]:
    grave = FindingState.PROBLEM if found.is_direct else FindingState.WARNING
    host, answer = found.host, found.addresses
    if "." not in host:
        yield Finding(grave, f"bounces would go to {host}, which is no full name: set bounce.host or smtp.helo_name")
        return
    if isinstance(answer, Unanswered):
        yield warning(f"the addresses of {host}, the host of bounces, could not be looked up: {answer.reason}")
    elif not answer.records:
        yield Finding(grave, f"{host}, the host of bounces, has no address: publish an A or AAAA record for it")
    elif answer.alias:
        yield warning(
            f"{host} is an alias of {answer.alias}, and an MX must not name one (RFC 2181 §10.3): set bounce.host"
        )
    else:
        yield ok(f"bounces go to {host} at {', '.join(answer.records)}")
    if not found.is_bound:
        yield warning("bounces that come later, and complaints, are not taken: set bounce.bind, such as 0.0.0.0:25")
    for domain, exchangers in found.complaints.items():
        if isinstance(exchangers, Answer) and host not in {record.split()[-1] for record in exchangers.records}:
            yield warning(f"complaints to {domain} would not come here: publish {domain} MX 10 {host}")


def of_resolver(found: Resolver) -> Iterator[Finding]:
    servers = ", ".join(found.servers)
    if isinstance(found.root, Unanswered):
        yield problem(f"the name servers ({servers}) do not answer: {found.root.reason}; see dns.nameservers")
        return
    if not found.root.is_secure:
        if found.needs_dnssec:
            yield problem(
                f"tls.dane is on, and {servers} does not validate DNSSEC, so no TLSA record counts: name a resolver "
                "that does in dns.nameservers, such as Unbound on this machine"
            )
        else:
            yield warning(
                f"{servers} does not validate DNSSEC, so forged MX records go unnoticed, and tls.dane cannot be used: "
                "run a resolver that does, such as Unbound on this machine"
            )
        return
    yield ok(f"{servers} validates DNSSEC")
    far = [one for one in found.servers if not _is_loopback(one)]
    if found.needs_dnssec and far:
        yield warning(
            f"tls.dane believes what {', '.join(far)} says of DNSSEC: the path to it must be safe, so run a "
            "resolver on this machine"
        )


def _is_loopback(address: str) -> bool:
    try:
        return ip_address(address).is_loopback
    except ValueError:
        return False
