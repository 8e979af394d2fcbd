"""Data in which nothing is escaped for html is not searched for it, and prints the same."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.templates.compiled import CompiledTemplate, compile_texts, decode_data, is_plain
from cluster.templates.texts import TemplateTexts

LETTER = compile_texts(
    TemplateTexts(
        plain="{{name}}",
        html='<p>{{name}} {{{name}}} {{#each items}}{{this}}{{x}}{{/each}}{{#with "<a>"}}{{[0]}}{{/with}}</p>',
    )
)
TEXTS = st.text(st.sampled_from("a&<>=\"'`\\é\n"), max_size=6)


def filled(template: CompiledTemplate, data: bytes, **known: bool) -> tuple[tuple[str, ...], ...]:
    return template.fill(decode_data(data), **known).holes


@given(TEXTS, st.lists(TEXTS | st.integers() | st.fixed_dictionaries({"x": TEXTS}), max_size=3))
def test_plain_data_prints_as_any_data(name: str, items: list[Any]) -> None:
    data = msgspec.json.encode({"name": name, "items": items})
    assert filled(LETTER, data, is_plain=is_plain(data)) == filled(LETTER, data)


@pytest.mark.parametrize("character", list("&<>='`\"\\"))
def test_any_character_that_is_escaped_is_seen(character: str) -> None:
    for data in (msgspec.json.encode({"name": f"a{character}"}), b'{"name":"\\u%04x"}' % ord(character)):
        assert not is_plain(data)
    assert is_plain(msgspec.json.encode({"name": "Ada é", "number": 7}))
