"""Compiled templates give what handlebars.js gives: contexts, depths, frames, block parameters and helpers."""

from typing import Any

import pytest

from cluster.templates.handlebars.bounds import Budget
from cluster.templates.handlebars.errors import TemplateError
from cluster.templates.handlebars.text import compile_text

Data = dict[str, Any]


def rendered(source: str, data: Data, *, is_html: bool = True) -> str:
    return compile_text(source, is_html=is_html).whole(data, Budget())


# Each is the answer of handlebars.js 4.7.
VALUES: list[tuple[str, Data, str]] = [
    ("Hi {{name}}!", {"name": "Ann"}, "Hi Ann!"),
    ("{{a}}{{b.c}}{{d.e.f}}", {}, ""),
    ("{{a.b.c}}", {"a": {"b": {"c": 5}}}, "5"),
    ("{{a.b}}|{{{a.b}}}|{{&a.b}}", {"a": {"b": "<&>\"'`="}}, "&lt;&amp;&gt;&quot;&#x27;&#x60;&#x3D;|<&>\"'`=|<&>\"'`="),
    ("{{a}} {{b}} {{c}} {{d}} {{e}}", {"a": 0, "b": False, "c": None, "d": "", "e": 2.50}, "0 false   2.5"),
    ("{{this}}|{{.}}|{{this.a}}|{{./a}}", {"a": 1}, "[object Object]|[object Object]|1|1"),
    ("{{a.length}} {{a.[1]}} {{s.length}}", {"a": [4, 5], "s": "abc"}, "2 5 3"),
    ('{{"a b"}} {{12}} {{null}} {{true}}', {"a b": 1, "12": 2, "null": 3, "true": 4}, "1 2 3 4"),
    ("{{@root.a}} {{@root.b.c}} {{@index}}{{@unknown.x}}", {"a": 1, "b": {"c": 2}}, "1 2 "),
    ('{{lookup a 1}} {{lookup o "k"}} {{lookup nope "k"}}', {"a": [1, 2], "o": {"k": 3}}, "2 3 "),
]

BLOCKS: list[tuple[str, Data, str]] = [
    ("{{#if a}}A{{else if b}}B{{else}}C{{/if}}", {"b": 1}, "B"),
    ("{{#if a}}A{{else if b}}B{{else}}C{{/if}}", {"a": []}, "C"),
    ("{{#if a}}A{{/if}}{{#unless a}}N{{/unless}}", {"a": {}}, "A"),
    ("{{#unless a}}N{{else}}Y{{/unless}}", {"a": 0}, "N"),
    ("{{#if a includeZero=true}}A{{/if}}{{#unless a includeZero=b}}N{{/unless}}", {"a": 0}, "AN"),
    ("{{#each a}}{{this}}{{@index}}{{@key}}{{@first}}{{@last}};{{/each}}", {"a": "xy"}, ""),
    ("{{#each a}}{{this}}{{@index}}{{@key}}{{@first}}{{@last}};{{/each}}", {"a": [7, 8]}, "700truefalse;811falsetrue;"),
    (
        "{{#each a}}{{this}}{{@key}}{{@index}}{{@first}}{{@last}};{{/each}}",
        {"a": {"b": 1, "2": 2, "1": 3}},
        "310truefalse;221falsefalse;1b2falsetrue;",
    ),
    ("{{#each a}}x{{else}}none {{b}}{{/each}}", {"a": [], "b": 1}, "none 1"),
    (
        "{{#each a}}{{../b}}{{#each c}}{{../../b}}{{../d}}{{this}}{{/each}}{{/each}}",
        {"a": [{"c": [1], "d": 2}], "b": 3},
        "3321",
    ),
    ("{{#each a}}{{#if true}}{{../b}}{{this}}{{/if}}{{/each}}", {"a": [1], "b": 3}, "31"),
    ("{{#with a}}{{b}}{{../c}}{{else}}none{{/with}}", {"a": {"b": 1}, "c": 2}, "12"),
    ("{{#with a}}x{{else}}none{{c}}{{/with}}", {"a": [], "c": 2}, "none2"),
    ("{{#with a}}{{this}}{{/with}}", {"a": 0}, "0"),
    ("{{#a}}{{b}}{{/a}}{{^a}}no{{/a}}", {"a": [{"b": 1}, {"b": 2}]}, "12"),
    ("{{#a}}{{b}}{{/a}}{{^a}}no{{/a}}", {"a": {"b": 1}}, "1"),
    ("{{#a}}{{b}}{{/a}}{{^a}}no{{/a}}", {"a": True, "b": 3}, "3"),
    ("{{#a}}[{{.}}]{{/a}}{{^a}}no{{/a}}", {"a": 0}, "[0]"),
    ("{{#a}}[{{.}}]{{/a}}{{^a}}no{{/a}}", {"a": []}, "no"),
    ("{{#a}}{{@index}}{{.}}{{/a}}", {"a": [5, 6]}, "0516"),
    ("{{#each a}}{{#../b}}{{@index}}{{@../index}};{{/../b}}{{/each}}", {"a": [0, 1], "b": [5, 6]}, "00;10;01;11;"),
    ("{{#each a}}{{#../b}}{{@index}}{{/../b}}{{/each}}", {"a": [0, 1], "b": True}, "01"),
    (
        "{{#each a}}{{#each ../a}}{{@../index}}{{@../../index}}{{@index}} {{/each}}{{/each}}",
        {"a": [1, 2]},
        "00 01 10 11 ",
    ),
    ("{{#each a}}{{#with ../b}}{{@index}}{{/with}}{{/each}}", {"a": [1], "b": {"c": 1}}, "0"),
]

PARAMETERS: list[tuple[str, Data, str]] = [
    ("{{#each a as |x i|}}{{x.b}}{{i}}{{/each}}", {"a": [{"b": 5}, {"b": 6}]}, "5061"),
    ("{{#each a as |x k z|}}{{x}}{{k}}{{z}}{{/each}}", {"a": {"p": 1}, "z": 9}, "1p"),
    ("{{#each a as |x|}}{{#each x as |y|}}{{x.length}}{{y}}{{/each}}{{/each}}", {"a": [[1, 2]]}, "2122"),
    ("{{#each a as |x y|}}{{../y}}{{this.y}}{{y}}{{./y}}{{/each}}", {"a": ["a"], "y": 1}, "10"),
    ("{{#with a as |x|}}{{#with x.b as |y|}}{{x.d}}{{y}}{{../d}}{{/with}}{{/with}}", {"a": {"b": "q", "d": 5}}, "5q5"),
    ("{{#a as |x i|}}{{x}}{{i}}{{/a}}", {"a": [5, 6]}, "5061"),
    ("{{#a as |x|}}[{{x}}{{b}}]{{/a}}", {"a": {"b": 1}}, "[1]"),
    ("{{#each a as |if|}}{{if}}{{/each}}", {"a": [1]}, "1"),
    ("{{#each a as |index|}}{{@index}}{{/each}}", {"a": ["x"]}, "x"),
]

ODDITIES: list[tuple[str, Data, str]] = [
    # What is false on the way ends a path that begins with @.
    ("{{@root.a.b}}|{{@root.c.d.e}}|{{@root.f.g}}|{{a.b}}", {"a": 0, "c": {"d": False}, "f": []}, "0|false||"),
    ("{{#each a}}{{@index.b}}{{@first.c}},{{/each}}", {"a": [1, 2]}, "0,false,"),
    # A null context: helpers get an object in its place.
    ("{{#each a}}{{#if true}}{{this}}{{/if}}{{this}}|{{/each}}", {"a": [None, 1]}, "[object Object]|11|"),
    # handlebars.js compares contexts by ==, and adds a level only where they differ.
    ("{{#each a}}[{{../y}}]{{/each}}", {"a": ["[object Object]", 1], "y": 5}, "[][5]"),
    ("{{#with a}}{{#each this}}{{../y}}{{../length}}{{/each}}{{/with}}", {"a": ["a"], "y": 5}, "5"),
    ("{{#each a}}{{#each ../b}}{{../y}}{{/each}};{{/each}}", {"a": [""], "b": [0, 1, False, "0"], "y": 7}, "77;"),
    ("{{#each a}}{{#each this}}{{../../y}}{{/each}}{{/each}}", {"a": [[1]], "y": 7}, ""),
    ("{{#each a}}{{#with this}}{{../y}}{{/with}}{{/each}}", {"a": [{"y": 1}], "y": 2}, "2"),
    (
        "{{#each a}}{{#a}}[{{@index}}{{../y}}]{{/a}}{{/each}}",
        {"a": [{"a": {"y": 1}}, {"a": True, "y": 9}, {"a": [4]}], "y": 2},
        "[0][12][0]",
    ),
]


@pytest.mark.parametrize(("source", "data", "expected"), VALUES + BLOCKS + PARAMETERS + ODDITIES)
def test_templates_give_what_handlebars_js_gives(source: str, data: Data, expected: str) -> None:
    assert rendered(source, data) == expected


def test_only_html_is_escaped() -> None:
    assert rendered("{{a}}", {"a": "<&"}, is_html=False) == "<&"
    assert rendered("{{a}}", {"a": "<&"}) == "&lt;&amp;"


def test_literals_and_holes_alternate() -> None:
    text = compile_text("a{{b}}{{#if c}}d{{e}}{{/if}}f", is_html=True)
    assert (text.literals, text.holes) == (("a", "", "f"), 2)
    assert text.fill({"b": 1, "c": 2, "e": 3}, Budget()) == ("1", "d3")


def test_a_text_without_tags_has_no_holes() -> None:
    text = compile_text("nothing here", is_html=True)
    assert (text.literals, text.holes, text.fill({}, Budget())) == (("nothing here",), 0, ())


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("{{a}}{{b.c}}{{@root.d}}", {("a",), ("b", "c"), ("d",)}),
        ("{{#each a}}{{b}}{{../c}}{{@root.d.e}}{{/each}}", {("a",), ("c",), ("d", "e")}),
        ("{{#if a}}{{b}}{{else}}{{c}}{{/if}}", {("a",), ("b",), ("c",)}),
        ("{{#each a as |x|}}{{x.y}}{{/each}}{{insert b 'default=c'}}", {("a",), ("b",)}),
        ("{{#with this as |x|}}{{x.y}}{{z}}{{/with}}", {(), ("y",), ("z",)}),
        ("{{lookup this a}}", {(), ("a",)}),
        ("{{@index}}{{@key.a}}", set()),
    ],
)
def test_names_are_the_paths_read_at_the_root(source: str, names: set[tuple[str, ...]]) -> None:
    assert compile_text(source, is_html=True).names == names


@pytest.mark.parametrize(
    ("source", "reason", "column"),
    [
        ("ab{{foo 1}}", "There is no helper foo.", 5),
        ("{{a.b 1}}", "There is no helper a.b.", 3),
        ("{{foo a=1}}", "There is no helper foo.", 3),
        ("{{#foo 1}}{{/foo}}", "There is no helper foo.", 4),
        ("{{insert (foo) 'a'}}", "There is no helper foo.", 11),
        ("{{insert a 'b' x=(foo)}}", "There is no helper foo.", 19),
        ("{{#if a as |b|}}{{/if}}", "#if has no block parameters.", 4),
    ],
)
def test_what_cannot_be_compiled_is_named_with_its_place(source: str, reason: str, column: int) -> None:
    with pytest.raises(TemplateError) as caught:
        compile_text(source, is_html=True)
    assert (caught.value.reason, caught.value.line, caught.value.column) == (reason, 1, column)
