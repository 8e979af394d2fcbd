"""A call of an actor that neither answers nor is refused ends in time."""

import asyncio

import pytest

from cluster.peers import PeerGone, call_within
from tests.unit.virtual_time import in_virtual_time


@in_virtual_time
async def test_a_call_that_is_not_answered_is_gone_after_its_time() -> None:
    async def call(actor: str, method: str, text: str) -> str:
        if text == "never":
            await asyncio.Event().wait()
        if text == "gone":
            raise PeerGone(actor, "dead")
        return f"{actor}.{method} {text}"

    assert await call_within(10.0, call, "delivery-0-0", "offer", "this") == "delivery-0-0.offer this"
    with pytest.raises(PeerGone, match="dead"):
        await call_within(10.0, call, "delivery-0-0", "offer", "gone")
    began = asyncio.get_running_loop().time()
    with pytest.raises(PeerGone, match="delivery-0-0: no answer within 10 s"):
        await call_within(10.0, call, "delivery-0-0", "offer", "never")
    assert asyncio.get_running_loop().time() - began == pytest.approx(10)
