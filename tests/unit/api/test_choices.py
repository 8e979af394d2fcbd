"""A fault of a value that is not of a list names the list, wherever in a body it is."""

from enum import StrEnum
from typing import Literal

import msgspec
import pytest
from msgspec import Struct

from api.http.choices import choices, listed
from api.http.decoding import decode
from api.http.places import written
from api.http.refusals import Unparseable


class Colour(StrEnum):
    RED = "red"
    GREEN = "green"


class Inner(Struct, rename={"kind": "type"}):
    kind: Literal["a", "b", "c"] | None = None
    number: Literal[0, 1] = 0


class Outer(Struct):
    inner: Inner | None = None
    many: list[Inner] = []
    by_name: dict[str, Colour] = {}
    colours: list[Colour] | None = None
    plain: str = ""


_decoder = msgspec.json.Decoder(Outer)


@pytest.mark.parametrize(
    ("body", "field", "said"),
    [
        (b'{"inner": {"type": "x"}}', "inner.type", "Must be a, b or c"),
        (b'{"many": [{}, {"number": 7}]}', "many[1].number", "Must be 0 or 1"),
        (b'{"by_name": {"x": "blue"}}', "by_name[...]", "Must be red or green"),
        (b'{"colours": ["red", "blue"]}', "colours[1]", "Must be red or green"),
        (b'{"inner": {"type": 5}}', "inner.type", "Must be a string or null, not an integer"),
    ],
)
def test_a_body(body: bytes, field: str, said: str) -> None:
    with pytest.raises(Unparseable) as refused:
        decode(_decoder, body)
    assert refused.value.detail == said
    assert written(refused.value.place) == field


def test_types() -> None:
    assert choices(bool | None) == ["true", "false"]
    assert choices(Outer, ("plain",)) == choices(Outer, ("nothing", 3)) == choices(str) == choices(object()) == []
    assert (listed([]), listed(["a"]), listed(["a", "b", "c"])) == ("", "a", "a, b or c")
