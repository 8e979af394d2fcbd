"""What processes note, and what the flight recorder reads of it."""

import pytest

from cluster.journal.happenings import Happening, note
from cluster.journal.journal import Journal, Unavailable

SOME = [
    Happening(kind="began", actor="api-0", began_at=1_800_000_000.25, ended_at=1_800_000_000.25),
    Happening(kind="journal_away", actor="api-0", began_at=1_800_000_001.5, ended_at=1_800_000_004.75),
]


async def test_what_was_noted_lately_is_read_with_its_times(journal: Journal, journal_dsn: str) -> None:
    await note(journal_dsn, "api-0-notes", SOME)
    await note(journal_dsn, "api-0-notes", SOME)
    found = await journal.happenings.since(60.0, 100)
    assert [one for one in found if one == SOME[0]] == SOME[:1] * 2 and SOME[1] in found
    began = await journal.server.began()
    assert [one.began_at for one in found if one.kind == "journal_started"] == [began.started_at.timestamp()]
    assert [one.kind for one in found].count("journal_recovered") == 1, "it is noted once"
    assert len(await journal.happenings.since(60.0, 1)) == 1
    assert await journal.happenings.since(0.0, 100) == []


async def test_nothing_is_noted_while_the_journal_is_away() -> None:
    with pytest.raises(Unavailable):
        await note("postgresql://postgres@127.0.0.1:1/none", "api-0-notes", SOME)
