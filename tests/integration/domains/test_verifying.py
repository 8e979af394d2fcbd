"""What a look at a domain's records finds, and what follows from it."""

from collections.abc import Callable
from datetime import timedelta
from itertools import pairwise

import pytest
from dnslib import AAAA, CNAME, MX, RCODE, A
from msgspec.structs import replace

from cluster.tenancy.domains.domain import DomainState, KeyState, SenderDomain
from cluster.tenancy.domains.findings import Kind, Status
from cluster.tenancy.domains.records import zone_lines
from tests.integration.domains.conftest import Domains, text
from tests.integration.journal.test_sender_domains import execute

RSA, ED25519 = "postray", "postray2"


async def verified(domains: Domains) -> SenderDomain:
    domain = await domains.add()
    domains.publish(domain)
    domain = await domains.verify(domain)
    assert domain.verified_at == domains.now
    return domain


async def test_a_domain_whose_records_are_published_is_verified_and_its_keys_sign(domains: Domains) -> None:
    domain = await domains.add()
    assert [(key.algorithm, key.selector, key.state) for key in domain.keys] == [
        ("rsa", RSA, KeyState.PENDING),
        ("ed25519", ED25519, KeyState.PENDING),
    ]
    signing = await domains.journal.sender_domains.signing(domains.tenant_id, domain.domain)
    assert signing is None
    domains.publish(domain)
    domain = await domains.verify(domain)
    assert domain.verified_at == domain.checked_at == domains.now
    assert {finding.status for finding in domain.findings} == {Status.VALID}
    signing = await domains.journal.sender_domains.signing(domains.tenant_id, domain.domain)
    assert signing is not None and signing.return_path == "bounces.acme.example"
    assert [(key.algorithm, key.selector) for key in signing.keys] == [("rsa", RSA), ("ed25519", ED25519)]
    tenant = await domains.journal.tenants.find(domains.tenant_id)
    assert tenant is not None and tenant.sender_domain("acme.example") == "acme.example"


async def test_nothing_is_published(domains: Domains) -> None:
    domain = await domains.verify(await domains.add())
    assert domain.verified_at is None and domain.state(domains.now) is DomainState.PENDING
    assert {finding.status for finding in domain.findings} == {Status.MISSING}
    assert [key.state for key in domain.keys] == [KeyState.PENDING] * 2


async def test_a_key_signs_once_its_own_record_is_there(domains: Domains) -> None:
    domain = await domains.add()
    domains.publish(domain, ED25519, Kind.DMARC)
    domain = await domains.verify(domain)
    assert domain.verified_at is not None
    assert [key.state for key in domain.keys] == [KeyState.ACTIVE, KeyState.PENDING]
    domains.publish(domain)
    domain = await domains.verify(domain)
    assert [key.state for key in domain.keys] == [KeyState.ACTIVE, KeyState.ACTIVE]


async def test_what_mail_needs_is_needed(domains: Domains) -> None:
    domain = await domains.add()
    for missing in (RSA, Kind.MX, Kind.SPF):
        domains.dns.zone.clear()
        domains.publish(domain, missing)
        assert (await domains.verify(domain)).verified_at is None, missing


WRONG_KEYS: dict[str, Callable[[str], str]] = {
    "another key": lambda data: data.replace("p=", "p=AAAA"),
    "not base64": lambda data: data[:-7],
    "revoked": lambda data: data.partition("p=")[0] + "p=",
    "tested": lambda data: data.replace("v=DKIM1; ", "v=DKIM1; t=y; "),
    "the key is rsa": lambda data: data.replace("k=rsa", "k=ed25519"),
    "must be DKIM1": lambda data: data.replace("v=DKIM1", "v=DKIM2"),
    "does not allow mail": lambda data: data.replace("k=rsa", "k=rsa; s=tlsrpt"),
    "sha256": lambda data: data.replace("k=rsa", "k=rsa; h=sha1"),
    "not a list of tag=value": lambda data: "\x1b[31m\0\u00ff" * 900,
}


async def test_a_wrong_key_record(domains: Domains) -> None:
    domain = await domains.add()
    domains.publish(domain)
    record = domains.of(domain, Kind.DKIM, RSA)
    for reason, change in WRONG_KEYS.items():
        domains.dns.zone[record.host, "TXT"] = [text(change(record.data))]
        domain = await domains.verify(domain)
        finding = domains.finding(domain, Kind.DKIM, RSA)
        assert finding.status is Status.WRONG and reason in finding.reason, finding
        assert finding.expected == record.data and len(finding.found[0]) <= 601
        assert domain.verified_at is None and domain.keys[0].state is KeyState.PENDING


async def test_a_published_key_is_proved_by_a_message(domains: Domains, journal_dsn: str) -> None:
    """The record is as expected, and the private key in the journal is another."""
    domain, other = await domains.add(), await domains.add("other.example")
    domains.publish(domain)
    await execute(
        journal_dsn,
        f"""UPDATE dkim_keys k SET sealed_private_key = o.sealed_private_key FROM dkim_keys o
        WHERE k.domain_id = {domain.id} AND o.domain_id = {other.id} AND k.algorithm = o.algorithm""",
    )
    domain = await domains.verify(domain)
    for selector in (RSA, ED25519):
        finding = domains.finding(domain, Kind.DKIM, selector)
        assert finding.status is Status.WRONG and "does not verify" in finding.reason


async def test_several_texts_at_a_key(domains: Domains) -> None:
    domain = await domains.add()
    domains.publish(domain)
    domains.dns.zone[domains.of(domain, Kind.DKIM, RSA).host, "TXT"].append(text("hello"))
    domain = await domains.verify(domain)
    assert "2 TXT records" in domains.finding(domain, Kind.DKIM, RSA).reason


async def test_aliases_are_followed_and_loops_end(domains: Domains) -> None:
    domain = await domains.add()
    domains.publish(domain)
    host = domains.of(domain, Kind.DKIM, RSA).host
    published = domains.dns.zone.pop((host, "TXT"))
    chain = [host, *(f"a{number}.host.example" for number in range(4))]
    for alias, target in pairwise(chain):
        domains.dns.zone[alias, "CNAME"] = [CNAME(target)]
    domains.dns.zone[chain[-1], "TXT"] = published
    domain = await domains.verify(domain)
    assert domain.verified_at is not None
    domains.dns.zone[chain[-1], "CNAME"] = [CNAME(host)]
    del domains.dns.zone[chain[-1], "TXT"]
    domain = await domains.verify(domain)
    assert domains.finding(domain, Kind.DKIM, RSA).status is Status.MISSING


async def test_a_server_that_does_not_follow_aliases_itself(domains: Domains) -> None:
    domain = await domains.add()
    domains.publish(domain)
    domains.dns.follows = False
    host = domains.of(domain, Kind.DKIM, RSA).host
    published = domains.dns.zone.pop((host, "TXT"))
    domains.dns.zone[host, "CNAME"] = [CNAME("a1.host.example")]
    domains.dns.zone["a1.host.example", "CNAME"] = [CNAME("a2.host.example")]
    domains.dns.zone["a2.host.example", "TXT"] = published
    assert (await domains.verify(domain)).verified_at is not None
    domains.dns.zone["a2.host.example", "CNAME"] = [CNAME("a1.host.example")]
    del domains.dns.zone["a2.host.example", "TXT"]
    domain = await domains.verify(domain)
    assert domains.finding(domain, Kind.DKIM, RSA).status is Status.MISSING


@pytest.mark.parametrize("kind", [Kind.DKIM, Kind.MX, Kind.SPF])
async def test_a_wildcard_is_no_proof(domains: Domains, kind: Kind) -> None:
    domain = await domains.add()
    domains.publish(domain)
    record = domains.of(domain, kind, RSA)
    domains.dns.zone[f"*.{record.host.partition('.')[2]}", record.type] = domains.dns.zone.pop(
        (record.host, record.type)
    )
    if kind is Kind.SPF:  # a name with any record has no wildcard's
        del domains.dns.zone[record.host, "MX"]
        domains.dns.zone[f"*.{domain.domain}", "MX"] = [MX("mx.postray.example", 10)]
    elif kind is Kind.MX:
        del domains.dns.zone[record.host, "TXT"]
    domain = await domains.verify(domain)
    finding = domains.finding(domain, kind, RSA)
    assert finding.status is Status.WILDCARD and "every name below" in finding.reason
    assert domain.verified_at is None


async def test_a_record_beside_a_wildcard_counts(domains: Domains) -> None:
    domain = await domains.add()
    domains.publish(domain)
    domains.dns.zone["*.acme.example", "TXT"] = [text("v=spf1 -all")]
    domains.dns.zone["*.acme.example", "MX"] = [MX("mail.acme.example", 10)]
    assert (await domains.verify(domain)).verified_at is not None


@pytest.mark.parametrize(
    ("failure", "domains"), [("SERVFAIL", 60.0), ("REFUSED", 60.0), ("silence", 0.5)], indirect=["domains"]
)
async def test_what_could_not_be_looked_up_changes_nothing(domains: Domains, failure: str) -> None:
    waiting = await domains.add("waiting.example")
    domain = await verified(domains)
    for one in (waiting, domain):
        domains.publish(one)
        for record in (domains.of(one, Kind.DKIM, RSA), domains.of(one, Kind.SPF)):
            if failure == "silence":
                domains.dns.mute.add(record.host)
            else:
                domains.dns.rcodes[record.host] = getattr(RCODE, failure)
    domain = await domains.verify(domain)
    for kind in (Kind.DKIM, Kind.SPF):
        finding = domains.finding(domain, kind, RSA)
        assert finding.status is Status.NOT_LOOKED_UP and "could not be looked up" in finding.reason
    assert domain.verified_at is not None and domain.wrong_since is None
    assert all(key.state is KeyState.ACTIVE for key in domain.keys)
    waiting = await domains.verify(waiting)
    assert waiting.verified_at is None and waiting.keys[0].state is KeyState.PENDING


async def test_the_return_path_has_one_host(domains: Domains) -> None:
    domain = await domains.add()
    domains.publish(domain)
    host = domain.return_path
    for hosts, reason in (
        ([MX("mail.acme.example", 10)], "another host"),
        ([MX("mx.postray.example", 10), MX("mail.acme.example", 20)], "other hosts"),
        ([MX("MX.postray.example", 5)], ""),
    ):
        domains.dns.zone[host, "MX"] = hosts
        domain = await domains.verify(domain)
        assert reason in domains.finding(domain, Kind.MX).reason
        assert (domain.verified_at is not None) is (not reason)


async def test_a_host_of_bounces_without_an_address_is_told_beside_the_valid_record(domains: Domains) -> None:
    domain = await domains.add()
    domains.publish(domain)
    host = domains.publishing.bounce_host
    told = f"{host} has no A or AAAA record, so no bounce arrives: the operator of postray publishes one"
    for zone, reason in (
        ({}, told),
        ({"AAAA": [AAAA("2001:db8::25")]}, ""),
        ({"A": [A("192.0.2.25")]}, ""),
    ):
        domains.dns.zone.pop((host, "A"), None)
        domains.dns.zone.pop((host, "AAAA"), None)
        domains.dns.zone.update({(host, record_type): data for record_type, data in zone.items()})
        domain = await domains.verify(domain)
        finding = domains.finding(domain, Kind.MX)
        assert (finding.status, finding.reason) == (Status.VALID, reason)
        assert domain.verified_at is not None and domain.wrong_since is None


SPF: list[tuple[list[str], str]] = [
    (["v=spf1 -all"], "gets fail"),
    (["v=spf1 ip4:198.51.100.1 ~all"], "gets softfail"),
    (["v=spf1 ip4:192.0.2.1 -all", "v=spf1 -all"], "2 SPF records"),
    (["v=spf1 include:nothing.example -all"], "has no SPF record"),
    (["v=spf1 include:loop.host.example -all"], "more than 10 look-ups"),
    (["v=spf1 include:nothing.example ip4:192.0.2.1 -all"], "has no SPF record"),
    (["v=spf1 " + "include:neutral.host.example " * 11 + "ip4:192.0.2.1 -all"], "more than 10 look-ups"),
    (["v=spf1 -ip4:192.0.2.1 ip4:192.0.2.1 -all"], "gets fail"),
    (["v=spf1 ipv4:192.0.2.1 -all"], "no mechanism of SPF"),
    (["unrelated"], "none of the TXT records"),
    (["v=spf1 ip4:192.0.2.0/24 -all"], ""),
    (["v=spf1 include:_spf.host.example -all", "unrelated"], ""),
    (["v=spf1 redirect=_spf.host.example"], ""),
    (["v=spf1 a:out.host.example -all"], ""),
    (["v=spf1 ip4:192.0.2.1 include:nothing.example -all"], ""),
]


async def test_the_spf_record_of_the_return_path(domains: Domains) -> None:
    domain = await domains.add()
    domains.publish(domain)
    zone = domains.dns.zone
    zone["_spf.host.example", "TXT"] = [text("v=spf1 ip4:192.0.2.1 -all")]
    zone["loop.host.example", "TXT"] = [text("v=spf1 include:loop.host.example -all")]
    zone["neutral.host.example", "TXT"] = [text("v=spf1 ?all")]
    zone["out.host.example", "A"] = [A("192.0.2.1")]
    for record, reason in SPF:
        zone[domain.return_path, "TXT"] = [text(one) for one in record]
        domain = await domains.verify(domain)
        finding = domains.finding(domain, Kind.SPF)
        assert reason in finding.reason and (finding.status is Status.VALID) is (not reason), finding
        assert (domain.verified_at is not None) is (not reason)


async def test_the_spf_record_passes_a_host_whose_addresses_are_looked_up(domains: Domains) -> None:
    domains.publishing = replace(domains.publishing, spf_terms=("a:out.host.example",), addresses=())
    domain = await domains.add()
    domains.publish(domain)
    zone = domains.dns.zone
    zone["_spf.host.example", "TXT"] = [text("v=spf1 ip4:192.0.2.0/24 -all")]
    zone[domain.return_path, "TXT"] = [text("v=spf1 include:_spf.host.example -all")]
    for addresses, reason in (
        ([], "does not pass the host"),
        ([A("198.51.100.1")], "mail from 198.51.100.1 gets fail"),
        ([A("192.0.2.1")], ""),
    ):
        zone["out.host.example", "A"] = addresses
        finding = domains.finding(await domains.verify(domain), Kind.SPF)
        assert reason in finding.reason and (finding.status is Status.VALID) is (not reason), finding


async def test_a_host_within_spf_that_cannot_be_looked_up(domains: Domains) -> None:
    domain = await domains.add()
    domains.publish(domain)
    domains.dns.zone[domain.return_path, "TXT"] = [text("v=spf1 include:_spf.host.example -all")]
    domains.dns.rcodes["_spf.host.example"] = RCODE.SERVFAIL
    finding = domains.finding(await domains.verify(domain), Kind.SPF)
    assert finding.status is Status.NOT_LOOKED_UP and "_spf.host.example" in finding.reason


async def test_dmarc_of_the_domain_that_was_registered_applies(domains: Domains) -> None:
    domain = await domains.add("news.acme.co.uk")
    domains.publish(domain, Kind.DMARC)
    assert domains.finding(await domains.verify(domain), Kind.DMARC).status is Status.MISSING
    domains.dns.zone["_dmarc.acme.co.uk", "TXT"] = [text("v=DMARC1; p=reject")]
    domain = await domains.verify(domain)
    assert domains.finding(domain, Kind.DMARC).status is Status.VALID and domain.verified_at is not None
    domains.dns.zone["_dmarc.news.acme.co.uk", "TXT"] = [text("v=DMARC1; p=never")]
    assert "p= must be" in domains.finding(await domains.verify(domain), Kind.DMARC).reason


async def test_records_by_alias(domains: Domains) -> None:
    domains.publishing = replace(domains.publishing, cname_target="dns.postray.example")
    domain = await domains.add(uses_cnames=True)
    record = domains.of(domain, Kind.DKIM, RSA)
    assert (record.type, record.data) == ("CNAME", f"postray.d{domain.id}.dns.postray.example.")
    assert zone_lines(record.targets)[0].startswith(f'postray.d{domain.id}.dns.postray.example. IN TXT "v=DKIM1')
    domains.publish(domain)
    assert (domains.dns.zone[domain.return_path, "CNAME"][0].label) == "bounces.dns.postray.example."
    assert (await domains.verify(domain)).verified_at is not None


async def test_a_look_asks_the_dns_now(domains: Domains) -> None:
    domains.dns.ttl = 3600
    domain = await verified(domains)
    domains.dns.zone[domain.return_path, "MX"] = [MX("mail.acme.example", 10)]
    domain = await domains.verify(domain)
    assert domains.finding(domain, Kind.MX).status is Status.WRONG


async def test_a_verified_domain_is_looked_at_daily_and_never_unverified(domains: Domains) -> None:
    domain = await verified(domains)
    assert await domains.pass_(timedelta(hours=23)) == 0
    assert await domains.pass_(timedelta(hours=1)) == 1
    domains.dns.zone.clear()
    assert await domains.pass_(timedelta(days=1)) == 1
    since = domains.now
    for hours in (0, 24, 48):
        domain = await domains.stored(domain)
        assert domain.wrong_since == since and domain.state(domains.now) is DomainState.VERIFIED, hours
        await domains.pass_(timedelta(days=1))
    domain = await domains.stored(domain)
    assert domain.state(domains.now) is DomainState.WRONG
    assert domain.verified_at is not None and [key.state for key in domain.keys] == [KeyState.ACTIVE] * 2
    assert [one.id for one in await domains.journal.sender_domains.wrong(domains.now - timedelta(hours=72), 10)] == [
        domain.id
    ]
    domains.publish(domain)
    await domains.pass_(timedelta(days=1))
    domain = await domains.stored(domain)
    assert domain.wrong_since is None and domain.state(domains.now) is DomainState.VERIFIED


async def test_a_waiting_domain_is_looked_at_at_growing_intervals(domains: Domains) -> None:
    domain = await domains.add()
    looks = []
    for minute in range(60):
        domains.now += timedelta(minutes=1)
        if await domains.verifier.round():
            looks.append(minute + 1)
    assert looks == [1, 2, 3, 5, 8, 12, 18, 27, 41]
    domains.publish(domain)
    while not await domains.pass_(timedelta(minutes=1)):
        pass
    assert (await domains.stored(domain)).verified_at is not None


async def test_one_process_takes_a_look(domains: Domains) -> None:
    await domains.add()
    take = domains.journal.sender_domains.to_look_at
    now = domains.now + timedelta(minutes=1)
    assert len(await take(now, now + timedelta(minutes=10), 10)) == 1
    assert await take(now, now + timedelta(minutes=10), 10) == []
    # It died before it stored what it found.
    later = now + timedelta(minutes=10)
    assert len(await take(later, later, 10)) == 1


async def test_a_domain_that_is_removed_while_it_is_looked_at(domains: Domains) -> None:
    domain = await domains.add()
    domains.publish(domain)
    assert await domains.journal.sender_domains.remove(domain.id, domains.tenant_id)
    await domains.verifier.verify(domain.id)
    assert await domains.journal.sender_domains.find(domain.id, None) is None


async def test_a_sealed_key_of_another_secret_harms_no_other_domain(domains: Domains, journal_dsn: str) -> None:
    broken, sound = await domains.add("broken.example"), await domains.add()
    await execute(journal_dsn, f"UPDATE dkim_keys SET sealed_private_key = 'x' WHERE domain_id = {broken.id}")
    domains.publish(broken)
    domains.publish(sound)
    assert await domains.pass_(timedelta(minutes=1)) == 2
    assert (await domains.stored(sound)).verified_at is not None
    finding = domains.finding(await domains.stored(broken), Kind.DKIM, RSA)
    assert finding.status is Status.NOT_LOOKED_UP and "could not be proved" in finding.reason
