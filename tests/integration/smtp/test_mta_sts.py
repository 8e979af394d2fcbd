"""MTA-STS (RFC 8461): policies over real HTTPS from a loopback server, applied to a host with real certificates."""

import asyncio
import ssl
from pathlib import Path

import pytest
from dnslib import TXT

from cluster.policy.replies.stage import Stage
from cluster.policy.routes import mx
from cluster.policy.tls.level import TlsLevel
from cluster.policy.tls.mta_sts import StsMode
from cluster.policy.tls.policy import DomainTls
from tests.certificates import Authority
from tests.integration.smtp.conftest import HOST
from tests.integration.smtp.peer import EXTENSIONS, Peer
from tests.integration.smtp.tls_world import DOMAIN, World, http, policy, world

NO_POLICY = DomainTls(TlsLevel.OPPORTUNISTIC)
ENFORCED = DomainTls(TlsLevel.OPPORTUNISTIC, StsMode.ENFORCE, (HOST,))


def good(made: World) -> ssl.SSLContext:
    return made.authority.issue(HOST).server(made.folder)


def bad(made: World) -> ssl.SSLContext:
    return Authority.root("another").issue(HOST).server(made.folder)


async def test_a_domain_without_a_policy(tmp_path: Path) -> None:
    async with world(tmp_path) as made:
        assert await made.of_domain() == NO_POLICY
        assert await made.of_domain() == NO_POLICY
        assert made.dns.asked == [(f"_mta-sts.{DOMAIN}", "TXT")]
        assert made.https.requests == []


async def test_enforce_delivers_to_a_good_certificate(tmp_path: Path) -> None:
    async with world(tmp_path) as made:
        made.announce()
        assert await made.of_domain() == ENFORCED
        async with Peer(tls=good(made)).listening() as peer:
            connection = await made.delivers(peer)
        assert connection.tls_version == "TLSv1.3"
        assert made.counted() == [("sts", "", 1)]
        (result,) = made.results.counts()
        assert result.policy == f"version: STSv1\nmode: enforce\nmx: {HOST}\nmax_age: 86400"
        assert (result.mx_host, result.sending_ip, result.receiving_ip) == (HOST, "127.0.0.1", "127.0.0.1")
        request = made.https.requests[0]
        assert request.startswith(b"GET /.well-known/mta-sts.txt HTTP/1.1\r\n")
        assert f"host: mta-sts.{DOMAIN}\r\n".encode() in request.lower()


@pytest.mark.parametrize("level", TlsLevel)
async def test_enforce_refuses_a_bad_certificate(tmp_path: Path, level: TlsLevel) -> None:
    async with world(tmp_path) as made:
        made.announce()
        async with Peer(tls=bad(made)).listening() as peer:
            failure = await made.fails(peer, level=level)
            assert peer.connections == 1
        assert failure.stage is Stage.TLS
        assert "certificate: " in failure.reason
        assert made.counted() == [("sts", "certificate-not-trusted", 1)]


async def test_enforce_refuses_the_wrong_name_and_an_expired_certificate(tmp_path: Path) -> None:
    async with world(tmp_path) as made:
        made.announce()
        for certificate in (made.authority.issue("other.test"), made.authority.issue(HOST, expired=True)):
            async with Peer(tls=certificate.server(tmp_path)).listening() as peer:
                await made.fails(peer)
        assert made.counted() == [("sts", "certificate-host-mismatch", 1), ("sts", "certificate-expired", 1)]


async def test_enforce_refuses_a_host_that_is_not_in_the_policy(tmp_path: Path) -> None:
    async with world(tmp_path) as made:
        made.announce()
        made.https.answer = http(policy(mx="*.elsewhere.test"))
        async with Peer(tls=good(made)).listening() as peer:
            failure = await made.fails(peer)
            assert peer.connections == 0
        assert (failure.stage, failure.reason) == (Stage.TLS, f"MTA-STS: {HOST} is not in the policy")
        assert made.counted() == [("sts", "validation-failure", 1)]


async def test_enforce_refuses_a_host_without_starttls(tmp_path: Path) -> None:
    async with world(tmp_path) as made:
        made.announce()
        async with Peer(extensions=EXTENSIONS).listening() as peer:
            failure = await made.fails(peer)
        assert failure.stage is Stage.STARTTLS
        assert made.counted() == [("sts", "starttls-not-supported", 1)]


async def test_testing_delivers_and_counts(tmp_path: Path) -> None:
    async with world(tmp_path) as made:
        made.announce()
        made.https.answer = http(policy("testing"))
        async with Peer(tls=good(made)).listening() as peer:
            assert (await made.delivers(peer)).tls_version == "TLSv1.3"
            assert peer.connections == 1
        async with Peer(tls=bad(made)).listening() as peer:
            assert (await made.delivers(peer)).tls_version == "TLSv1.3"
            assert peer.connections == 2
            # Verification that failed is not tried again for some time, but it is counted as a failure.
            assert (await made.delivers(peer)).tls_version == "TLSv1.3"
            assert peer.connections == 3
        assert made.counted() == [("sts", "", 1), ("sts", "certificate-not-trusted", 2)]
        made.later(600)
        async with Peer().listening() as peer:
            assert (await made.delivers(peer)).tls_version == ""
        assert made.counted()[2] == ("sts", "starttls-not-supported", 1)


async def test_testing_delivers_to_a_host_that_is_not_in_the_policy(tmp_path: Path) -> None:
    async with world(tmp_path) as made:
        made.announce()
        made.https.answer = http(policy("testing", mx="elsewhere.test"))
        async with Peer(tls=bad(made)).listening() as peer:
            assert (await made.delivers(peer)).tls_version == "TLSv1.3"
        assert made.counted() == [("sts", "validation-failure", 1)]


async def test_testing_does_not_weaken_what_the_operator_asks_for(tmp_path: Path) -> None:
    async with world(tmp_path) as made:
        made.announce()
        made.https.answer = http(policy("testing"))
        async with Peer(tls=bad(made)).listening() as peer:
            await made.fails(peer, level=TlsLevel.VERIFIED)
        assert made.counted() == [("sts", "certificate-not-trusted", 1)]


async def test_testing_tries_nothing_where_the_operator_wants_no_tls(tmp_path: Path) -> None:
    async with world(tmp_path) as made:
        made.announce()
        made.https.answer = http(policy("testing"))
        async with Peer(tls=good(made)).listening() as peer:
            assert (await made.delivers(peer, level=TlsLevel.NONE)).tls_version == ""
        assert made.counted() == []


async def test_domains_without_a_policy_do_not_drive_out_those_with_one(tmp_path: Path) -> None:
    async with world(tmp_path, entries=3) as made:
        made.announce()
        await made.of_domain()
        for i in range(5):
            assert await made.policies.of_domain(f"{i}.test", TlsLevel.OPPORTUNISTIC) == NO_POLICY
        assert await made.of_domain() == ENFORCED
        assert len(made.https.requests) == 1


async def test_mode_none_is_no_policy_and_is_kept(tmp_path: Path) -> None:
    async with world(tmp_path) as made:
        made.announce()
        made.https.answer = http("version: STSv1\nmode: none\nmax_age: 86400\n")
        assert (await made.of_domain()).mode is StsMode.NONE
        async with Peer(tls=bad(made)).listening() as peer:
            await made.delivers(peer)
        assert made.counted() == [("no-policy-found", "", 1)]


async def test_a_policy_outlives_an_outage_of_its_server_and_of_its_record(tmp_path: Path) -> None:
    async with world(tmp_path, dns_timeout_s=0.5) as made:
        made.announce()
        made.https.answer = http(policy(max_age=86400))
        await made.of_domain()
        await made.https.stop()
        made.announce("2")
        made.later(301)
        assert await made.look_again() == ENFORCED
        del made.dns.zone[(f"_mta-sts.{DOMAIN}", "TXT")]
        made.later(301)
        assert await made.look_again() == ENFORCED
        made.dns.silent = True
        made.later(301)
        assert await made.look_again() == ENFORCED
        made.dns.silent = False
        # The policy expires after its max_age.
        made.later(86400)
        assert await made.of_domain() == NO_POLICY
        assert made.counted() == [("sts", "sts-policy-fetch-error", 1)]


async def test_a_new_id_fetches_the_policy_again(tmp_path: Path) -> None:
    async with world(tmp_path) as made:
        made.announce()
        await made.of_domain()
        made.https.answer = http(policy("testing"))
        made.later(301)
        assert (await made.look_again()).mode is StsMode.ENFORCE
        assert len(made.https.requests) == 1
        made.announce("2")
        made.later(301)
        assert (await made.look_again()).mode is StsMode.TESTING
        assert len(made.https.requests) == 2


async def test_a_kept_policy_is_refreshed_before_it_ends(tmp_path: Path) -> None:
    async with world(tmp_path) as made:
        made.announce()
        made.https.answer = http(policy(max_age=1000))
        await made.of_domain()
        made.later(600)
        await made.look_again()
        assert len(made.https.requests) == 2
        made.later(600)
        assert await made.of_domain() == ENFORCED


async def test_many_ask_at_once_and_one_fetches(tmp_path: Path) -> None:
    async with world(tmp_path) as made:
        made.announce()
        assert await asyncio.gather(*(made.of_domain() for _ in range(20))) == [ENFORCED] * 20
        assert len(made.https.requests) == 1


@pytest.mark.parametrize(
    ("answer", "result_type"),
    [
        (http(policy(), "302 Found", more="Location: https://127.0.0.1/\r\n"), "sts-policy-fetch-error"),
        (http(policy(), "404 Not Found"), "sts-policy-fetch-error"),
        (http(policy(), media_type="text/html"), "sts-policy-fetch-error"),
        (http(b"#" * 65537), "sts-policy-fetch-error"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000, "sts-policy-fetch-error"),
        (
            b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 500\r\n\r\nversion",
            "sts-policy-fetch-error",
        ),
        (b"220 mail.test ESMTP\r\n", "sts-policy-fetch-error"),
        (b"", "sts-policy-fetch-error"),
        (http(b"\xff\xfe"), "sts-policy-fetch-error"),
        (http("hello"), "sts-policy-invalid"),
        (http(policy("always")), "sts-policy-invalid"),
    ],
)
async def test_a_policy_that_cannot_be_had_is_none(tmp_path: Path, answer: bytes, result_type: str) -> None:
    async with world(tmp_path) as made:
        made.announce()
        made.https.answer = answer
        assert await made.of_domain() == NO_POLICY
        assert made.counted() == [("sts", result_type, 1)]
        # It is not fetched again at once either.
        await made.of_domain()
        assert len(made.https.requests) == 1
        made.https.answer = http(policy(), media_type='TEXT/plain; charset="utf-8"')
        made.later(301)
        assert await made.of_domain() == ENFORCED


async def test_a_slow_policy_server(tmp_path: Path) -> None:
    async with world(tmp_path, timeout_s=0.2) as made:
        made.announce()
        made.https.answer = None
        assert await made.of_domain() == NO_POLICY
        assert made.counted() == [("sts", "sts-policy-fetch-error", 1)]


async def test_a_policy_server_without_an_address(tmp_path: Path) -> None:
    async with world(tmp_path) as made:
        made.announce()
        del made.dns.zone[(f"mta-sts.{DOMAIN}", "A")]
        assert await made.of_domain() == NO_POLICY
        assert made.counted() == [("sts", "sts-policy-fetch-error", 1)]


async def test_a_policy_server_on_our_own_network_is_not_asked(tmp_path: Path) -> None:
    """The domain's owner chooses the server's address."""
    async with world(tmp_path, guard=mx.Guard()) as made:
        made.announce()
        assert await made.of_domain() == NO_POLICY
        assert made.https.requests == []
        assert made.counted() == [("sts", "sts-policy-fetch-error", 1)]


async def test_a_policy_server_without_a_trusted_certificate(tmp_path: Path) -> None:
    async with world(tmp_path) as made:
        for certificate in (Authority.root("another").issue(f"mta-sts.{DOMAIN}"), made.authority.issue("www.test")):
            await made.https.stop()
            await made.https.start(certificate.server(tmp_path))
            made.announce()
            assert await made.of_domain() == NO_POLICY
            made.later(301)
        assert made.counted() == [("sts", "sts-webpki-invalid", 2)]
        assert made.https.requests == []


async def test_records_that_announce_nothing(tmp_path: Path) -> None:
    async with world(tmp_path) as made:
        made.announce()
        made.dns.zone[(f"_mta-sts.{DOMAIN}", "TXT")] = [TXT("v=STSv1; id=1;"), TXT("v=STSv1; id=2;")]
        assert await made.of_domain() == NO_POLICY
        assert made.https.requests == []


async def test_switched_off(tmp_path: Path) -> None:
    async with world(tmp_path, mta_sts=False) as made:
        made.announce()
        assert await made.of_domain() == NO_POLICY
        assert made.dns.asked == []


async def test_closing_while_fetching(tmp_path: Path) -> None:
    async with world(tmp_path) as made:
        made.announce()
        made.https.answer = None
        asking = asyncio.create_task(made.of_domain())
        while not made.https.requests:
            await asyncio.sleep(0.001)
    with pytest.raises(asyncio.CancelledError):
        await asking
