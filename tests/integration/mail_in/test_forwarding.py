"""Reports that are sent on to the tenant, and what the submitter of the message said of reports."""

from pathlib import Path

import psycopg
import pytest
from msgspec.structs import replace

from cluster.journal.excerpts import decode_report_terms
from cluster.journal.journal import Journal
from cluster.journal.records import Content, decode_content
from cluster.message.dsn import Dsn
from cluster.tenancy.settings import Forwarding
from tests.domains import a_domain
from tests.integration.mail_in.test_mail_in import delivered
from tests.integration.mail_in.world import a_report, a_world

NOTICES_FROM = "postmaster@news.example"
BOTH = ("a@example.com", "b@example.com")
NAMED = Dsn(envelope_id="QQ314159", original_recipients={"a@example.com": "rfc822;old+2Ba@example.net"})


async def forwarded(journal: Journal, dsn: str, folder: Path, asked: Dsn | None, *recipients: str) -> list[Content]:
    """The notices about a report on each of the recipients of a message to BOTH."""
    tenant, message = await delivered(journal, *BOTH, dsn=asked)
    await a_domain(journal, tenant, "news.example")
    wanted = Forwarding(enabled=True, email="reports@acme.example")
    await journal.tenants.change_settings(tenant, lambda settings: replace(settings, forward_bounce=wanted))
    async with a_world(journal, folder, NOTICES_FROM) as world:
        for recipient in recipients:
            await world.send(world.address(message.id, None), a_report(recipient))
    async with await psycopg.AsyncConnection.connect(dsn) as connection:
        cursor = await connection.execute(
            "SELECT content, personal FROM requests r JOIN messages m ON m.request_id = r.id"
            " WHERE 'notice' = ANY (categories)"
        )
        found = await cursor.fetchall()
    assert all(decode_report_terms(personal).is_notice for _, personal in found)
    return [decode_content(content) for content, _ in found]


async def test_a_forwarded_report_names_the_message_as_its_submitter_did(
    journal: Journal, journal_dsn: str, tmp_path: Path
) -> None:
    (notice,) = await forwarded(journal, journal_dsn, tmp_path, NAMED, "a@example.com")
    assert notice.parts[0].value.splitlines()[1:] == [
        "Envelope id: QQ314159",
        "Original recipient: old+a@example.net",
    ]
    (file,) = notice.attachments
    assert file.type == "message/rfc822"


@pytest.mark.parametrize(
    ("never", "recipients", "count"),
    [((), BOTH, 2), (("a@example.com",), BOTH, 1), (BOTH, BOTH, 0), (("b@example.com",), ("a@example.com",), 1)],
)
async def test_nothing_is_forwarded_of_a_recipient_with_notify_never(
    journal: Journal, journal_dsn: str, tmp_path: Path, never: tuple[str, ...], recipients: tuple[str, ...], count: int
) -> None:
    found = await forwarded(journal, journal_dsn, tmp_path, Dsn(never=never), *recipients)
    assert len(found) == count
