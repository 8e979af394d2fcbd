"""New keys for a domain: they wait, they sign, and the former ones stay published for some days."""

import asyncio
from datetime import timedelta

from dnslib import RCODE

from cluster.tenancy.domains.domain import KeyState, SenderDomain
from cluster.tenancy.domains.findings import Kind, Status
from cluster.tenancy.domains.records import records, removable
from cluster.tenancy.domains.verifying import LOOKS_OF_A_TENANT
from tests.domains import a_domain
from tests.integration.domains.conftest import Domains, text
from tests.integration.journal.builders import a_tenant

ACTIVE, PENDING, RETIRED = KeyState.ACTIVE, KeyState.PENDING, KeyState.RETIRED


def states(domain: SenderDomain) -> dict[str, KeyState]:
    return {key.selector: key.state for key in domain.keys}


async def signing(domains: Domains, domain: SenderDomain) -> list[tuple[str, str]]:
    """The algorithm and the selector of each key that signs; all of them are published."""
    found = await domains.journal.sender_domains.signing(domain.tenant_id, domain.domain)
    assert found is not None
    for key in found.keys:
        assert domains.dns.zone.get((f"{key.selector}._domainkey.{domain.domain}", "TXT")), key.selector
    return [(key.algorithm, key.selector) for key in found.keys]


async def test_a_rotation(domains: Domains) -> None:
    domain = await domains.add()
    domains.publish(domain)
    domain = await domains.verify(domain)
    before = [("rsa", "postray"), ("ed25519", "postray2")]
    assert await signing(domains, domain) == before

    domains.now += timedelta(days=30)
    domain = await domains.manager.rotate(domain)
    assert states(domain) == {"postray": ACTIVE, "postray2": ACTIVE, "postray3": PENDING, "postray4": PENDING}
    assert domain.is_rotating and await signing(domains, domain) == before
    again = await domains.manager.rotate(domain)
    assert again.keys == domain.keys, "a rotation that waits is not begun again"

    # Nothing is published yet: nothing changes, and nothing is wrong.
    domain = await domains.verify(domain)
    assert domain.wrong_since is None and await signing(domains, domain) == before

    # One record is there, and the other cannot be looked up.
    domains.publish(domain, "postray4")
    domains.dns.rcodes["postray4._domainkey.acme.example"] = RCODE.SERVFAIL
    domains.now += timedelta(hours=1)
    assert await domains.pass_(timedelta(hours=1)) == 1
    domain = await domains.stored(domain)
    assert states(domain) == {"postray": RETIRED, "postray2": ACTIVE, "postray3": ACTIVE, "postray4": PENDING}
    assert await signing(domains, domain) == [("rsa", "postray3"), ("ed25519", "postray2")]

    del domains.dns.rcodes["postray4._domainkey.acme.example"]
    domains.publish(domain)
    retired_at = {"postray": domains.now}
    while not await domains.pass_(timedelta(minutes=10)):
        pass
    retired_at["postray2"] = domains.now
    domain = await domains.stored(domain)
    assert states(domain) == {"postray": RETIRED, "postray2": RETIRED, "postray3": ACTIVE, "postray4": ACTIVE}
    assert not domain.is_rotating

    # The records of the former keys are to be kept for 7 days, and may then be removed.
    def shown() -> set[str]:
        return {record.key.selector for record in records(domain, domains.publishing, domains.now) if record.key}

    domains.now = retired_at["postray"] + timedelta(days=7, seconds=-1)
    assert shown() == {"postray", "postray2", "postray3", "postray4"} and removable(domain, domains.now) == []
    domains.now = retired_at["postray2"] + timedelta(days=7)
    assert shown() == {"postray3", "postray4"}
    assert removable(domain, domains.now) == ["postray._domainkey.acme.example", "postray2._domainkey.acme.example"]

    # The next rotation uses no selector again.
    domain = await domains.manager.rotate(domain)
    assert [key.selector for key in domain.keys][-2:] == ["postray5", "postray6"]


async def test_a_wrong_record_of_a_new_key_stops_nothing(domains: Domains) -> None:
    domain = await domains.add()
    domains.publish(domain)
    domain = await domains.manager.rotate(await domains.verify(domain))
    domains.dns.zone["postray3._domainkey.acme.example", "TXT"] = [text("v=DKIM1; k=rsa; p=AAAA")]
    domain = await domains.verify(domain)
    assert domains.finding(domain, Kind.DKIM, "postray3").status is Status.WRONG
    assert domain.wrong_since is None and await signing(domains, domain) == [
        ("rsa", "postray"),
        ("ed25519", "postray2"),
    ]


async def test_a_domain_of_an_older_version_gets_both_keys(domains: Domains) -> None:
    id = await a_domain(domains.journal, domains.tenant_id, "old.example", selector="postray")
    domain = await domains.journal.sender_domains.find(id, None)
    assert domain is not None and domain.return_path == "old.example"
    assert await domains.pass_(timedelta(days=30)) == 0, "it is looked at on demand only"
    domain = await domains.manager.rotate(domain)
    assert states(domain) == {"postray": ACTIVE, "postray2": PENDING, "postray3": PENDING}
    domains.publish(domain, "postray")
    domains.now += timedelta(minutes=1)
    assert await domains.verifier.round() == 1
    domain = await domains.stored(domain)
    assert states(domain) == {"postray": RETIRED, "postray2": ACTIVE, "postray3": ACTIVE}
    assert await signing(domains, domain) == [("rsa", "postray2"), ("ed25519", "postray3")]


async def test_a_rotation_during_a_look_is_looked_at_soon(domains: Domains) -> None:
    domain = await domains.add()
    domains.publish(domain)
    domain = await domains.verify(domain)
    domains.now += timedelta(days=1)
    domains.dns.hold = True
    looking = asyncio.create_task(domains.verifier.round())
    while not domains.dns.held:
        await asyncio.sleep(0.001)
    domain = await domains.manager.rotate(domain)
    domains.dns.hold = False
    domains.dns.release()
    assert await looking == 1
    assert await domains.pass_(timedelta(minutes=2)) == 1


async def test_a_tenant_whose_name_servers_do_not_answer_leaves_room(domains: Domains) -> None:
    dead = [await domains.add(f"dead{number}.example") for number in range(LOOKS_OF_A_TENANT + 2)]
    other = await domains.add("other.example", await a_tenant(domains.journal, "other"))
    domains.publish(other)
    domains.dns.mute |= {f"{selector}._domainkey.{one.domain}" for one in dead for selector in ("postray", "postray2")}
    looking = [asyncio.create_task(domains.verify(one)) for one in dead]
    assert (await domains.verify(other)).verified_at is not None
    assert not any(task.done() for task in looking)
    domains.dns.mute.clear()
    domains.dns.release()
    await asyncio.gather(*looking)
