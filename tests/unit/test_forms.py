"""Releases side by side: what is said and stored in one form is understood one release back and forth."""

import pickle
from pathlib import Path

import pytest
from msgspec import Struct

from cluster.policy.forms import FORMS, READABLE_BACK, Form, work_together
from cluster.starting import why_not_beside
from tests.forms import (
    RECORDED,
    STORED,
    between_actors,
    decode,
    encode,
    example,
    example_of_all,
    files,
    is_part_of,
    later_pickle,
    later_stored,
    name_of,
    understood,
)

READABLE = [folder for folder in sorted(RECORDED.iterdir()) if work_together(FORMS, int(folder.name))]


class Letter(Form, frozen=True, kw_only=True):
    """A form, as of the present release."""

    to: str
    lines: tuple[str, ...] = ()


def test_every_struct_between_actors_is_a_form() -> None:
    assert [name_of(kind) for kind in between_actors() if not issubclass(kind, Form)] == []


def test_a_field_that_is_not_known_is_left_out_and_one_that_is_missing_has_its_default() -> None:
    letter = Letter(to="ada", lines=("a", "b"))
    assert pickle.loads(pickle.dumps(letter)) == letter
    assert pickle.loads(later_pickle(letter)) == letter
    rebuild, (kind, fields) = letter.__reduce__()
    del fields["lines"]
    assert rebuild(kind, fields) == Letter(to="ada")
    del fields["to"]
    with pytest.raises(TypeError, match="to"):
        rebuild(kind, fields)


@pytest.mark.parametrize("kind", between_actors(), ids=name_of)
def test_what_a_later_release_says_with_more_fields_is_understood(kind: type[Struct]) -> None:
    value = example(kind)
    assert b"of_a_later_release" in later_pickle(value)
    assert pickle.loads(later_pickle(value)) == value


@pytest.mark.parametrize("name", STORED)
def test_what_a_later_release_stores_with_more_fields_is_understood(name: str) -> None:
    hint, encoding = STORED[name]
    value = example_of_all(hint)
    assert decode(later_stored(value, encoding), encoding, hint) == decode(encode(value, encoding), encoding, hint)


def test_the_forms_of_this_release_and_of_the_one_before_are_recorded() -> None:
    folders = {int(folder.name) for folder in READABLE}
    assert folders >= {number for number in range(FORMS - READABLE_BACK, FORMS + 1) if number > 0}
    missing = [name for name, _ in files() if not (RECORDED / str(FORMS) / name).exists()]
    assert missing == [], "record them: python -m tests.forms"


@pytest.mark.parametrize(
    "path",
    [path for folder in READABLE for path in sorted(folder.iterdir())],
    ids=lambda path: f"{path.parent.name}/{path.name}",
)
def test_what_was_recorded_is_understood(path: Path) -> None:
    """All that a recorded form says is in what today's code makes of it."""
    assert is_part_of(*understood(path))


@pytest.mark.parametrize(
    ("ours", "theirs", "they_do"), [(1, 1, True), (2, 1, True), (1, 2, True), (3, 1, False), (1, 3, False)]
)
def test_releases_work_side_by_side_one_number_back_and_forth(ours: int, theirs: int, they_do: bool) -> None:
    assert work_together(ours, theirs) is they_do


@pytest.mark.parametrize(
    ("told", "why"),
    [
        ([("here", FORMS)], ""),
        ([("here", FORMS), ("here", FORMS + 1), ("here", FORMS - 1)], ""),
        ([], "do not answer"),
        ([("elsewhere", FORMS)], "with another journal"),
        ([("here", FORMS), ("here", FORMS + 2)], "too far from this one"),
        ([("here", FORMS - 2)], "too far from this one"),
    ],
)
def test_up_joins_actors_of_releases_that_it_understands(told: list[tuple[str, int]], why: str) -> None:
    said = why_not_beside(told, "here")
    assert why in said
    assert bool(said) == bool(why)
