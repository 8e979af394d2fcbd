"""Checks of our names in the DNS, and of what sender domains publish.

Questions to the DNS leave the machine, so nothing is asked where no mail leaves it and no source is named.
"""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import psutil

from cluster.doctor.asking import NoResolver, Questions
from cluster.doctor.findings import Finding, Installation, ok, problem, warning
from cluster.doctor.judging import names as judging
from cluster.doctor.judging.answers import Answer, Unanswered
from cluster.doctor.reading import read_journal, routing_of
from cluster.journal.journal import Unavailable
from cluster.lookup.resolver import Resolver
from cluster.policies import BadPolicies, read_files
from cluster.policy.routes.domains import domain_of
from cluster.policy.routes.mx import UNGUARDED
from cluster.policy.routes.routing import Routing, Source, Via
from cluster.routing.build import helo_name
from cluster.tenancy.domains.domain import WRONG_SHOWN, SenderDomain
from cluster.tenancy.domains.findings import Finding as RecordFinding
from cluster.tenancy.domains.findings import Kind, Status, said
from cluster.tenancy.domains.looking import Looking
from cluster.tenancy.domains.publishing import bounce_host, publishing_of
from cluster.tenancy.domains.records import Publishing, records

DNS_S = 20.0
"""For all questions of a check."""
MOST_SOURCES = 500
MOST_WRONG = 100
"""Number of sender domains that are named, those that have been wrong for longest first."""
MOST_PATHS = 200
"""Number of sender domains whose return paths are looked up."""
NOTHING_LEAVES = "no mail leaves this machine (delivery.mode capture)"


def policies(installation: Installation) -> Iterator[Finding]:
    """Whether shaping.toml and routing.toml can be put in force."""
    try:
        read_files(installation.settings.delivery)
    except BadPolicies as error:
        yield problem(f"{error}: correct it; postray shaping check says whether it can be put in force")
    else:
        yield ok("shaping and routing can be put in force")


def sources(installation: Installation) -> Iterator[Finding]:
    """Whether each source, its PTR record and its name in EHLO lead to each other."""
    routing = routing_of(installation)
    if routing is None or not (routing.sources or _leaves(routing)):
        yield ok(NOTHING_LEAVES)
        return
    try:
        found = asyncio.run(_look_at_sources(installation, routing))
    except NoResolver as error:
        yield problem(f"the DNS cannot be asked: {error}; set dns.nameservers")
        return
    for source in found:
        yield from judging.of_source(source)


def bounces(installation: Installation) -> Iterator[Finding]:
    """Whether the host of bounces can get them."""
    routing = routing_of(installation)
    if routing is None or not (_leaves(routing) or installation.settings.bounce.host):
        yield ok(NOTHING_LEAVES)
        return
    try:
        yield from judging.of_bounces(asyncio.run(_look_at_bounces(installation, routing)))
    except NoResolver as error:
        yield problem(f"the DNS cannot be asked: {error}; set dns.nameservers")


def resolver(installation: Installation) -> Iterator[Finding]:
    """Whether the resolver answers, and validates DNSSEC."""
    routing = routing_of(installation)
    if routing is None or not (_leaves(routing) or installation.settings.tls.dane):
        yield ok(NOTHING_LEAVES)
        return
    try:
        yield from judging.of_resolver(asyncio.run(_look_at_root(installation)))
    except NoResolver as error:
        yield problem(f"the DNS cannot be asked: {error}; set dns.nameservers")


def domains(installation: Installation) -> Iterator[Finding]:
    """Verified sender domains whose DNS records have been wrong for some days."""
    if not installation.has_journal:
        yield ok("sender domains are looked at while postray runs")
        return
    since = datetime.now(UTC) - WRONG_SHOWN
    try:
        wrong = read_journal(installation, lambda journal: journal.sender_domains.wrong(since, MOST_WRONG))
    except Unavailable as error:
        yield problem(f"the journal cannot be read: {error}")
        return
    for domain in wrong:
        yield warning(
            f"{domain.domain} of {domain.tenant_id}: its DNS records have been wrong since "
            f"{domain.wrong_since:%Y-%m-%d}; postray domains verify {domain.domain} shows which"
        )
    if not wrong:
        yield ok("no verified sender domain has wrong DNS records")


def return_paths(installation: Installation) -> Iterator[Finding]:
    """Whether the return paths of verified sender domains lead to us now, and pass our sources."""
    routing = routing_of(installation)
    if routing is None or not _leaves(routing):
        yield ok(NOTHING_LEAVES)
        return
    if not installation.has_journal:
        yield ok("return paths are looked up while postray runs")
        return
    try:
        found = read_journal(installation, lambda journal: journal.sender_domains.of_tenant(None, limit=MOST_PATHS))
    except Unavailable as error:
        yield problem(f"the journal cannot be read: {error}")
        return
    verified = [domain for domain in found if domain.verified_at is not None]
    bad = asyncio.run(_look_at_paths(installation, verified, publishing_of(installation.settings, routing)))
    for domain, finding in bad:
        yield warning(
            f"{finding.kind.upper()} of {finding.host}, the return path of {domain.domain}: {said(finding.reason)}; "
            f"expected is {finding.expected}"
        )
    if not bad:
        yield ok(f"the return paths of {len(verified)} verified sender domains are right")


def _leaves(routing: Routing) -> bool:
    """Whether mail leaves the machine."""
    return routing.fallback.via in (Via.DIRECT, Via.RELAY)


def _is_direct(routing: Routing) -> bool:
    return _leaves(routing) and routing.uses(Via.DIRECT)


async def _look_at_sources(installation: Installation, routing: Routing) -> list[judging.Source]:
    questions = Questions(installation.settings.dns, DNS_S)
    helo = helo_name(installation.settings)
    named = sorted(routing.sources.values(), key=lambda source: source.name)[:MOST_SOURCES]
    if named:
        # In a cluster another machine may have it: postray sources shows which has.
        here = None if installation.settings.ray.address else _own_addresses()
        return list(await asyncio.gather(*(_source(questions, one, helo, here, _is_direct(routing)) for one in named)))
    # The system chooses the address, and what it is outside can be known by its name only.
    found = Unanswered("it is no name") if helo.startswith("[") else await questions.addresses(helo)
    own = found.records if isinstance(found, Answer) else ()
    addresses = await asyncio.gather(*(_address(questions, address, None) for address in own))
    return [judging.Source("", helo, found, tuple(addresses), _is_direct(routing))]


async def _source(
    questions: Questions, source: Source, helo: str, here: frozenset[str] | None, is_direct: bool
) -> judging.Source:
    name = source.helo_name or helo
    addresses = [address for address in (source.address, source.address6) if address]
    found = await asyncio.gather(
        *(_address(questions, one, None if here is None else one in here) for one in addresses)
    )
    helo_addresses = Unanswered("it is no name") if name.startswith("[") else await questions.addresses(name)
    return judging.Source(source.name, name, helo_addresses, tuple(found), is_direct)


async def _address(questions: Questions, address: str, is_here: bool | None) -> judging.Address:
    pointers = await questions.pointers(address)
    names = pointers.records if isinstance(pointers, Answer) else ()
    back = await asyncio.gather(*map(questions.addresses, names))
    return judging.Address(address, is_here, pointers, dict(zip(names, back, strict=True)))


def _own_addresses() -> frozenset[str]:
    """The addresses of this machine's network interfaces."""
    return frozenset(one.address.partition("%")[0] for found in psutil.net_if_addrs().values() for one in found)


async def _look_at_bounces(installation: Installation, routing: Routing) -> judging.BounceHost:
    settings = installation.settings
    questions, host = Questions(settings.dns, DNS_S), bounce_host(settings)
    places = sorted({domain_of(address) for address in settings.bounce.complaint_addresses})
    addresses, *exchangers = await asyncio.gather(
        questions.addresses(host), *(questions.ask(place, "MX") for place in places)
    )
    return judging.BounceHost(
        host=host,
        addresses=addresses,
        is_bound=bool(settings.bounce.bind),
        is_direct=_is_direct(routing),
        complaints=dict(zip(places, exchangers, strict=True)),
    )


async def _look_at_root(installation: Installation) -> judging.Resolver:
    questions = Questions(installation.settings.dns, DNS_S)
    return judging.Resolver(questions.servers, await questions.ask(".", "SOA"), installation.settings.tls.dane)


async def _look_at_paths(
    installation: Installation, found: Sequence[SenderDomain], publishing: Publishing
) -> list[tuple[SenderDomain, RecordFinding]]:
    """The records of return paths that are not right, with their domains."""
    async with _lookups(installation) as lookups, lookups.uncached(DNS_S) as uncached:

        async def wrong(domain: SenderDomain) -> list[tuple[SenderDomain, RecordFinding]]:
            looking = Looking(
                uncached,
                domain,
                publishing,
                private_key=_no_key,
                sign_probe=_no_probe,
                random_label=f"{random.getrandbits(64):016x}",
            )
            paths = [one for one in records(domain, publishing, datetime.now(UTC)) if one.kind in (Kind.MX, Kind.SPF)]
            looked = await looking.at(paths)
            return [(domain, finding) for _, finding in looked if finding.status is not Status.VALID]

        return [one for some in await asyncio.gather(*map(wrong, found)) for one in some]


@asynccontextmanager
async def _lookups(installation: Installation) -> AsyncIterator[Resolver]:
    made = Resolver(installation.settings.dns, clock=time.monotonic, random=random.random, guard=UNGUARDED)
    try:
        yield made
    finally:
        await made.close()


def _no_key(key: object) -> bytes:
    raise AssertionError("the records of return paths have no keys")


def _no_probe(domain: str, selector: str, key: bytes) -> bytes:
    raise AssertionError("the records of return paths have no keys")
