"""What pages of lists are made of: tables of cells, facts, and buttons. Pure; one template shows them all."""

from collections.abc import Mapping, Sequence
from typing import Literal

from msgspec import Struct

from cluster.sizes import size_text

Tone = Literal["", "green", "amber", "red"]


class Cell(Struct, frozen=True):
    """A text, perhaps with where it leads. ``tone``: how it stands."""

    text: str
    link: str = ""
    tone: Tone = ""


class Table(Struct, frozen=True, kw_only=True):
    """The first cell of a row names it. ``none`` is said without rows; ``more`` leads to further ones."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    none: str = "None."
    more: str = ""


class Facts(Struct, frozen=True):
    """Names and what they are."""

    title: str
    facts: Sequence[tuple[str, Cell]]


class Button(Struct, frozen=True, kw_only=True):
    """A form with nothing to fill in. ``is_grave``: it holds mail back, or ends something."""

    name: str
    path: str
    fields: Mapping[str, str]
    is_grave: bool = False


class Field(Struct, frozen=True, kw_only=True):
    """A field of the form that a list is narrowed with; with ``choices``, one of them."""

    name: str
    label: str
    value: str
    choices: Sequence[str] = ()


def size(bytes: float | None) -> str:
    """1.5 GB; "not known" for None."""
    return "not known" if bytes is None else size_text(bytes)
