"""What a stop waits for, reported as a sentence whenever it changes."""

from collections.abc import Callable, Mapping

HOSTS_NAMED = 3


class StopProgress:
    """``most_s``: how long to wait for replies of hosts; ``say``: gets the sentence; ``is_hurried``: whether to stop
    waiting now."""

    def __init__(self, most_s: float, say: Callable[[str], None], is_hurried: Callable[[], bool]) -> None:
        self.most_s = most_s
        self.is_hurried = is_hurried
        self._say = say
        self._said = ""

    def tell(self, unanswered: Mapping[str, int]) -> None:
        """Report the number of messages that wait for the reply of each host."""
        line = sentence(unanswered, self.most_s)
        if line and line != self._said:
            self._say(line)
        self._said = line or self._said


def sentence(unanswered: Mapping[str, int], most_s: float) -> str:
    """The sentence to report; "" when there is nothing to wait for."""
    if not unanswered:
        return ""
    count = sum(unanswered.values())
    hosts = sorted(unanswered, key=lambda host: (-unanswered[host], host))
    named = ", ".join(hosts[:HOSTS_NAMED]) + (f" and {more} more" if (more := len(hosts) - HOSTS_NAMED) > 0 else "")
    return (
        f"waiting for {named} to answer for {count} message{'s' * (count != 1)} sent in full, {most_s:.0f} s at most; "
        "a second signal ends the wait"
    )
