"""Answers of the DNS, as the checks see them."""

from msgspec import Struct


class Answer(Struct, frozen=True):
    """``records``: in lower case, names without the final dot; empty where there are none."""

    records: tuple[str, ...]
    is_secure: bool = False
    """The name server says that DNSSEC validates the answer."""
    alias: str = ""
    """The name that aliases lead to; "" without them."""


class Unanswered(Struct, frozen=True):
    """The DNS did not answer."""

    reason: str
