"""Texts with holes: filled, they are what the whole text is in its transfer encoding."""

import quopri
from collections.abc import Sequence

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from actors.compose.relaxed import relaxed_lines, single_spaces
from cluster.joining import joined
from cluster.message.forms import Filled, Form, PassingForm, QuotedForm, form_of, is_words
from cluster.message.transfer_encoding import crlf, passes_as_it_is

PIECES = [
    "a",
    "b c",
    " ",
    "\t",
    "\n",
    ".",
    "F",
    "From",
    "From ",
    "rom ",
    "om x",
    "-",
    "--",
    "=_",
    "_",
    "=",
    "-=",
    "",
    "<p>",
]
ODD = [*PIECES, "é", "\0", "\x1f", "x" * 70, "x" * 500, " \n", "\n.\n", "\nFrom "]
LITERALS = st.lists(st.lists(st.sampled_from(PIECES), max_size=4).map("".join), min_size=2, max_size=6)
VALUES = st.lists(st.sampled_from(ODD), max_size=4).map("".join)


def text_of(form: Form, filled: Filled) -> bytes:
    return joined(form.literals, filled.pieces).encode()


def spaced(text: str) -> str:
    return single_spaces(text.encode()).decode()


def filled_text(literals: Sequence[str], values: Sequence[str]) -> str:
    return literals[0] + "".join(value + literal for value, literal in zip(values, literals[1:], strict=True))


@given(LITERALS, st.lists(VALUES, min_size=5, max_size=5), st.booleans())
@example(["x ", "", "\n"], ["", "y", "", "", ""], False)
@example(["\n", "", "From "], ["a\n", "", "", "", ""], False)
@example(["a--", "b"], ["=_", "", "", "", ""], False)
@example(["", "\n"], ["From", "", "", "", ""], False)
@example(["Dear ", " ", ",\n"], ["", "x", "", "", ""], False)
@example(["Dear ", ",\n"], ["a  b\x1fc", "", "", "", ""], False)
@example(["\n", "b\n"], ["a" * 990 + "\n" + "c" * 997, "", "", "", ""], False)
def test_any_form_is_the_whole_text(literals: list[str], values: list[str], are_keyed: bool) -> None:
    holes = len(literals) - 1
    keys = [number % 2 for number in range(holes)] if are_keyed else list(range(holes))
    form = form_of(literals, [f"key {key}" for key in keys] if are_keyed else keys)
    if form is None:
        return
    given = {f"key {key}": values[key] for key in keys} if are_keyed else values[:holes]
    filled = form.fill(given)
    if filled is None:
        assert isinstance(form, PassingForm)
        return
    meant, made = filled_text(literals, [values[key] for key in keys]), text_of(form, filled)
    if isinstance(form, PassingForm):
        assert made == crlf(meant)
        assert passes_as_it_is(meant)
    else:
        assert quopri.decodestring(made) == crlf(meant)
    assert form.size(given) == len(made)
    assert not any("\x1f" in piece for piece in filled.pieces), "what a caller may put between pieces"
    if filled.single_spaced:
        assert [spaced(piece) for piece in filled.pieces] == list(filled.pieces)
    if filled.apart:
        relaxed = joined(list(map(spaced, form.literals)), list(map(spaced, filled.pieces))).encode()
        assert relaxed + b"\r\n" == relaxed_lines(made + b"\r\n")


@pytest.mark.parametrize(
    ("literals", "values"),
    [
        (["Dear ", ",\n\n", "\nbye, ", "!\n"], ["Ada", "", "Bob Ray"]),
        (["Dear ", ",\n\n", "Total: 5\n"], ["Ada", "One\n  Two\n\nThree\n"]),
        (["<a href='", "'>one</a>\n<p>", "</p>"], ["x" * 900, "y" * 900]),
        (["a\n", "", "", "b"], ["", "One\nTwo\n", "Three\n"]),
        (["a-", "=b"], ["x"]),
        (["Total: ", " ", "\n"], ["", "EUR"]),
        (["Dear ", ""], ["Ada"]),
        (["From: ", ",\n"], ["me"]),
        (["a\n", "\n"], ["\n".join(["x" * 600] * 3) + "\n"]),
    ],
)
def test_usual_values_leave_a_text_as_it_is(literals: list[str], values: list[str]) -> None:
    form = form_of(literals, range(len(values)))
    assert isinstance(form, PassingForm)
    filled = form.fill(values)
    assert filled is not None
    assert text_of(form, filled) == crlf(filled_text(literals, values))


@pytest.mark.parametrize(
    ("literals", "values"),
    [
        (["<p>", "\n"], ["Ada "]),
        (["<p>", "\n"], ["J\xfcrgen"]),
        (["<p>", "\n"], ["a\nb\n"]),
        (["\n", "\n"], ["From me"]),
        (["\n", " me\n"], ["From"]),
        (["\n", "\n"], ["."]),
        (["\n", "\n"], ["one\nFrom me\n"]),
        (["a", "\n"], ["x" * 998]),
        (["a", "b", "\n"], ["x" * 500, "y" * 497]),
        (["a\n", "\n"], ["x\n" + "y" * 999 + "\n"]),
        (["a", "b"], ["--=_"]),
        (["a--", "b"], ["=_"]),
        (["a", "b"], ["x" * 70_000]),
        (["Total: ", " ", "\n"], ["5", ""]),
    ],
)
def test_values_that_decide_how_a_text_is_sent(literals: list[str], values: list[str]) -> None:
    form = form_of(literals, range(len(values)))
    assert isinstance(form, PassingForm)
    assert form.fill(values) is None


@given(LITERALS, st.lists(VALUES, min_size=5, max_size=5), st.sets(st.integers(0, 4)))
def test_words_need_no_examination(literals: list[str], values: list[str], words: set[int]) -> None:
    """The form that knows them makes the same of them."""
    holes = range(len(literals) - 1)
    words = {hole for hole in words if is_words(values[hole])}
    values = values[: len(holes)]
    form, knowing = form_of(literals, holes), form_of(literals, holes, words)
    assert type(form) is type(knowing)
    if form is not None and knowing is not None:
        assert form.fill(values) == knowing.fill(values)
        assert form.size(values) == knowing.size(values)


def test_a_line_of_known_words_may_be_too_long() -> None:
    form = form_of(["a", "b", "\n"], range(2), words=(1,))
    assert form is not None
    assert form.fill(["x", "y" * 900]) is not None
    assert form.fill(["x" * 100, "y" * 900]) is None


def test_texts_without_a_form() -> None:
    assert form_of(["a\nFro", "b"], [0]) is None, "a value may complete the word"
    assert form_of(["日本語" * 9, ""], [0]) is None, "it is shorter in base64"
    assert form_of(["x"], []) is None, "there are no holes"
    assert isinstance(form_of(["Dear é, ", "b"], [0]), QuotedForm)
