"""The helpers that a template may use: those of Handlebars, and SendGrid's own as its documentation has them
(https://www.twilio.com/docs/sendgrid/for-developers/sending-email/using-handlebars).

``HELPERS`` says how each is called. One with a ``function`` has a value: its tag prints it, its block takes the first
branch if the value is true. The compiler writes the others itself.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from msgspec import Struct

from cluster.templates.handlebars.bounds import Budget
from cluster.templates.handlebars.dates import format_date
from cluster.templates.handlebars.tree import UNDEFINED
from cluster.templates.handlebars.values import Value, child, compare, equal, is_empty, property_name, truth

MOST_ARGUMENTS = 100
"""Of helpers that take any number of them: what they compile to has a bound."""


class Helper(Struct, frozen=True, kw_only=True):
    """How a helper is called."""

    fewest: int
    """Arguments that it needs."""
    most: int
    """Arguments that it takes at most."""
    function: Callable[..., Value] | None = None
    """``function(budget, *arguments)``: its value. Raises TooMuch."""
    is_inline: bool = True
    """Whether it may stand in ``{{…}}`` and in a subexpression."""
    is_block: bool = False
    """Whether it may stand in ``{{#…}}``."""

    def misuse(self, name: str, arguments: int, *, as_block: bool) -> str | None:
        """What is wrong with a call by ``arguments`` arguments, as a sentence; None if nothing is."""
        if as_block and not self.is_block:
            return f"{name} is not a block: it is used as {{{{{name} …}}}}."
        if not as_block and not self.is_inline:
            return f"{name} is a block: it begins with {{{{#{name} …}}}} and ends with {{{{/{name}}}}}."
        if self.fewest <= arguments <= self.most:
            return None
        return f"{name} takes {self._takes()}, not {arguments}."

    def _takes(self) -> str:
        if self.fewest == self.most:
            return f"{self.fewest} argument{'s' if self.fewest != 1 else ''}"
        return f"{self.fewest} to {self.most} arguments"


def holds(value: Value, include_zero: Value = False) -> bool:
    """Whether ``#if`` takes its first branch; 0 is true with ``includeZero=true``."""
    return not is_empty(value) if truth(include_zero) else truth(value)


def lookup(budget: Budget, value: Value, name: Value) -> Value:
    """The property that another value names. What is false has none, and is its own answer, as in handlebars.js."""
    if truth(value) or isinstance(value, list):
        return child(value, property_name(name, budget))
    return value


def log(_budget: Budget, *_values: Value) -> Value:
    """Nothing: there is no console."""
    return UNDEFINED


def insert(_budget: Budget, value: Value, default: Value) -> Value:
    """The value, or the default where it is missing, null or an empty text. ``default=`` before a default is not part
    of it."""
    if value is not UNDEFINED and value is not None and value != "":
        return value
    return default.removeprefix("default=") if isinstance(default, str) else default


def date(budget: Budget, value: Value, form: Value, zone: Value = UNDEFINED) -> Value:
    """A date as a text: see ``format_date``."""
    return format_date(value, form, zone, budget)


def length(_budget: Budget, value: Value) -> Value:
    """How many characters a text has, or elements an array; 0 for all else."""
    return len(value) if isinstance(value, (str, list, tuple)) else 0


def equals(budget: Budget, left: Value, right: Value) -> Value:
    return equal(left, right, budget)


def not_equals(budget: Budget, left: Value, right: Value) -> Value:
    return not equal(left, right, budget)


def greater_than(budget: Budget, left: Value, right: Value) -> Value:
    return compare(left, right, budget) == 1


def less_than(budget: Budget, left: Value, right: Value) -> Value:
    return compare(left, right, budget) == -1


def all_of(_budget: Budget, *values: Value) -> Value:
    """The first value that is not true, else the last: true if all are."""
    return next((value for value in values if not truth(value)), values[-1])


def any_of(_budget: Budget, *values: Value) -> Value:
    """The first value that is true, else the last: true if one is."""
    return next((value for value in values if truth(value)), values[-1])


HELPERS: Mapping[str, Helper] = MappingProxyType(
    {
        "if": Helper(fewest=1, most=1, is_inline=False, is_block=True),
        "unless": Helper(fewest=1, most=1, is_inline=False, is_block=True),
        "each": Helper(fewest=1, most=1, is_inline=False, is_block=True),
        "with": Helper(fewest=1, most=1, is_inline=False, is_block=True),
        "lookup": Helper(fewest=2, most=2, function=lookup),
        "log": Helper(fewest=0, most=MOST_ARGUMENTS, function=log),
        "insert": Helper(fewest=2, most=2, function=insert),
        "formatDate": Helper(fewest=2, most=3, function=date),
        "length": Helper(fewest=1, most=1, function=length),
        "equals": Helper(fewest=2, most=2, function=equals, is_block=True),
        "notEquals": Helper(fewest=2, most=2, function=not_equals, is_block=True),
        "greaterThan": Helper(fewest=2, most=2, function=greater_than, is_block=True),
        "lessThan": Helper(fewest=2, most=2, function=less_than, is_block=True),
        "and": Helper(fewest=2, most=MOST_ARGUMENTS, function=all_of, is_block=True),
        "or": Helper(fewest=2, most=MOST_ARGUMENTS, function=any_of, is_block=True),
    }
)
"""By name."""
