"""Operators see what mail came in, what it was taken for, and get what nothing followed from."""

from datetime import UTC, datetime
from pathlib import Path

from cluster.journal.mail_in import ArrivedMail
from tests.integration.operating.conftest import Postray


async def came(postray: Postray, kind: str, number: int) -> None:
    mail = ArrivedMail(
        at=datetime.now(UTC),
        kind=kind,
        why="It is prose.\nIt names nobody.",
        sender="mailer@mx.example",
        mailbox="b+x@bounces.example.com",
        size=20,
        digest=bytes([number]),
        original=b"Subject: no\r\n\r\nwhat" if kind == "not_understood" else None,
    )
    assert await postray.journal.mail_in.take(mail) == ""


async def test_what_came_is_listed(postray: Postray, tmp_path: Path) -> None:
    assert await postray.said("inbound", "list") == "No mail came in."
    for number in range(5):
        await came(postray, "not_understood" if number % 2 else "auto_reply", number)
    found = await postray.json("inbound", "list", "--limit", "3")
    assert [one["kind"] for one in found] == ["auto_reply", "not_understood", "auto_reply"]
    assert found[0]["why"] == ["It is prose.", "It names nobody."] and found[0]["effect"] == ""
    assert len(await postray.json("inbound", "list", "--kind", "not_understood")) == 2
    assert await postray.json("inbound", "list", "--message", "msg_x") == []
    assert await postray.said("inbound", "list", "--kind", "complaint") == "No such mail came in."
    said = await postray.said("inbound", "list", "--save", str(tmp_path / "kept"))
    assert "not understood" in said and "It names nobody." in said
    kept = sorted((tmp_path / "kept").iterdir())
    assert len(kept) == 2 and kept[0].read_bytes() == b"Subject: no\r\n\r\nwhat"
