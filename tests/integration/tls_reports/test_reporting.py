"""TLS reports, from the counts in the journal to those who ask for them in the DNS."""

import asyncio
import gzip
from datetime import date, timedelta
from email import message_from_bytes
from pathlib import Path

import msgspec
import pytest
from dnslib import TXT

from actors.tls_reports import reporting
from cluster.journal.journal import Journal
from cluster.journal.records import decode_content
from cluster.policy.tls.report import TlsResult
from tests.domains import a_domain
from tests.integration.journal.builders import a_tenant
from tests.integration.tls_reports.world import DAY, DOMAIN, HOST, NEXT_MORNING, ReportWorld, a_world

MAILTO = "mailto:reports@example.com"


async def accepted(journal: Journal) -> list[bytes]:
    """The mails that the journal has, as they were submitted."""
    async with journal.intake._database.connection() as connection:
        cursor = await connection.execute("SELECT content FROM requests ORDER BY id")
        return [decode_content(content).original for (content,) in await cursor.fetchall()]


async def verified(journal: Journal) -> None:
    await a_domain(journal, await a_tenant(journal), "mail.example.com")


async def test_a_report_goes_by_mail_and_by_https(journal: Journal, tmp_path: Path) -> None:
    await verified(journal)
    async with a_world(journal, tmp_path) as world:
        await world.counted()
        world.asks(MAILTO, world.url)
        assert await world.send() == 3
        (head,) = world.https.heads
        assert head.startswith(b"POST /v1/tlsrpt HTTP/1.1\r\n")
        assert b"Content-Type: application/tlsrpt+gzip\r\n" in head
        (document,) = world.https.documents
        (original,) = await accepted(journal)
        mail = message_from_bytes(original)
        assert mail.get_content_type() == "multipart/report"
        assert mail.get_param("report-type") == "tlsrpt"
        assert (mail["From"], mail["To"]) == ("tls-reports@mail.example.com", "reports@example.com")
        assert (mail["TLS-Report-Domain"], mail["TLS-Report-Submitter"]) == (DOMAIN, "mail.example.com")
        assert mail["Subject"] == (
            f"Report Domain: {DOMAIN} Submitter: mail.example.com Report-ID: <{document['report-id']}>"
        )
        _, text, file = mail.walk()
        assert text.get_content_type() == "text/plain"
        assert file.get_content_type() == "application/tlsrpt+gzip"
        assert file.get_filename() == "mail.example.com!example.com!1772323200!1772409599.json.gz"
        packed = file.get_payload(decode=True)
        assert isinstance(packed, bytes)
        assert msgspec.json.decode(gzip.decompress(packed)) == document
        assert document["organization-name"] == "Example Mail"
        assert document["policies"][0]["summary"] == {
            "total-successful-session-count": 5326,
            "total-failure-session-count": 303,
        }
        assert await world.send() == 0
        assert all(sent for uri, (sent, _, _) in (await world.states()).items() if uri)


async def test_each_report_goes_once_in_all_lives(journal: Journal, tmp_path: Path) -> None:
    await verified(journal)
    async with a_world(journal, tmp_path) as world:
        await world.counted()
        world.asks(MAILTO, world.url)
        await world.send()
        for _ in range(2):
            world.life()
            world.later(hours=3)
            assert await world.send() == 0
        await world.reporting.send_now(DAY, "")
        assert await world.send() == 1  # the look-up
        assert len(world.https.bodies) == len(await accepted(journal)) == 1


async def test_a_mail_goes_once_where_the_process_died_before_it_was_noted(
    journal: Journal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await verified(journal)
    async with a_world(journal, tmp_path) as world:
        await world.counted()
        world.asks(MAILTO, world.url)

        async def killed(*_: object) -> None:
            raise asyncio.CancelledError

        with monkeypatch.context() as patched:
            patched.setattr(journal.tls_reports, "ended", killed)
            with pytest.raises(asyncio.CancelledError):
                await world.send()
        world.life()
        assert await world.send() == 0  # under the lease
        world.later(seconds=reporting.LEASE_S + 1)
        assert await world.send() == 2
        assert len(await accepted(journal)) == 1
        # Nobody can know whether a post arrived: its report id is the same.
        assert len({one["report-id"] for one in world.https.documents}) == 1
        assert (await world.states())[MAILTO] == (True, False, "accepted before")


async def test_what_fails_is_tried_again_for_a_day(journal: Journal, tmp_path: Path) -> None:
    async with a_world(journal, tmp_path) as world:
        await world.counted()
        world.asks(world.url)
        world.https.answer = b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n"
        assert await world.send() == 2
        assert await world.send() == 0
        world.later(minutes=6)
        assert await world.send() == 1
        assert (await world.states())[world.url] == (False, True, "answered 503")
        while (await world.states())[world.url][1]:
            world.later(hours=1)
            await world.send()
        assert world.now <= NEXT_MORNING + timedelta(hours=24)
        assert (await world.states())[world.url] == (False, False, "given up: answered 503")
        assert 6 <= len(world.https.bodies) <= 14
        world.https.answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
        assert await world.reporting.send_now(DAY, DOMAIN) == 1
        await world.send()
        assert (await world.states())[world.url] == (True, False, "answered 200")


async def test_without_a_verified_domain_mail_waits_and_it_is_said(journal: Journal, tmp_path: Path) -> None:
    async with a_world(journal, tmp_path) as world:
        await world.counted()
        world.asks(MAILTO, world.url)
        await world.send()
        states = await world.states()
        assert states[world.url][0]
        assert states[MAILTO][:2] == (False, True)
        said = "tls_reports.sender: no tenant has verified mail.example.com, so no key can sign reports by mail"
        assert states[MAILTO][2] == said
        assert (await world.reporting.show(DAY, DOMAIN, "")).problem == said
        await verified(journal)
        world.later(minutes=6)
        await world.send()
        assert (await world.states())[MAILTO][0]


async def test_redirects_are_not_followed(journal: Journal, tmp_path: Path) -> None:
    async with a_world(journal, tmp_path) as world:
        await world.counted()
        world.asks(world.url)
        world.https.answer = b"HTTP/1.1 307 Go\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n"
        await world.send()
        assert len(world.https.bodies) == 1
        assert (await world.states())[world.url][2] == "answered 307, and redirects are not followed"


async def test_a_receiver_that_does_not_answer_is_left(journal: Journal, tmp_path: Path) -> None:
    async with a_world(journal, tmp_path) as world:
        await world.counted()
        world.life(timeout_s=0.3)
        world.https.answer = None
        world.asks(world.url)
        await world.send()
        assert (await world.states())[world.url][2] == "no answer within 0.3 s"


@pytest.mark.parametrize("name", [HOST, "localhost", "inner.localhost"])
async def test_nothing_is_posted_to_our_own_network(journal: Journal, tmp_path: Path, name: str) -> None:
    async with a_world(journal, tmp_path) as world:
        await world.counted()
        world.life("192.0.2.0/24")
        world.asks(url := f"https://{name}:{world.https.port}/")
        await world.send()
        assert world.https.bodies == []
        assert "is not public (loopback)" in (await world.states())[url][2]


async def test_records_of_strangers(journal: Journal, tmp_path: Path) -> None:
    """Of a hundred domains with bad records and one with a good one, the good one gets its report."""
    await verified(journal)
    async with a_world(journal, tmp_path) as world:
        bad = [
            "v=TLSRPTv1; rua=" + ",".join(f"http://{i}.example.com/" for i in range(90)),
            "v=TLSRPTv1; rua=https://127.0.0.1/,https://[::1]/,mailto:a%0d%0aBcc:b@example.com",
            "v=TLSRPTv1; rua=mailto:",
            "v=TLSRPTv1",
            "v=TLSRPTv1; rua=" + "x" * 3000,
        ]
        for i in range(100):
            await world.counted(f"d{i}.example.com")
            octets = bad[i % len(bad)].encode()
            strings = [octets[start : start + 255] for start in range(0, len(octets), 255)]
            world.dns.zone[f"_smtp._tls.d{i}.example.com", "TXT"] = [TXT(strings)]
        await world.counted()
        await world.counted("[192.0.2.1]")
        world.asks(world.url)
        await world.send()
        assert [one["policies"][0]["policy"]["policy-domain"] for one in world.https.documents] == [DOMAIN]
        assert await accepted(journal) == []


async def test_the_dns_is_asked_again_when_it_does_not_answer(journal: Journal, tmp_path: Path) -> None:
    async with a_world(journal, tmp_path) as world:
        await world.counted()
        world.asks(world.url)
        world.dns.rcodes[f"_smtp._tls.{DOMAIN}"] = 2  # SERVFAIL
        await world.send()
        assert (await world.states())[""][:2] == (False, True)
        world.dns.rcodes.clear()
        world.later(minutes=6)
        await world.send()
        assert (await world.states())[world.url][0]


async def test_only_the_day_that_is_over_is_told_of(journal: Journal, tmp_path: Path) -> None:
    async with a_world(journal, tmp_path) as world:
        for days in (-1, 1):
            await world.counted(day=DAY + timedelta(days=days))
        world.asks(world.url)
        assert await world.send() == 0
        await world.counted()
        world.life()
        world.now = NEXT_MORNING - timedelta(hours=5, minutes=55)
        assert await world.send() == 0  # not all counts of yesterday are written
        world.now = NEXT_MORNING
        await world.send()
        assert len(world.https.bodies) == 1


async def test_look_ups_are_spread_over_hours(journal: Journal, tmp_path: Path) -> None:
    async with a_world(journal, tmp_path) as world:
        for i in range(40):
            await world.counted(f"d{i}.example.com")
        world.now = NEXT_MORNING - timedelta(hours=4)
        early = await world.send()
        assert 0 < early < 40
        world.now = NEXT_MORNING
        assert early + await world.send() == 40


async def test_what_would_be_sent_is_shown_and_not_sent(journal: Journal, tmp_path: Path) -> None:
    async with a_world(journal, tmp_path) as world:
        for i in range(25):
            await world.counted(f"d{i:02}.example.com")
        world.asks(MAILTO, "http://bad.example.com/", domain="d00.example.com")
        first = await world.reporting.show(DAY, "", "")
        assert first.next == "d19.example.com"
        assert len(first.reports) == 20
        shown = first.reports[0]
        assert [one.uri for one in shown.destinations] == [MAILTO]
        assert shown.faults == ("'http://bad.example.com/': only mailto and https count",)
        assert first.reports[1].faults == ("_smtp._tls.d01.example.com has no record that asks for reports",)
        rest = await world.reporting.show(DAY, "", first.next)
        assert (len(rest.reports), rest.next) == (5, None)
        assert (await world.reporting.show(DAY, "nobody.example.com", "")).reports == ()
        assert await world.reporting.round() == 0
        await accepts_nothing(world)


async def accepts_nothing(world: ReportWorld) -> None:
    assert await accepted(world.journal) == []
    assert world.https.bodies == []


async def test_a_defect_with_one_domain_leaves_the_others_their_reports(
    journal: Journal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with a_world(journal, tmp_path) as world:
        for domain in (DOMAIN, "odd.example.com"):
            await world.counted(domain)
            world.asks(world.url, domain=domain)
        of_day = journal.tls_results.of_day

        async def odd(day: date, domain: str) -> list[tuple[TlsResult, int]]:
            return await of_day(day, domain) if domain == DOMAIN else [None]  # type: ignore[list-item]  # a defect

        monkeypatch.setattr(journal.tls_results, "of_day", odd)
        await world.send()
        assert (await world.states())[world.url][0]
        assert (await world.states("odd.example.com"))[world.url] == (False, True, "failed: TypeError")
