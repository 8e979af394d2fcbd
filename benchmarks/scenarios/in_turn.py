"""Several kinds of mail through the same world, in turn: each repeat begins with another, so that all of them meet the
same machine."""

from collections.abc import Mapping
from functools import partial

from benchmarks.mail import Mail
from benchmarks.phases import Tell
from benchmarks.records import Repeat
from benchmarks.scenarios.blast import Options, shoot
from benchmarks.scenarios.sending import SendingWorld


class InTurn:
    """Measures the kinds of one scenario. ``options.messages`` is the number of messages of each kind."""

    def __init__(self, sending: SendingWorld, options: Options) -> None:
        self._sending = sending
        self._options = options
        self._turn = 0

    async def measure(self, mails: Mapping[str, Mail], share: float, tell: Tell) -> dict[str, Repeat]:
        """One repeat of each kind, by name, in the order of their turns."""
        names = list(mails)
        begins = self._turn % len(names)
        self._turn += 1
        messages = round(share * self._options.messages)
        return {
            name: await shoot(self._sending, mails[name], messages, self._options, partial(_tell_of, name, tell))
            for name in (*names[begins:], *names[:begins])
        }


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
