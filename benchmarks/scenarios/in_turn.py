"""Several kinds of mail through the same world, or mail beside other work, in turn: each repeat begins with another, so
that all of them meet the same machine."""

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager, nullcontext
from functools import partial

from benchmarks.mail import Mail
from benchmarks.phases import Tell
from benchmarks.records import Repeat
from benchmarks.scenarios.blast import Options, shoot
from benchmarks.scenarios.sending import SendingWorld

Around = Callable[[], AbstractAsyncContextManager[None]]
"""What is there while a kind of mail is measured, and at no other time."""


class InTurn:
    """Measures the kinds of one scenario. ``options.messages`` is the number of messages of each kind."""

    def __init__(self, sending: SendingWorld, options: Options) -> None:
        self._sending = sending
        self._options = options
        self._turn = 0

    async def measure(
        self, mails: Mapping[str, Mail], share: float, tell: Tell, around: Mapping[str, Around] | None = None
    ) -> dict[str, Repeat]:
        """One repeat of each kind, by name, in the order of their turns; ``around`` by the same names."""
        names = list(mails)
        begins = self._turn % len(names)
        self._turn += 1
        messages = round(share * self._options.messages)
        found: dict[str, Repeat] = {}
        for name in (*names[begins:], *names[:begins]):
            async with (around or {}).get(name, nullcontext)():
                told = partial(_tell_of, name, tell)
                found[name] = await shoot(self._sending, mails[name], messages, self._options, told)
        return found


def delivered(found: Mapping[str, Repeat], name: str, beside: str) -> dict[str, float]:
    """What each of two delivered, and the ratio of ``name`` to the one ``beside``."""
    figures = {f"delivered, {one}": repeat.figures["delivered"] for one, repeat in found.items()}
    return figures | {f"delivered, {name} / {beside}": figures[f"delivered, {name}"] / figures[f"delivered, {beside}"]}


def together(found: Mapping[str, Repeat], figures: dict[str, float], shown: str) -> Repeat:
    """One repeat of all kinds, with ``figures``. Usage and throughput are those of the kind ``shown``."""
    repeats = found.values()
    return Repeat(
        figures=figures,
        seconds=sum(one.seconds for one in repeats),
        promised=sum(one.promised for one in repeats),
        counted=sum(one.counted for one in repeats),
        copies=sum(one.copies for one in repeats),
        usage=found[shown].usage,
        throughput=found[shown].throughput,
    )


def _tell_of(name: str, tell: Tell, told: str, done: float = 0.0) -> None:
    tell(f"{name}: {told}", done)
