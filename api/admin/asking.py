"""Questions to an actor of which there is one."""

from typing import Any

from cluster.intake.backpressure import Overloaded
from cluster.peers import Call, PeerGone, call_within

ANSWER_S = 45.0
"""How long an actor may take to answer."""


async def ask(call: Call, actor: str, method: str, *arguments: Any) -> Any:
    """The answer. Raises Overloaded when none comes in time, and what the actor raises."""
    try:
        return await call_within(ANSWER_S, call, actor, method, *arguments)
    except PeerGone as error:
        raise Overloaded(f"The {actor} does not answer now; try again later") from error
