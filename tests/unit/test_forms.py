"""Releases side by side: what is said and stored in one form is understood one release back and forth."""

import ast
import importlib
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec import Struct

from cluster.policy.forms import FORMS, READABLE_BACK, Form, work_together
from cluster.starting import why_not_beside
from tests.forms import (
    EXCERPTS,
    RECORDED,
    STORED,
    between_actors,
    decode,
    encode,
    example,
    example_of_all,
    excerpt,
    files,
    is_part_of,
    later_pickle,
    later_stored,
    name_of,
    understood,
)

READABLE = [folder for folder in sorted(RECORDED.iterdir()) if work_together(FORMS, int(folder.name))]

ROOT = Path(__file__).parents[2]
DECODING = {f"msgspec.{encoding}.{name}" for encoding in ("json", "msgpack") for name in ("Decoder", "decode")}
FROM_OUTSIDE = {
    "analytics.door.proxied: dict[str, str]",  # ClickHouse
    "cluster.access.claims: _Claims",
    "cluster.commands.shaping_diff: Row",  # ClickHouse
    "cluster.installation.base_backup: _Manifest",  # Postgres
    "cluster.templates.compiled: dict[str, Any]",  # the data that a client gave for its template
    "cluster.webhooks.bundles: list[msgspec.Raw]",  # a list of what is recorded
    "cluster.webhooks.oauth: _Answer",
}
"""What other programs have written."""


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


def test_all_that_the_product_decodes_is_recorded_or_comes_from_outside() -> None:
    kept = [hint for hint, _ in STORED.values()] + [hint for some in EXCERPTS.values() for hint in some]
    found = [(f"{module}: {source}", hint) for module, source, hint in decoded()]
    assert [what for what, hint in found if hint not in kept and what not in FROM_OUTSIDE] == []
    assert {what for what, _ in found} >= FROM_OUTSIDE


def decoded() -> Iterator[tuple[str, str, Any]]:
    """The types that the product, but for the API's bodies, decodes with msgspec: the module, the type as it is written
    there, and the type."""
    for path in sorted(path for room in ("actors", "analytics", "cluster") for path in (ROOT / room).rglob("*.py")):
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for call in filter(is_decoding, ast.walk(ast.parse(path.read_text(encoding="utf-8")))):
            assert isinstance(call, ast.Call)
            is_decoder = ast.unparse(call.func).endswith("Decoder")
            for hint in [one.value for one in call.keywords if one.arg == "type"] or call.args[:is_decoder]:
                source = ast.unparse(hint)
                yield module, source, eval(source, dict(vars(importlib.import_module(module))))


def is_decoding(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and ast.unparse(node.func) in DECODING


@pytest.mark.parametrize(("name", "hint"), [(name, hint) for name, some in EXCERPTS.items() for hint in some])
def test_what_is_read_alone_says_the_same(name: str, hint: Any) -> None:
    whole, encoding = STORED[name]
    value = example_of_all(whole)
    now = encode(value, encoding)
    for data in (now, later_stored(value, encoding), *_recorded(f"{name}.{encoding}")):
        some, all_of_it = excerpt(data, encoding, hint)
        assert some
        assert is_part_of(some, all_of_it)


def _recorded(name: str) -> list[bytes]:
    return [(folder / name).read_bytes() for folder in READABLE if (folder / name).exists()]


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
