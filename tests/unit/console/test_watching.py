"""What the page ``now`` remembers of services that take long to ask."""

from datetime import UTC, datetime, timedelta

from api.console.watching import Remembered

BEGAN = datetime(2026, 11, 30, tzinfo=UTC)


async def test_an_answer_is_remembered_and_so_is_why_there_was_none() -> None:
    answers: list[str | None] = ["two nodes", None, "three nodes"]
    remembered: Remembered[str] = Remembered(5.0)

    async def ask(faults: list[str]) -> str | None:
        answer = answers.pop(0)
        if answer is None:
            faults.append("the nodes: no answer")
        return answer

    found = []
    for seconds in (0, 4, 6, 10, 12):
        faults: list[str] = []
        found.append((await remembered.get(BEGAN + timedelta(seconds=seconds), faults, ask), faults))
    silent = (None, ["the nodes: no answer"])
    assert found == [("two nodes", []), ("two nodes", []), silent, silent, ("three nodes", [])]
