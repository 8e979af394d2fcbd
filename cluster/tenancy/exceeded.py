"""The refusals of requests over a tenant's limit. They survive pickling. Pure."""

from typing import Protocol


class Standing(Protocol):
    """How a tenant stands under a limit, as X-RateLimit-Limit, -Remaining and -Reset."""

    def headers(self) -> list[tuple[bytes, bytes]]: ...


class LimitExceeded(Exception):
    """The same request may succeed ``retry_after_s`` later. ``detail`` and ``help`` are shown to the client."""

    def __init__(self, detail: str, help: str, retry_after_s: int) -> None:
        super().__init__(detail, help, retry_after_s)
        self.detail = detail
        self.help = help
        self.retry_after_s = retry_after_s


class RateExceeded(LimitExceeded):
    """The tenant asks for more in a moment than its limit."""

    def __init__(self, help: str, retry_after_s: int) -> None:
        super().__init__("Rate limit exceeded", help, retry_after_s)
        self.args = (help, retry_after_s)


class QuotaExceeded(LimitExceeded):
    """The request's messages do not fit into the tenant's day."""

    def __init__(self, help: str, retry_after_s: int, quota: int, left: int, reset: int) -> None:
        """``left`` is what is left of the ``quota``; ``reset`` is the end of the day in Unix seconds."""
        super().__init__("Daily quota exceeded", help, retry_after_s)
        self.args = (help, retry_after_s, quota, left, reset)
        self._standing = (quota, left, reset)

    def headers(self) -> list[tuple[bytes, bytes]]:
        quota, left, reset = self._standing
        return [
            (b"x-ratelimit-limit", b"%d" % quota),
            (b"x-ratelimit-remaining", b"%d" % left),
            (b"x-ratelimit-reset", b"%d" % reset),
        ]
