"""Tags that are filled together print what each of them prints by itself, and take as much from the budget."""

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cluster.templates.handlebars import compiling
from cluster.templates.handlebars.bounds import Budget
from cluster.templates.handlebars.errors import TooMuch
from cluster.templates.handlebars.filling import Filling
from cluster.templates.handlebars.text import CompiledText, compile_text

NAMES = st.sampled_from(["a", "b", "c", "d-e"])
LITERALS = st.sampled_from(["", "x", " % ", "%s", "%(a)s", "<p>", "é\n"])
TAGS = NAMES.map(lambda name: f"{{{{{name}}}}}") | NAMES.map(lambda name: f"{{{{{{{name}}}}}}}")
OTHERS = st.sampled_from(["{{this}}", "{{@index}}", "{{../a}}", "{{c.a}}", "{{c.length}}", "{{or a b}}"])
BODIES = st.lists(LITERALS | TAGS, max_size=5).map("".join)
BLOCKS = st.builds(
    lambda name, subject, body, end: f"{{{{#{name} {subject}}}}}{body}{end}{{{{/{name}}}}}",
    st.sampled_from(["each", "if", "unless", "with"]),
    NAMES | st.just("this"),
    BODIES | st.tuples(BODIES, OTHERS).map("".join),
    st.sampled_from(["", "", "{{else}}no {{b}}"]),
) | NAMES.flatmap(lambda name: BODIES.map(lambda body: f"{{{{#{name}}}}}{body}{{{{/{name}}}}}"))
TEMPLATES = st.lists(LITERALS | TAGS | BLOCKS | OTHERS, max_size=6).map("".join)
TEXTS = st.sampled_from(["", "Ann", "O'Neil & <Co>", "%s", "é", "x" * 50])
SCALARS = TEXTS | st.sampled_from([0, 7, -(2**70), True, False, None, 2.5, 1e30])
DATA = st.dictionaries(NAMES, SCALARS | st.lists(SCALARS) | st.lists(st.dictionaries(NAMES, SCALARS, max_size=4)))


def by_themselves(source: str, *, is_html: bool) -> CompiledText:
    """The text, each of whose tags is filled by itself."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compiling._Compiler, "_property", lambda *_: None)
        patch.setattr(compiling._Compiler, "_rows", lambda *_: None)
        return compile_text(source, is_html=is_html)


def outcome(text: CompiledText, data: dict[str, Any], budget: Budget) -> tuple[str, int, int] | None:
    """What is printed, and what is left; None where it is too much."""
    try:
        return text.whole(data, budget), budget.steps, budget.output
    except TooMuch:
        return None


@given(TEMPLATES, DATA, st.booleans(), st.integers(0, 300))
@example("{{#each a}}{{b}}%{{/each}}", {"a": [{"b": 1}, {"b": "x"}]}, True, 300)
@example("{{#each a}}{{b}}{{/each}}", {"a": [{"b": 1}, {}, 3, None]}, True, 300)
@example("{{a}}{{b}}", {"a": True, "b": 1.5}, False, 300)
@example("{{#each a}}{{b}}{{b}}{{/each}}", {"a": [{"b": "x" * 200}]}, False, 300)
def test_they_print_what_they_print_alone(source: str, data: dict[str, Any], is_html: bool, output: int) -> None:
    together, alone = compile_text(source, is_html=is_html), by_themselves(source, is_html=is_html)
    assert together.literals == alone.literals
    assert together.names == alone.names
    for plain in {False, "O'Neil" not in repr(data)}:
        found = [outcome(text, data, Budget(1000, output, is_plain=plain)) for text in (together, alone)]
        assert found[0] == found[1]


def test_a_number_with_too_many_digits_is_too_much() -> None:
    for source in ("{{a}}", "{{#if a}}x{{a}}{{/if}}", "{{#each l}}{{a}}{{/each}}"):
        text = compile_text(source, is_html=False)
        with pytest.raises(TooMuch):
            text.whole({"a": 10**5000, "l": [{"a": 10**5000}]}, Budget(output=10**9))


def test_most_templates_need_nothing_else() -> None:
    text = compile_text("{{name}}: {{#each l}}{{a}}, {{/each}}{{#if b}}{{b}}{{/if}}; {{name}}", is_html=True)
    assert not text.compiled.roots
    assert (
        text.whole({"name": "Ann", "l": [{"a": 1}, {"a": "x"}], "b": 2}, Budget(is_plain=True)) == "Ann: 1, x, 2; Ann"
    )


@given(TEMPLATES, TEMPLATES, DATA)
@example("{{a}}{{#each b}}{{c}}{{/each}}", "{{{a}}}-{{#each b}}<b>{{c}}</b>{{/each}}{{a}}", {"b": [{"c": 1}]})
@example("{{#if a}}{{a}}{{/if}}{{b}}", "{{#if a}}{{a}} & {{/if}}{{b}}", {"a": "O'Neil", "b": "<"})
def test_texts_that_are_filled_together_say_what_each_says_alone(one: str, other: str, data: dict[str, Any]) -> None:
    texts = [compile_text(one, is_html=False), compile_text(other, is_html=True)]
    filling = Filling([text.compiled for text in texts])
    for plain in {False, "O'Neil" not in repr(data)}:
        together, alone = Budget(is_plain=plain), Budget(is_plain=plain)
        assert filling.fill(data, together) == [text.fill(data, alone) for text in texts]
        assert (together.steps, together.output) == (alone.steps, alone.output)
