"""SendGrid's helpers do what its documentation says."""

import pytest

from cluster.templates.handlebars.bounds import Budget
from cluster.templates.handlebars.helpers import HELPERS, holds
from cluster.templates.handlebars.tree import UNDEFINED
from cluster.templates.handlebars.values import Value

ITEMS: Value = ["raft", "water bottle"]


def call(name: str, *arguments: Value) -> Value:
    function = HELPERS[name].function
    assert function is not None
    return function(Budget(), *arguments)


@pytest.mark.parametrize(
    ("name", "arguments", "expected"),
    [
        ("insert", ("Ben", "default=Customer"), "Ben"),
        ("insert", (UNDEFINED, "default=Customer"), "Customer"),
        ("insert", (None, "your business"), "your business"),
        ("insert", ("", "default="), ""),
        ("insert", (0, "default=x"), 0),
        ("insert", (False, "default=x"), False),
        ("insert", (UNDEFINED, "default=a default=b"), "a default=b"),
        ("insert", (UNDEFINED, 5), 5),
        ("formatDate", ("2020-01-01T23:00:00.000Z", "MMM D"), "Jan 1"),
        ("formatDate", ("2020-01-01T23:00:00.000Z", "HH", "-0800"), "15"),
        ("length", ("abc",), 3),
        ("length", ("\U0001f600",), 1),
        ("length", (ITEMS,), 2),
        ("length", ({"a": 1},), 0),
        ("length", (5,), 0),
        ("length", (UNDEFINED,), 0),
        ("equals", (3, "3"), True),
        ("equals", (167320, 289199), False),
        ("notEquals", (3, "3"), False),
        ("notEquals", (20230710, 20230715), True),
        ("greaterThan", (100, 78), True),
        ("greaterThan", (55, 78), False),
        ("greaterThan", (78, 78), False),
        ("greaterThan", (UNDEFINED, 78), False),
        ("lessThan", (55, 78), True),
        ("lessThan", (100, 78), False),
        ("lessThan", (UNDEFINED, 78), False),
        ("and", ("Pasta", ""), ""),
        ("and", ("Pasta", "Coffee"), "Coffee"),
        ("and", (1, 2, 0, 3), 0),
        ("or", (False, True), True),
        ("or", (False, 0.0), 0.0),
        ("or", (UNDEFINED, "", "Ben"), "Ben"),
        ("log", ("x", 1), UNDEFINED),
        ("lookup", (ITEMS, 1), "water bottle"),
        ("lookup", (ITEMS, "length"), 2),
        ("lookup", ([], "length"), 0),
        ("lookup", ({"1": "one"}, 1.0), "one"),
        ("lookup", ({"a": 1}, "__class__"), UNDEFINED),
        ("lookup", ({"null": 1}, None), 1),
        ("lookup", (0, "x"), 0),
        ("lookup", (None, "x"), None),
    ],
)
def test_values(name: str, arguments: tuple[Value, ...], expected: Value) -> None:
    value = call(name, *arguments)
    assert (value, type(value)) == (expected, type(expected))


def test_if_may_include_zero() -> None:
    assert not holds(0)
    assert holds(0, True)
    assert not holds("", True)
    assert not holds(False, True)


def test_the_names_are_those_of_handlebars_and_sendgrid() -> None:
    assert set(HELPERS) == {
        *("if", "unless", "each", "with", "lookup", "log"),
        *("insert", "formatDate", "length", "equals", "notEquals", "greaterThan", "lessThan", "and", "or"),
    }


@pytest.mark.parametrize(
    ("name", "arguments", "as_block", "expected"),
    [
        ("if", 1, True, None),
        ("if", 2, True, "if takes 1 argument, not 2."),
        ("if", 1, False, "if is a block: it begins with {{#if …}} and ends with {{/if}}."),
        ("each", 0, True, "each takes 1 argument, not 0."),
        ("length", 1, True, "length is not a block: it is used as {{length …}}."),
        ("insert", 1, False, "insert takes 2 arguments, not 1."),
        ("formatDate", 1, False, "formatDate takes 2 to 3 arguments, not 1."),
        ("formatDate", 3, False, None),
        ("and", 1, True, "and takes 2 to 100 arguments, not 1."),
        ("and", 9, True, None),
        ("equals", 2, False, None),
        ("log", 0, False, None),
    ],
)
def test_misuse_is_explained(name: str, arguments: int, as_block: bool, expected: str | None) -> None:
    assert HELPERS[name].misuse(name, arguments, as_block=as_block) == expected


@pytest.mark.parametrize("name", [name for name, helper in HELPERS.items() if helper.function])
def test_a_function_takes_as_many_arguments_as_the_table_says(name: str) -> None:
    helper = HELPERS[name]
    for count in (helper.fewest, helper.most if helper.most is not None else 20):
        call(name, *["x"] * count)
