"""How commands print: tables for people, JSON for programs. Hosts' replies are printed as text, never as control
codes."""

import sys
from collections.abc import Callable
from datetime import UTC, datetime, time, timedelta
from math import isfinite
from typing import Any, TextIO, TypeVar

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from cluster.policy.limits.quantities import duration
from cluster.policy.routes.domains import mail_domain
from cluster.printable import printable, printable_json

UNWRAPPED = 100_000
"""The width for output that is not a terminal: programs read whole lines with unbroken names."""


def make_console(stream: TextIO, *, stderr: bool = False) -> Console:
    """``stream``: the output stream. Lines wrap only on a terminal."""
    return Console(stderr=stderr, highlight=False, width=None if stream.isatty() else UNWRAPPED)


console = make_console(sys.stdout)
errors = make_console(sys.stderr, stderr=True)
RULE = "─" * 79

F = TypeVar("F", bound=Callable[..., Any])


def json_option(command: F) -> F:
    """The option --json, as ``as_json``."""
    return click.option("--json", "as_json", is_flag=True, help="For programs.")(command)


class DurationType(click.ParamType[float]):
    """A duration such as 90s, 5m, 1h30m, 2d; in seconds."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, int | float):
            return float(value)
        try:
            return duration(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


DURATION = DurationType()


class NameType(click.ParamType[str]):
    """A name that narrows a command. An empty one, such as an unset variable gives, would widen it, and is an error."""

    name = "text"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        text = str(value)
        if not text.strip():
            self.fail("An empty name names nothing", param, ctx)
        return text


class DomainType(NameType):
    """A domain of mail addresses; commands get it in A-labels."""

    name = "domain"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        text = super().convert(value, param, ctx)
        domain = mail_domain(text)
        if domain is None:
            self.fail(f"{text!r} is not a domain name", param, ctx)
        return domain


class FiniteRange(click.FloatRange):
    """A number within bounds. NaN is outside of them: click lets it pass, as it is neither below nor above one."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        number = float(super().convert(value, param, ctx))
        return number if isfinite(number) else self.fail(f"{value} is no number to count with", param, ctx)


class PastType(click.ParamType[datetime]):
    """A moment of the past, UTC: a time of day such as 14:05 is the last one; or a date with a time."""

    name = "moment"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        if isinstance(value, datetime):
            return value
        try:
            return past_moment(value, datetime.now(UTC))
        except (ValueError, OverflowError):
            self.fail(f"{value!r} is no moment such as 14:05, 14:05:30 or 2026-11-30 14:05", param, ctx)


def past_moment(text: str, now: datetime) -> datetime:
    """Raises ValueError for a text that is no moment."""
    if ":" in text and "-" not in text:
        at = datetime.combine(now.date(), time.fromisoformat(text), UTC)
        return at if at <= now else at - timedelta(days=1)
    at = datetime.fromisoformat(text)
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)


NAME = NameType()
PAST = PastType()
DOMAIN = DomainType()


def print_json(value: Any) -> None:
    click.echo(printable_json(value))


def plain(text: str) -> Text:
    """Text without markup, on one line: a host's reply must not control the terminal."""
    return Text(printable(text.replace("\n", " ")))


def moment(text: str | None) -> str:
    """A time from the API, to the second, UTC."""
    return f"{datetime.fromisoformat(text):%Y-%m-%d %H:%M:%S}" if text else ""


def number(value: float) -> str:
    """A count or a rate in short form."""
    return f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:.1f}"


def table(*columns: str) -> Table:
    """A table without borders; text wraps, except numbers (">") and unbreakable columns ("=")."""
    made = Table(box=None, pad_edge=False)
    for column in columns:
        name = column.lstrip(">=")
        made.add_column(
            name, justify="right" if column.startswith(">") else "left", no_wrap=name != column, overflow="fold"
        )
    return made
