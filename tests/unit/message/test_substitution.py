"""Legacy substitutions, compared with the simplest implementation."""

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.message import substitution
from cluster.message.substitution import CutText, Keys, substitute, substituted_size
from cluster.message.transfer_encoding import octets


@pytest.mark.parametrize(
    ("text", "values", "expected"),
    [
        ("Hello -name-", {"-name-": "Ada"}, "Hello Ada"),
        ("Hello -name-", {"-other-": "x", "": "y"}, "Hello -name-"),
        ("-a- -b- -a-", {"-a-": "-b-", "-b-": "-a-"}, "-b- -a- -b-"),  # a value is text, not another key
        ("-name-s", {"-name-": "short", "-name-s": "long"}, "long"),
        ("a.b|c", {"a.b": "1", "|": "2", "x": "3"}, "12c"),  # keys are literal
        ("aaa", {"aa": "b"}, "ba"),
    ],
)
def test_keys_become_values_in_one_pass(text: str, values: dict[str, str], expected: str) -> None:
    assert substitute(text, values) == expected
    assert Keys(tuple(values)).substitute(text, values) == expected


def plainly(text: str, values: Mapping[str, str]) -> str:
    """Substitutes character by character, the longest key first."""
    names = sorted(filter(None, values), key=len, reverse=True)
    filled, place = "", 0
    while place < len(text):
        name = next((name for name in names if text.startswith(name, place)), None)
        filled += text[place] if name is None else values[name]
        place += 1 if name is None else len(name)
    return filled


LETTERS = "abé日\n"
VALUES = st.dictionaries(st.text(LETTERS, max_size=6), st.text("xyaé日\n", max_size=4), max_size=6)
TEXTS = st.text(LETTERS, max_size=60)


def long_keys(values: Mapping[str, str]) -> dict[str, str]:
    """The values with one more key, which is so long that the library's search is not used where it contains a key."""
    return {**values, "ab" * 40: "long", "a" * 70 + "b": "longer"}


@given(TEXTS, VALUES, st.integers(1, 20), st.booleans())
def test_any_keys_in_any_text(text: str, values: dict[str, str], window: int, is_long: bool) -> None:
    if is_long:
        values, text = long_keys(values), text + "ab" * 41 + "a" * 72 + text
    meant = plainly(text, values)
    assert substitute(text, values) == meant
    assert substituted_size(text, values) == octets(meant)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(substitution, "WINDOW", window)
        keys = Keys(tuple(values))
        assert keys.substitute(text, values) == meant
        assert keys.occur_in(text) == any(name in text for name in values if name)
        for most in (substitution.MOST_HOLES, 2):
            patch.setattr(substitution, "MOST_HOLES", most)
            cut = CutText(text, keys)
            assert cut.fill(values) == meant
            assert cut.size(values) == octets(meant) <= cut.largest


class Counted(str):
    """A text that counts the characters that are read from it."""

    taken = 0

    def __getitem__(self, part: object) -> str:
        piece = str.__getitem__(self, part)  # type: ignore[index]
        Counted.taken += len(piece)
        return piece


def test_keys_within_keys_are_found_in_linear_time() -> None:
    """The library's search would read this text four thousand times, since each ``a`` may begin the long key."""
    keys = Keys(("a", "a" * 4_000 + "b"))
    work = []
    for length in (10_000, 20_000, 40_000):
        Counted.taken = 0
        [found] = keys.matches(Counted("a" * length))
        assert len(found) == length
        work.append(Counted.taken)
    assert work == [10_000, 20_000, 40_000]


@pytest.mark.parametrize(
    ("names", "backwards"),
    [
        (("-name-", "-name-s"), False),
        (tuple("a" * count + "b" for count in range(1, 139)), False),  # each contains others, but only at its end
        (("a", "a" * 64), False),  # read again, but not often
        (("a", "a" * 65), True),
        (("ab", "x" * 40 + "ab" + "y" * 40), True),
    ],
)
def test_the_library_finds_keys_except_where_it_would_read_again_and_again(
    names: tuple[str, ...], backwards: bool
) -> None:
    Counted.taken = 0
    assert list(Keys(names).matches(Counted("no keys"))) == [[]]
    assert bool(Counted.taken) == backwards, "the library does not ask Python for the characters"


def test_a_size_is_known_without_making_the_text() -> None:
    assert substituted_size("a" * 150_000, {"a": "b" * 9_990}) == 150_000 * 9_990
    assert CutText("a" * 150_000, Keys(("a",))).literals is None  # so many pieces are not kept either
