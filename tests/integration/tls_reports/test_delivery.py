"""The mail of a TLS report on its way: it is signed, and arrives although the TLS that it reports on fails."""

import gzip
from datetime import UTC, datetime
from email import message_from_bytes
from pathlib import Path
from typing import cast

import msgspec
import pytest
from dnslib import A
from msgspec.structs import replace

from actors.tls_reports.sending import Sending
from actors.webhooks.client import Client
from cluster.journal.journal import Journal
from cluster.policy.lifecycle import Status
from cluster.policy.tls.policy import PolicyType
from cluster.policy.tls.report import TlsResult
from cluster.policy.tls.rua import read_uri
from cluster.settings import TlsReportSettings
from tests.dkim_verifier import verdicts
from tests.integration.delivery.test_tls_policies_in_world import DOMAIN, FIRST, Fixture, publishing
from tests.integration.journal.builders import a_message
from tests.integration.tls_reports.world import DAY


async def report(made: Fixture) -> None:
    """Have a report sent to the domain that it is about."""
    world = made.world
    settings = TlsReportSettings(sender="tls-reports@mail.example.com")
    unused = cast(Client, None)  # of reports by HTTPS
    sending = Sending(world.journal, unused, settings, now=lambda: datetime.now(UTC))
    failure = TlsResult(day=DAY, domain=DOMAIN, policy_type=PolicyType.STS, result_type="starttls-not-supported")
    await world.journal.tls_results.add({failure: 3})
    document = await sending.document(DOMAIN, DAY)
    assert document is not None
    result = await sending.send(DOMAIN, DAY, document, read_uri(f"mailto:reports@{DOMAIN}"))
    assert result.is_sent, result


@pytest.mark.parametrize("enforced", [False, True])
async def test_a_report_arrives_although_the_policy_forbids_all_mail(
    journal: Journal, tmp_path: Path, enforced: bool
) -> None:
    async with publishing(journal, tmp_path, mode="enforce") as made:
        world = made.world
        world.dns.zone[FIRST, "A"] = [A("127.0.0.1")]  # a peer without TLS
        if enforced:
            await journal.tenants.change_settings(world.tenant_id, lambda settings: replace(settings, require_tls=True))
        usual = a_message(f"ada@{DOMAIN}")
        await world.accept(usual)
        await world.until(usual, Status.QUEUED, attempts=1)
        counted = world.tls_results.counts()
        assert world.taken == []
        await report(made)
        await world.eventually(lambda: len(world.taken) == 1)
        (taken,) = world.taken
        assert list(taken.rcpt_to) == [f"reports@{DOMAIN}"]
        mail = message_from_bytes(taken.content)
        assert mail.get_param("report-type") == "tlsrpt"
        assert mail["TLS-Report-Domain"] == DOMAIN
        assert mail["TLS-Required"] == "No"
        assert mail["Date"]
        assert mail["Message-ID"]
        assert verdicts(taken.content, world.key_records) == [True]
        _, _, file = mail.walk()
        packed = file.get_payload(decode=True)
        assert isinstance(packed, bytes)
        document = msgspec.json.decode(gzip.decompress(packed))
        assert document["policies"][0]["summary"]["total-failure-session-count"] == 3
        # The session is not told of in the next report.
        assert world.tls_results.counts() == counted
