"""What came back of a post. Pure: the API has it from the process that posts, and does not load its libraries."""

from cluster.policy.forms import Form
from cluster.policy.webhooks.failing import PostResult


class Answer(Form, frozen=True, kw_only=True):
    """What came back."""

    result: PostResult
    headers: str = ""
    """Lines, cut."""
    body: str = ""
    """Cut."""

    @property
    def duration_ms(self) -> int:
        """To the end of the answer, as far as it was read."""
        return round((self.result.ended - self.result.began).total_seconds() * 1000)


def storable(text: str) -> str:
    """A text of a stranger that any store takes: bytes that are no text, and NUL, are replaced."""
    return text.encode("utf-8", "replace").decode().replace("\0", "?")
