"""``postray doctor`` with what it asks outside: the DNS, mail hosts, the files of certificates, the journal."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dnslib
import pytest
from click.testing import CliRunner

from analytics.client import ClickHouse
from analytics.version import TESTED, parsed
from cluster.cli import main
from cluster.doctor import names
from cluster.doctor.checks import CHECKS
from cluster.doctor.findings import Finding, FindingState, Installation, worst
from cluster.journal.journal import Journal
from cluster.settings import (
    BounceSettings,
    ClickHouseSettings,
    DeliverySettings,
    DnsSettings,
    HttpSettings,
    PostgresSettings,
    Settings,
    SmtpSettings,
    SubmissionSettings,
    TlsSettings,
)
from cluster.smtpd.certificate import _create
from cluster.vault import secret_key
from tests.domains import a_domain
from tests.integration.dns_server import DnsServer
from tests.integration.journal.test_sender_domains import execute

OK, WARNING, PROBLEM = FindingState
OUT = "out1.example.com"
ROUTING = '[sources.a]\naddress = "127.0.0.1"\n[pools.default]\na = 1\n'


@pytest.fixture
async def dns() -> AsyncIterator[DnsServer]:
    transport, server = await asyncio.get_running_loop().create_datagram_endpoint(
        DnsServer, local_addr=("127.0.0.1", 0)
    )
    server.zone = {
        (OUT, "A"): [dnslib.A("203.0.113.1")],
        ("1.113.0.203.in-addr.arpa", "PTR"): [dnslib.PTR(OUT)],
        (".", "NS"): [dnslib.NS("a.root-servers.net")],
    }
    yield server
    transport.close()


def live(dns: DnsServer, tmp_path: Path, **sections: object) -> Installation:
    """An installation whose mail leaves the machine."""
    data_dir = tmp_path / "data"
    data_dir.mkdir(mode=0o700, exist_ok=True)
    given: dict[str, object] = {
        "data_dir": str(data_dir),
        "delivery": DeliverySettings(
            mode="direct", routing_file=str(tmp_path / "routing.toml"), shaping_file=str(tmp_path / "none")
        ),
        "dns": DnsSettings(nameservers=(f"127.0.0.1:{dns.port}",), timeout_s=1.0, tries=1),
        "smtp": SmtpSettings(helo_name=OUT),
    }
    return Installation(Settings(**(given | sections)), ())  # type: ignore[arg-type]  # some sections of many


async def found(check: str, installation: Installation) -> list[Finding]:
    return await asyncio.to_thread(lambda: list(CHECKS[check](installation)))


async def told(check: str, installation: Installation) -> tuple[FindingState, str]:
    (finding,) = await found(check, installation)
    return finding.state, finding.text


async def test_the_name_that_the_system_sends_from(dns: DnsServer, tmp_path: Path) -> None:
    installation = live(dns, tmp_path)
    assert await told("sources", installation) == (
        OK,
        f"smtp.helo_name: 203.0.113.1 and {OUT} lead to each other",
    )
    dns.zone["1.113.0.203.in-addr.arpa", "PTR"] = [dnslib.PTR("static.example.net")]
    state, text = await told("sources", installation)
    assert (state, "is static.example.net, which does not lead back" in text) == (PROBLEM, True)
    del dns.zone["1.113.0.203.in-addr.arpa", "PTR"]
    assert (await told("sources", installation))[0] is PROBLEM
    del dns.zone[OUT, "A"]
    state, text = await told("sources", installation)
    assert (state, "has no address" in text) == (PROBLEM, True)


async def test_sources_of_the_file(dns: DnsServer, tmp_path: Path) -> None:
    (tmp_path / "routing.toml").write_text(
        '[sources.a]\naddress = "203.0.113.1"\n[sources.b]\naddress = "203.0.113.2"\nhelo_name = "out2.example.com"\n',
        encoding="ascii",
    )
    told_of = await found("sources", live(dns, tmp_path))
    assert {finding.state for finding in told_of} == {PROBLEM}
    texts = [finding.text for finding in told_of]
    assert sum("this machine does not have" in text for text in texts) == 2
    assert any("says out2.example.com in EHLO, which has no address" in text for text in texts)
    assert any("203.0.113.2 of source b has no PTR record" in text for text in texts)


async def test_a_dns_that_is_silent_ends_the_checks_in_time(
    dns: DnsServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(names, "DNS_S", 0.3)
    dns.silent = True
    installation = live(dns, tmp_path)
    state, text = await told("sources", installation)
    assert (state, "could not be looked up: timed out" in text) == (WARNING, True)
    state, text = await told("resolver", installation)
    assert (state, "do not answer: timed out" in text) == (PROBLEM, True)


async def test_of_captured_mail_nothing_is_asked(dns: DnsServer, tmp_path: Path) -> None:
    installation = live(dns, tmp_path, delivery=DeliverySettings(routing_file=str(tmp_path / "none")))
    for check in ("sources", "bounces", "resolver", "paths"):
        assert (await told(check, installation))[0] is OK
    assert not dns.asked


async def test_a_file_that_cannot_be_put_in_force(dns: DnsServer, tmp_path: Path) -> None:
    (tmp_path / "routing.toml").write_text("[sources.a]\n", encoding="ascii")
    installation = live(dns, tmp_path)
    assert (await told("policies", installation))[0] is PROBLEM
    assert (await told("sources", installation))[0] is OK


async def test_the_host_of_bounces(dns: DnsServer, tmp_path: Path) -> None:
    bounce = BounceSettings(host="mx.example.com", bind="127.0.0.1:0", complaint_addresses=("fbl@in.example.com",))
    installation = live(dns, tmp_path, bounce=bounce)
    assert await told_states("bounces", installation) == [PROBLEM, WARNING]
    dns.zone["in.example.com", "MX"] = [dnslib.MX("mx.example.com", 10)]
    dns.zone["mx.example.com", "CNAME"] = [dnslib.CNAME(OUT)]
    assert await told_states("bounces", installation) == [WARNING]  # an alias
    del dns.zone["mx.example.com", "CNAME"]
    dns.zone["mx.example.com", "AAAA"] = [dnslib.AAAA("2001:db8::25")]
    assert await told("bounces", installation) == (OK, "bounces go to mx.example.com at 2001:db8::25")


async def told_states(check: str, installation: Installation) -> list[FindingState]:
    return [finding.state for finding in await found(check, installation)]


async def test_a_resolver_that_validates_and_one_that_does_not(dns: DnsServer, tmp_path: Path) -> None:
    dns.zone["", "SOA"] = [dnslib.SOA("a.root-servers.net", "nstld.example.net", (1, 2, 3, 4, 5))]
    assert (await told("resolver", live(dns, tmp_path)))[0] is WARNING
    assert (await told("resolver", live(dns, tmp_path, tls=TlsSettings(dane=True))))[0] is PROBLEM
    dns.secure = {""}
    assert await told("resolver", live(dns, tmp_path, tls=TlsSettings(dane=True))) == (
        OK,
        "127.0.0.1 validates DNSSEC",
    )


async def test_return_paths(dns: DnsServer, tmp_path: Path, journal: Journal, journal_dsn: str) -> None:
    tenant_id = await journal.tenants.create("acme")
    await a_domain(journal, tenant_id, "acme.example", verified=True, subdomain="bounces")
    await a_domain(journal, tenant_id, "new.example", verified=False)
    installation = live(dns, tmp_path, postgres=PostgresSettings(dsn=journal_dsn))
    wrong = await found("paths", installation)
    assert [finding.state for finding in wrong] == [WARNING, WARNING]
    assert "MX of bounces.acme.example, the return path of acme.example: there is no MX record" in wrong[0].text
    dns.zone["bounces.acme.example", "MX"] = [dnslib.MX(OUT, 10)]
    dns.zone["bounces.acme.example", "TXT"] = [dnslib.TXT(f"v=spf1 a:{OUT} ~all")]
    assert await told("paths", installation) == (OK, "the return paths of 1 verified sender domains are right")


async def test_postgres_and_the_clock(dns: DnsServer, tmp_path: Path, journal: Journal, journal_dsn: str) -> None:
    installation = live(dns, tmp_path, postgres=PostgresSettings(dsn=journal_dsn))
    findings = await found("postgres", installation)
    assert findings[0].text.startswith("Postgres 18.")
    assert "this clock and that of Postgres agree" in [finding.text for finding in await found("clock", installation)]
    away = live(dns, tmp_path, postgres=PostgresSettings(dsn="host=127.0.0.1 port=1 connect_timeout=1"))
    assert (await told("postgres", away))[0] is PROBLEM


async def test_ages_of_secrets(dns: DnsServer, tmp_path: Path, journal: Journal, journal_dsn: str) -> None:
    installation = live(dns, tmp_path, postgres=PostgresSettings(dsn=journal_dsn))
    secret_key("", installation.data_dir)
    tenant_id = await journal.tenants.create("acme")
    await a_domain(journal, tenant_id, "acme.example", verified=True)
    await journal.operator_tokens.create("console", prefix="op_00000000", hash=b"h" * 32, at=datetime.now(UTC))
    assert worst(await found("ages", installation)) is OK
    await execute(journal_dsn, "UPDATE dkim_keys SET state = 'active', created_at = now() - interval '367 days'")
    await execute(journal_dsn, "UPDATE operator_tokens SET created_at = now() - interval '367 days'")
    findings = await found("ages", installation)
    assert [finding.state for finding in findings] == [OK, WARNING, WARNING]
    assert "(acme.example)" in findings[1].text
    assert "postray operator-token revoke console" in findings[2].text
    await execute(journal_dsn, "UPDATE operator_tokens SET last_used_at = now() - interval '1 day'")
    await execute(journal_dsn, "UPDATE dkim_keys SET state = 'retired'")
    assert worst(await found("ages", installation)) is OK


@asynccontextmanager
async def a_host(greeting: bytes) -> AsyncIterator[tuple[str, list[bytes]]]:
    """Where it listens, and what it was told."""
    said: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(greeting)
        said.append(await reader.read(100))
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}", said


@pytest.mark.parametrize(
    ("greeting", "state"),
    [(b"220 mx.example.net ESMTP\r\n", OK), (b"554 not you\r\n", WARNING), (b"2" * 5000, WARNING)],
)
async def test_a_host_that_is_asked(dns: DnsServer, tmp_path: Path, greeting: bytes, state: FindingState) -> None:
    (tmp_path / "routing.toml").write_text(ROUTING, encoding="ascii")
    installation = live(dns, tmp_path)
    async with a_host(greeting) as (place, _):
        asked = Installation(installation.settings, (), hosts=(place,))
        found_state, text = await told("port", asked)
        assert (found_state, f"{place} from 127.0.0.1" in text) == (state, True)
    refused, text = await told("port", asked)  # it has gone
    assert (refused, "no connection to" in text, "Connection refused" in text) == (PROBLEM, True, True)


async def test_hosts_are_named_on_the_command_line(dns: DnsServer, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir(mode=0o700)
    async with a_host(b"220 mx.example.net ESMTP\r\n") as (place, said):
        result = await asyncio.to_thread(
            CliRunner().invoke, main, ["doctor", "--port25", place], env={"POSTRAY_DATA_DIR": str(tmp_path / "data")}
        )
    assert f"{place} answers: '220 mx.example.net ESMTP'" in result.output
    assert said == [b"QUIT\r\n"]


def pair(tmp_path: Path, host: str, made: datetime) -> str:
    path = tmp_path / "certificate.pem"
    path.write_bytes(_create(host, made))
    return str(path)


def certified(tmp_path: Path, certificate: str, **sections: object) -> Installation:
    bounce = BounceSettings(host="mx.example.com", bind="127.0.0.1:0", certificate=certificate)
    given: dict[str, object] = {"data_dir": str(tmp_path), "bounce": bounce}
    return Installation(Settings(**(given | sections)), ())  # type: ignore[arg-type]  # some sections of many


async def test_certificates_in_files(tmp_path: Path) -> None:
    now = datetime.now(UTC)
    assert (await told("certificates", certified(tmp_path, pair(tmp_path, "mx.example.com", now))))[0] is OK
    assert (await told("certificates", certified(tmp_path, pair(tmp_path, "other.example.com", now))))[0] is WARNING
    for days, state in ((350, WARNING), (366, PROBLEM)):
        made = pair(tmp_path, "mx.example.com", now - timedelta(days=days))
        assert (await told("certificates", certified(tmp_path, made)))[0] is state
    state, text = await told("certificates", certified(tmp_path, str(tmp_path / "none.pem")))
    assert (state, "cannot be used" in text) == (PROBLEM, True)
    (tmp_path / "certificate.pem").write_text("nonsense", encoding="ascii")
    submission = SubmissionSettings(bind="127.0.0.1:0", certificate=str(tmp_path / "certificate.pem"))
    assert (await told("certificates", certified(tmp_path, "", submission=submission)))[0] is PROBLEM


async def test_the_certificate_of_the_public_url_and_the_authorities(tmp_path: Path) -> None:
    http = HttpSettings(public_url="https://127.0.0.1:1")
    state, text = await told("certificates", certified(tmp_path, "", http=http))
    assert (state, "http.public_url" in text) == (PROBLEM, True)
    ended = pair(tmp_path, "ca.example.com", datetime.now(UTC) - timedelta(days=400))
    assert (await told("certificates", certified(tmp_path, "", tls=TlsSettings(ca_file=ended))))[0] is PROBLEM
    living = pair(tmp_path, "ca.example.com", datetime.now(UTC))
    assert (await told("certificates", certified(tmp_path, "", tls=TlsSettings(ca_file=living))))[0] is OK


async def test_clickhouse(tmp_path: Path) -> None:
    away = ClickHouseSettings(dsn="clickhouse://127.0.0.1:1/postray")
    state, text = await told("clickhouse", Installation(Settings(data_dir=str(tmp_path), clickhouse=away), ()))
    assert (state, "does not answer" in text) == (WARNING, True)
    assert (await told("clickhouse", Installation(Settings(data_dir=str(tmp_path)), ())))[0] is OK


def test_the_version_that_all_is_tested_with(clickhouse: ClickHouse) -> None:
    ((version,),) = clickhouse.rows("SELECT version()")
    assert parsed(version) == TESTED


@pytest.mark.parametrize(("arguments", "code"), [((), 1), (("--monitoring",), 2)])
def test_exit_codes(tmp_path: Path, arguments: tuple[str, ...], code: int) -> None:
    (tmp_path / "data").mkdir(mode=0o755)
    (tmp_path / "data").chmod(0o755)
    environ = {"POSTRAY_DATA_DIR": str(tmp_path / "data")}
    assert CliRunner().invoke(main, ["doctor", *arguments], env=environ).exit_code == code
    gone = {"POSTRAY_DATA_DIR": str(tmp_path / "none")}
    assert CliRunner().invoke(main, ["doctor", *arguments], env=gone).exit_code == (1 if arguments else 0)
    wrong = {"POSTRAY_NO_SUCH_KEY": "1"}
    assert CliRunner().invoke(main, ["doctor", *arguments], env=wrong).exit_code == (3 if arguments else 1)
