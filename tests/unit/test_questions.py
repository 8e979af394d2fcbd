"""Ray's control service is away for minutes: questions wait in bounds, and nothing else waits for them."""

import asyncio
import threading

import pytest

from cluster.launch.questions import AWAY, WAITING_AT_MOST, Questions
from cluster.peers import PeerGone

MAX_WAIT_S = 20.0


class Service:
    """It answers when it is there."""

    def __init__(self) -> None:
        self.is_there = threading.Event()
        self.asked = 0

    def question(self, text: str) -> str:
        self.asked += 1
        assert self.is_there.wait(MAX_WAIT_S)
        if text == "?":
            raise ValueError(text)
        return text.upper()


async def test_questions_wait_within_bounds_and_are_answered_again_when_it_is_back() -> None:
    service, questions = Service(), Questions(answer_s=0.05)
    for number in range(WAITING_AT_MOST):
        with pytest.raises(PeerGone, match=AWAY):
            await questions.ask("ray", service.question, f"q{number}")
    for _ in range(100):
        with pytest.raises(PeerGone, match=AWAY):
            await questions.ask("ray", service.question, "one more")
    assert service.asked == WAITING_AT_MOST, "no more threads wait than may"
    assert await asyncio.to_thread(lambda: "free") == "free", "other threads are as free as before"
    service.is_there.set()
    async with asyncio.timeout(MAX_WAIT_S):
        while True:
            try:
                assert await questions.ask("ray", service.question, "back") == "BACK"
                break
            except PeerGone:
                await asyncio.sleep(0.01)
    with pytest.raises(ValueError, match=r"\?"):
        await questions.ask("ray", service.question, "?")


async def test_many_at_once_wait_for_a_thread_and_leave_none_behind() -> None:
    service, questions = Service(), Questions(answer_s=0.1)
    found = await asyncio.gather(
        *(questions.ask("ray", service.question, str(i)) for i in range(5 * WAITING_AT_MOST)), return_exceptions=True
    )
    assert all(isinstance(one, PeerGone) for one in found)
    service.is_there.set()
    async with asyncio.timeout(MAX_WAIT_S):
        while questions._late:
            await asyncio.sleep(0.01)
    assert service.asked == WAITING_AT_MOST, "those whose callers have given up are not asked"
