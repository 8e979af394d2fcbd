"""When a message is set aside: pure decisions about delivery actors that died while they worked on a request.

A *strike* is one life of a delivery actor that ended while it worked on a message. A process may die for any reason, so
one strike says little; a second one with the same message means that the message is the cause. A request may hold
a thousand such messages. When two of them were set aside, or their shared content has two strikes, the others are not
tried.
"""

from collections.abc import Iterable, Mapping
from enum import Enum

from msgspec import Struct

STRIKES = 2
"""Lives that end on a message before it is set aside."""
SET_ASIDE = 2
"""Messages of a request that are set aside before the whole request is."""


class SetAsideScope(Enum):
    """What is set aside."""

    MESSAGE = "message"
    REQUEST = "request"
    """Every unfinished message of the request."""


class Strike(Struct, frozen=True):
    """One life that ended on a message of a request."""

    life: int
    message_id: str
    shared: bool
    """The actor worked on content that the request's messages share; the message was the first that needed it."""


class SetAside(Struct, frozen=True):
    """What to set aside, and why."""

    scope: SetAsideScope
    reason: str
    """The reason of the named message; other messages of the request have another one (``reason_for``)."""


OWN = f"set aside: {STRIKES} delivery processes ended while at work on it"
CONTENT = f"set aside: {STRIKES} delivery processes ended while preparing the content of its request"
OTHERS = "set aside: delivery processes ended while at work on other messages of its request"


def decide(strikes: Iterable[Strike], message_id: str) -> SetAside | None:
    """The decision after all strikes of a request, the last of which named ``message_id``; None: retry."""
    lives: dict[str, set[int]] = {}
    content: set[int] = set()
    for strike in strikes:
        lives.setdefault(strike.message_id, set()).add(strike.life)
        if strike.shared:
            content.add(strike.life)
    if len(content) >= STRIKES:
        return SetAside(SetAsideScope.REQUEST, CONTENT)
    own = _is_set_aside(lives, message_id)
    if sum(_is_set_aside(lives, one) for one in lives) >= SET_ASIDE:
        return SetAside(SetAsideScope.REQUEST, OWN if own else OTHERS)
    return SetAside(SetAsideScope.MESSAGE, OWN) if own else None


def reason_for(aside: SetAside, message_id: str, named: str) -> str:
    """Why a message is set aside; ``named`` is the message with the last strike."""
    return OTHERS if aside.reason == OWN and message_id != named else aside.reason


def _is_set_aside(lives: Mapping[str, set[int]], message_id: str) -> bool:
    return len(lives.get(message_id, ())) >= STRIKES
