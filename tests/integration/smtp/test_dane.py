"""DANE (RFC 7672) with a DNS server that sets the AD bit, and hosts with real certificates."""

import asyncio
from itertools import pairwise
from pathlib import Path

import pytest
from dnslib import CNAME, MX, RCODE, TLSA, A

from cluster.policy.replies.stage import Stage
from cluster.policy.routes.next_hop import Credentials
from cluster.policy.tls.level import TlsLevel
from cluster.policy.tls.policy import DomainTls, MxSecurity
from tests.certificates import Authority
from tests.integration.smtp.conftest import HOST
from tests.integration.smtp.peer import EXTENSIONS, Peer
from tests.integration.smtp.tls_world import DOMAIN, World, http, policy, world

CERTIFICATE = Authority.root("private").issue("other.test")


@pytest.mark.parametrize("usage", [(3, 1, 1), (3, 0, 2), (3, 0, 0), (3, 1, 0), (3, 1, 2)])
async def test_the_hosts_own_certificate_matches(tmp_path: Path, usage: tuple[int, int, int]) -> None:
    # It has an untrusted issuer and another name, and it has expired: RFC 7672 §3.1.1 ignores all of these.
    certificate = Authority.root("private").issue("other.test", expired=True)
    async with world(tmp_path, dane=True) as made, Peer(tls=certificate.server(tmp_path)).listening() as peer:
        record = certificate.tlsa(*usage)
        made.sign(peer, Authority.root("old").tlsa(3, 1, 1), record)
        connection = await made.delivers(peer)
        assert connection.tls_version == "TLSv1.3"
        assert made.counted() == [("tlsa", "", 1)]
        (result,) = made.results.counts()
        assert str(record) in result.policy.splitlines()
        assert made.told[0] == "* TLS: required, tlsa"


@pytest.mark.parametrize("usage", [(2, 0, 1), (2, 1, 1), (2, 1, 2), (2, 0, 0)])
@pytest.mark.parametrize("name", [HOST, DOMAIN])
async def test_an_authority_matches(tmp_path: Path, usage: tuple[int, int, int], name: str) -> None:
    root = Authority.root("private")
    intermediate = root.intermediate()
    certificate = intermediate.issue(name)
    for anchor in (root, intermediate):
        async with world(tmp_path, dane=True) as made, Peer(tls=certificate.server(tmp_path)).listening() as peer:
            made.sign(peer, anchor.tlsa(*usage))
            first = await made.delivers(peer)
            second = await made.delivers(peer)
            assert (first.tls_resumed, second.tls_resumed) == (False, True)
            assert made.counted() == [("tlsa", "", 2)]


@pytest.mark.parametrize(
    ("names", "expired", "result_type"),
    [
        (("other.test",), False, "certificate-host-mismatch"),
        ((HOST,), True, "certificate-expired"),
    ],
)
async def test_an_authority_must_have_issued_it_to_the_host(
    tmp_path: Path, names: tuple[str, ...], expired: bool, result_type: str
) -> None:
    root = Authority.root("private")
    certificate = root.issue(*names, expired=expired)
    async with world(tmp_path, dane=True) as made, Peer(tls=certificate.server(tmp_path)).listening() as peer:
        made.sign(peer, root.tlsa(2, 0, 1))
        failure = await made.fails(peer)
        assert failure.stage is Stage.TLS
        assert failure.reason.startswith("DANE: ")
        assert made.counted() == [("tlsa", result_type, 1)]


async def test_an_authority_that_is_sent_and_has_issued_nothing(tmp_path: Path) -> None:
    named = Authority.root("named")
    certificate = Authority.root("private").issue(HOST)
    certificate.above = (*certificate.above, named.certificate)
    async with world(tmp_path, dane=True) as made, Peer(tls=certificate.server(tmp_path)).listening() as peer:
        made.sign(peer, named.tlsa(2, 0, 1))
        await made.fails(peer)
        assert made.counted() == [("tlsa", "certificate-not-trusted", 1)]


async def test_a_password_for_a_host_that_its_records_name(tmp_path: Path) -> None:
    secret = Credentials("me", "secret")
    peer = Peer(extensions=(*EXTENSIONS, "AUTH PLAIN"), tls=CERTIFICATE.server(tmp_path))
    async with world(tmp_path, dane=True) as made, peer.listening():
        made.sign(peer, CERTIFICATE.tlsa(3, 1, 1))
        await made.delivers(peer, credentials=secret)
        assert (await made.delivers(peer, credentials=secret)).tls_resumed
        assert peer.verbs.count("AUTH") == 2
        # Without usable records, a trusted authority is needed.
        made.dns.zone[f"_{peer.port}._tcp.{HOST}", "TLSA"] = [TLSA(1, 1, 1, b"x" * 32)]
        made.later(61)
        failure = await made.fails(peer, credentials=secret)
        assert 'auth_needs = "verified"' in failure.reason
        assert peer.verbs.count("AUTH") == 2


@pytest.mark.parametrize("level", [TlsLevel.NONE, TlsLevel.OPPORTUNISTIC, TlsLevel.REQUIRED])
async def test_mismatch(tmp_path: Path, level: TlsLevel) -> None:
    async with world(tmp_path, dane=True) as made:
        # A certificate of a trusted authority does not help.
        trusted = made.authority.issue(HOST)
        async with Peer(tls=trusted.server(tmp_path)).listening() as peer:
            made.sign(peer, Authority.root("another").tlsa(3, 1, 1))
            failure = await made.fails(peer, level=level)
            assert (failure.stage, failure.reason) == (Stage.TLS, "DANE: no TLSA record matches the certificate")
            assert peer.verbs == ["EHLO", "STARTTLS"]
            assert peer.connections == 1
        assert made.counted() == [("tlsa", "certificate-not-trusted", 1)]


async def test_starttls_stripped(tmp_path: Path) -> None:
    async with world(tmp_path, dane=True) as made, Peer(extensions=EXTENSIONS).listening() as peer:
        made.sign(peer, Authority.root().tlsa(3, 1, 1))
        failure = await made.fails(peer)
        assert failure.stage is Stage.STARTTLS
        assert made.counted() == [("tlsa", "starttls-not-supported", 1)]


@pytest.mark.parametrize("insecure", ["mx", "address", "tlsa"])
async def test_without_dnssec_it_is_ignored(tmp_path: Path, insecure: str) -> None:
    certificate = Authority.root("private").issue(HOST)
    async with world(tmp_path, dane=True) as made, Peer(tls=certificate.server(tmp_path)).listening() as peer:
        made.sign(peer, Authority.root("another").tlsa(3, 1, 1))
        tlsa = f"_{peer.port}._tcp.{HOST}"
        made.dns.secure.remove({"mx": DOMAIN, "address": HOST, "tlsa": tlsa}[insecure])
        await made.delivers(peer)
        assert made.counted() == [("no-policy-found", "", 1)]
        # No TLSA query is sent to the name server of an unsigned zone, which may fail on it.
        assert ((tlsa, "TLSA") in made.dns.asked) == (insecure == "tlsa")


async def test_a_host_without_records(tmp_path: Path) -> None:
    async with world(tmp_path, dane=True) as made, Peer().listening() as peer:
        made.sign(peer)
        assert await made.of_domain() == DomainTls(mx_security=MxSecurity.SECURE)
        await made.delivers(peer)
        del made.dns.zone[(f"_{peer.port}._tcp.{HOST}", "TLSA")]
        made.later(61)
        await made.delivers(peer)
        assert made.counted() == [("no-policy-found", "starttls-not-supported", 2)]


@pytest.mark.parametrize("bogus", ["mx", "address", "tlsa"])
async def test_an_answer_that_cannot_be_validated_defers(tmp_path: Path, bogus: str) -> None:
    certificate = Authority.root("private").issue(HOST)
    async with world(tmp_path, dane=True) as made, Peer(tls=certificate.server(tmp_path)).listening() as peer:
        made.sign(peer, certificate.tlsa(3, 1, 1))
        name = {"mx": DOMAIN, "address": HOST, "tlsa": f"_{peer.port}._tcp.{HOST}"}[bogus]
        made.dns.rcodes[name] = RCODE.SERVFAIL
        failure = await made.fails(peer)
        assert failure.stage is Stage.TLS
        assert failure.reason.startswith("DANE: ")
        assert peer.connections == 0
        assert made.counted() == [("tlsa", "dnssec-invalid", 1)]
        # The query is repeated soon.
        del made.dns.rcodes[name]
        made.later(6)
        await made.delivers(peer)


async def test_no_answer_defers(tmp_path: Path) -> None:
    async with world(tmp_path, dane=True, mta_sts=False, dns_timeout_s=0.3) as made, Peer().listening() as peer:
        made.dns.silent = True
        failure = await made.fails(peer)
        assert failure.stage is Stage.TLS
        assert peer.connections == 0


@pytest.mark.parametrize("record", [(0, 0, 1), (1, 1, 1), (3, 7, 1)])
async def test_unusable_records_ask_for_any_tls(tmp_path: Path, record: tuple[int, int, int]) -> None:
    certificate = Authority.root("private").issue("other.test")
    async with world(tmp_path, dane=True) as made:
        async with Peer(tls=certificate.server(tmp_path)).listening() as peer:
            made.sign(peer)
            made.dns.zone[(f"_{peer.port}._tcp.{HOST}", "TLSA")] = [TLSA(*record, b"x" * 32)]
            assert (await made.delivers(peer)).tls_version == "TLSv1.3"
        async with Peer().listening() as peer:
            made.sign(peer)
            made.dns.zone[(f"_{peer.port}._tcp.{HOST}", "TLSA")] = [TLSA(*record, b"x" * 32)]
            assert (await made.fails(peer)).stage is Stage.STARTTLS
        assert made.counted() == [("tlsa", "tlsa-invalid", 1), ("tlsa", "starttls-not-supported", 1)]


def alias(made: World, peer: Peer, *, end: str, chain: str) -> None:
    """HOST is an alias of another.test, which is an alias of real.test. ``end``: the name with valid TLSA records; the
    others' are invalid. ``chain``: how far the aliases are secure."""
    names = [HOST, "another.test", "real.test"]
    made.dns.zone |= {(a, "CNAME"): [CNAME(b)] for a, b in pairwise(names)}
    made.dns.zone |= {("real.test", "A"): [A("127.0.0.1")]}
    del made.dns.zone[HOST, "A"]
    made.dns.secure -= {HOST}
    made.dns.secure |= set(names[: ["nothing", "the alias", "half", "all"].index(chain)])
    for name in (HOST, "real.test"):
        record = CERTIFICATE.tlsa(3, 1, 1)
        asked = f"_{peer.port}._tcp.{name}"
        made.dns.zone[asked, "TLSA"] = [TLSA(3, 1, 1, record.data if name == end else b"x" * 32)]
        made.dns.secure.add(asked)


@pytest.mark.parametrize(
    ("chain", "end", "asked"),
    [
        ("all", "real.test", ["real.test"]),
        # RFC 7672 §2.2.2: of a secure alias into an unsigned zone, the original name is valid.
        ("the alias", HOST, [HOST]),
        ("half", HOST, [HOST]),
    ],
)
async def test_an_alias(tmp_path: Path, chain: str, end: str, asked: list[str]) -> None:
    async with world(tmp_path, dane=True) as made, Peer(tls=CERTIFICATE.server(tmp_path)).listening() as peer:
        made.sign(peer)
        alias(made, peer, end=end, chain=chain)
        await made.delivers(peer)
        assert made.counted() == [("tlsa", "", 1)]
        questions = [name for name, kind in made.dns.asked if kind == "TLSA"]
        assert questions == [f"_{peer.port}._tcp.{name}" for name in asked]


@pytest.mark.parametrize("chain", ["the alias", "half"])
async def test_an_alias_into_an_unsigned_zone_is_no_downgrade(tmp_path: Path, chain: str) -> None:
    async with world(tmp_path, dane=True) as made, Peer(tls=CERTIFICATE.server(tmp_path)).listening() as peer:
        made.sign(peer)
        alias(made, peer, end="real.test", chain=chain)
        assert (await made.fails(peer)).reason == "DANE: no TLSA record matches the certificate"
        # The same holds where it is unknown whether the alias is secure.
        made.dns.rcodes[HOST] = RCODE.SERVFAIL
        made.later(61)
        failure = await made.fails(peer)
        assert (failure.stage, failure.reason.split(":")[:2]) == (Stage.TLS, ["DANE", f" CNAME of {HOST}"])
        assert peer.connections == 1


async def test_aliases_in_a_circle_defer(tmp_path: Path) -> None:
    async with world(tmp_path, dane=True) as made, Peer(tls=CERTIFICATE.server(tmp_path)).listening() as peer:
        made.sign(peer)
        alias(made, peer, end=HOST, chain="all")
        made.dns.zone["real.test", "CNAME"] = [CNAME(HOST)]
        failure = await made.fails(peer)
        assert (failure.stage, failure.reason[:5]) == (Stage.TLS, "DANE:")


@pytest.mark.parametrize("secure", [True, False])
async def test_records_behind_an_alias_of_their_own(tmp_path: Path, secure: bool) -> None:
    # RFC 7671 §6: many operators keep the records of all their hosts under one name.
    async with world(tmp_path, dane=True) as made, Peer(tls=CERTIFICATE.server(tmp_path)).listening() as peer:
        made.sign(peer, CERTIFICATE.tlsa(3, 1, 1))
        name = f"_{peer.port}._tcp.{HOST}"
        made.dns.zone["_dane.test", "TLSA"] = made.dns.zone.pop((name, "TLSA"))
        made.dns.zone[name, "CNAME"] = [CNAME("_dane.test")]
        made.dns.secure |= {"_dane.test"} if secure else set()
        await made.delivers(peer)
        assert made.counted() == [("tlsa" if secure else "no-policy-found", "", 1)]


async def test_an_alias_that_nothing_vouches_for(tmp_path: Path) -> None:
    async with world(tmp_path, dane=True) as made, Peer(tls=CERTIFICATE.server(tmp_path)).listening() as peer:
        made.sign(peer)
        alias(made, peer, end="real.test", chain="nothing")
        await made.delivers(peer)
        assert made.counted() == [("no-policy-found", "", 1)]
        assert not [name for name, kind in made.dns.asked if kind == "TLSA"]


async def test_the_name_that_was_given_where_the_aliases_end_has_no_records(tmp_path: Path) -> None:
    async with world(tmp_path, dane=True) as made, Peer(tls=CERTIFICATE.server(tmp_path)).listening() as peer:
        made.sign(peer)
        alias(made, peer, end=HOST, chain="all")
        del made.dns.zone[f"_{peer.port}._tcp.real.test", "TLSA"]
        await made.delivers(peer)
        assert made.counted() == [("tlsa", "", 1)]


@pytest.mark.parametrize("name", ["real.test", HOST, DOMAIN])
async def test_the_certificate_of_an_alias_and_the_name_that_the_host_is_asked_for(tmp_path: Path, name: str) -> None:
    # RFC 7672 §3.2.2, §8.1.
    root = Authority.root("private")
    names: list[str | None] = []
    server = root.issue(name).server(tmp_path)
    server.sni_callback = lambda _tls, asked, _context: names.append(asked)
    async with world(tmp_path, dane=True) as made, Peer(tls=server).listening() as peer:
        made.sign(peer)
        alias(made, peer, end=HOST, chain="all")
        made.dns.zone[f"_{peer.port}._tcp.real.test", "TLSA"] = [TLSA(2, 0, 1, root.tlsa(2, 0, 1).data)]
        await made.delivers(peer)
        assert names == ["real.test"]
        assert made.counted() == [("tlsa", "", 1)]
        (result,) = made.results.counts()
        assert result.mx_host == HOST


async def test_a_domain_that_is_an_alias(tmp_path: Path) -> None:
    # RFC 7672 §2.2.1: the MX records are as secure as the weakest alias; §3.2.2: either name is accepted.
    root = Authority.root("private")
    server = root.issue("real-domain.test").server(tmp_path)
    async with world(tmp_path, dane=True) as made, Peer(tls=server).listening() as peer:
        made.sign(peer, root.tlsa(2, 0, 1))
        made.dns.zone |= {(DOMAIN, "CNAME"): [CNAME("real-domain.test")], ("real-domain.test", "MX"): [MX(HOST, 10)]}
        await made.delivers(peer)
        made.later(61)
        made.dns.secure.add("real-domain.test")
        await made.delivers(peer)
        assert made.counted() == [("no-policy-found", "", 1), ("tlsa", "", 1)]


async def test_a_domain_that_is_a_secure_alias_and_has_no_mx(tmp_path: Path) -> None:
    async with world(tmp_path, dane=True) as made, Peer(tls=CERTIFICATE.server(tmp_path)).listening() as peer:
        made.sign(peer)
        made.dns.zone = {
            (DOMAIN, "CNAME"): [CNAME("unsigned.test")],
            ("unsigned.test", "A"): [A("127.0.0.1")],
            (f"_{peer.port}._tcp.{DOMAIN}", "TLSA"): [TLSA(3, 1, 1, b"x" * 32)],
        }
        made.dns.secure = {DOMAIN, f"_{peer.port}._tcp.{DOMAIN}"}
        assert (await made.fails(peer, host=DOMAIN)).reason == "DANE: no TLSA record matches the certificate"


async def test_dane_goes_before_mta_sts(tmp_path: Path) -> None:
    async with world(tmp_path, dane=True) as made:
        made.announce()
        made.https.answer = http(policy(mx="elsewhere.test"))
        private, trusted = Authority.root("private").issue(HOST), made.authority.issue(HOST)
        async with Peer(tls=private.server(tmp_path)).listening() as peer:
            made.sign(peer, private.tlsa(3, 1, 1))
            await made.delivers(peer)
        # RFC 8461 §2: MTA-STS does not override a failure of DANE.
        made.later(3601)
        made.https.answer = http(policy())
        async with Peer(tls=trusted.server(tmp_path)).listening() as peer:
            made.sign(peer, private.tlsa(3, 1, 1))
            await made.fails(peer)
        assert made.counted() == [("tlsa", "", 1), ("tlsa", "certificate-not-trusted", 1)]


async def test_dane_does_not_weaken_what_the_operator_asks_for(tmp_path: Path) -> None:
    async with world(tmp_path, dane=True) as made:
        private, trusted = Authority.root("private").issue(HOST), made.authority.issue(HOST)
        async with Peer(tls=private.server(tmp_path)).listening() as peer:
            made.sign(peer, private.tlsa(3, 1, 1))
            failure = await made.fails(peer, level=TlsLevel.VERIFIED)
            assert failure.reason.startswith("certificate: ")
        async with Peer(tls=trusted.server(tmp_path)).listening() as peer:
            made.sign(peer, trusted.tlsa(3, 1, 1))
            await made.delivers(peer, level=TlsLevel.VERIFIED)


async def test_new_records_end_what_was_proved_before(tmp_path: Path) -> None:
    certificate = Authority.root("private").issue(HOST)
    async with world(tmp_path, dane=True) as made, Peer(tls=certificate.server(tmp_path)).listening() as peer:
        made.sign(peer, certificate.tlsa(3, 1, 1))
        assert not (await made.delivers(peer)).tls_resumed
        assert (await made.delivers(peer)).tls_resumed
        made.sign(peer, Authority.root("next").tlsa(3, 1, 1))
        made.later(61)
        assert (await made.fails(peer)).stage is Stage.TLS


async def test_many_ask_at_once_and_one_question_is_asked(tmp_path: Path) -> None:
    certificate = Authority.root("private").issue(HOST)
    peer = Peer(tls=certificate.server(tmp_path))
    async with world(tmp_path, dane=True, mta_sts=False) as made, peer.listening():
        made.sign(peer, certificate.tlsa(3, 1, 1))
        domain_tls = await made.of_domain()
        await asyncio.gather(*(made.delivers(peer, domain_tls) for _ in range(5)))
        assert sorted(kind for _, kind in made.dns.asked) == ["A", "MX", "TLSA"]


async def test_switched_off(tmp_path: Path) -> None:
    certificate = Authority.root("private").issue(HOST)
    async with world(tmp_path) as made, Peer(tls=certificate.server(tmp_path)).listening() as peer:
        made.sign(peer, Authority.root("another").tlsa(3, 1, 1))
        await made.delivers(peer)
        assert made.counted() == [("no-policy-found", "", 1)]
