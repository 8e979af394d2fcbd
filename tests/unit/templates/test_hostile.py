"""Templates and data that are made to do harm: nothing of Python is reachable, work is bounded by count, and neither
deep nor large templates break the compiler."""

import ast
import sys
import tracemalloc
from collections.abc import Callable
from functools import reduce
from typing import Any

import pytest
from jinja2.sandbox import SandboxedEnvironment

from cluster.templates.handlebars.bounds import MOST_OUTPUT, MOST_STEPS, Budget
from cluster.templates.handlebars.environment import HandlebarsEnvironment
from cluster.templates.handlebars.errors import TemplateError, TooMuch
from cluster.templates.handlebars.expressions import ENVIRONMENT
from cluster.templates.handlebars.running import FUNCTIONS
from cluster.templates.handlebars.text import compile_text

LEVELS = 100


def rendered(source: str, data: dict[str, Any], budget: Budget | None = None) -> str:
    return compile_text(source, is_html=True).whole(data, budget or Budget())


@pytest.fixture
def generated(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The Python code of everything that is compiled from now on."""
    sources: list[str] = []
    compile_nodes = HandlebarsEnvironment.compile

    def recording(self: HandlebarsEnvironment, source: Any, name: str, filename: str) -> Any:
        sources.append(compile_nodes(self, source, name, filename, raw=True))
        return compile_nodes(self, source, name, filename)

    monkeypatch.setattr(HandlebarsEnvironment, "compile", recording)
    return sources


# Nothing of Python is reachable.

ATTRIBUTES = [
    "__class__",
    "__init__",
    "__globals__",
    "__proto__",
    "__dict__",
    "__len__",
    "constructor",
    "prototype",
    "toString",
    "format",
    "keys",
    "items",
    "append",
    "real",
]


@pytest.mark.parametrize("name", ATTRIBUTES)
def test_no_attribute_of_a_value_is_reachable(name: str) -> None:
    data = {"dict": {"a": 1}, "list": [1], "text": "a", "number": 1, "fraction": 1.5, "flag": True, "null": None}
    source = "{{@root.NAME}}{{@NAME}}{{#each list as |x|}}{{x.NAME}}{{this.NAME.NAME}}{{/each}}"
    for holder in ("this", *data, "missing"):
        reads = "{{H.NAME}}{{H.NAME.NAME}}{{lookup H 'NAME'}}{{#with H}}{{this.NAME}}{{/with}}"
        source += reads.replace("H", holder)
    assert rendered(source.replace("NAME", name), data) == ""


@pytest.mark.parametrize("name", ATTRIBUTES)
def test_data_with_such_names_is_data(name: str) -> None:
    assert rendered(f"{{{{a.{name}}}}}{{{{lookup a '{name}'}}}}", {"a": {name: "x"}}) == "xx"


@pytest.mark.parametrize("text", ["{{b}}", "{% raw %}", "{{ 7*7 }}", "{0.__class__}", "%(a)s", "${a}", "\\{{b}}", "{#"])
def test_what_data_and_literals_say_is_never_read_as_a_template(text: str) -> None:
    assert rendered("{{{a}}}", {"a": text, "b": "no"}) == text
    assert rendered("{% raw %}{% for x in y %}{# no #}%s{a}", {}) == "{% raw %}{% for x in y %}{# no #}%s{a}"


NAMES = [
    "a-b",
    "[a b]",
    "[x') or exit('']",
    "[\t]",
    "['''\\x]",
    "[\ud800]",
    "é",
    "[" + "k" * 100_000 + "]",
    "None",
    "self",
]


@pytest.mark.parametrize("name", NAMES, ids=lambda name: ascii(name[:12]))
def test_names_are_strings_of_the_generated_code_and_nothing_else(name: str, generated: list[str]) -> None:
    key = name.strip("[]")
    source = "{{NAME}}{{#each NAME}}{{this}}{{../NAME.length}}{{#if @first}}y{{/if}}{{/each}}".replace("NAME", name)
    assert rendered(source, {key: ["v"]}) == "vv1y"
    for code in generated:
        _require_harmless(ast.parse(code))


def _require_harmless(module: ast.Module) -> None:
    """The root function calls only filters, and what makes and joins lists of strings."""
    (root,) = [node for node in module.body if isinstance(node, ast.FunctionDef)]
    for node in ast.walk(root):
        match node:
            case ast.Call(func=ast.Name(id=called)):
                assert (
                    called == "concat"
                    or called[:2] == "t_"
                    or called in ("resolve", "undefined", "TemplateRuntimeError")
                )
            case ast.Call(func=ast.Attribute(attr=called)):
                assert called in ("append", "extend")
            case ast.Attribute(attr=name):
                assert name in ("append", "extend", "filters", "concat", "undefined", "resolve_or_missing")
            case ast.Call() | ast.Import() | ast.ImportFrom() | ast.Global() | ast.Lambda():
                pytest.fail(ast.dump(node))


def test_the_sandbox_has_the_filters_of_handlebars_and_nothing_else() -> None:
    assert isinstance(ENVIRONMENT, SandboxedEnvironment)
    assert (ENVIRONMENT.filters, ENVIRONMENT.globals, ENVIRONMENT.tests) == (FUNCTIONS, {}, {})


def test_the_environment_reads_no_source_text() -> None:
    for read in (ENVIRONMENT.from_string, ENVIRONMENT.parse, ENVIRONMENT.compile):
        with pytest.raises(NotImplementedError):
            read("{{ x }}")


# Work is bounded by count.


def test_nested_loops_are_refused_before_they_run() -> None:
    text = compile_text("{{#each x}}{{#each ../x}}{{this}}{{/each}}{{/each}}", is_html=True)
    budget = Budget()
    with pytest.raises(TooMuch) as caught:
        text.fill({"x": [""] * 1_000}, budget)
    assert caught.value.reason == "The template takes more than 100,000 steps."
    assert budget.steps > -10_000


@pytest.mark.parametrize(
    ("source", "steps"),
    [
        ("", 1),
        ("{{a}}", 2),
        ("{{a}}{{length (insert a 'b')}}", 4),
        ("{{#if a}}{{a}}{{else}}{{a}}{{a}}{{/if}}", 5),
        ("{{#each l}}{{this}}{{/each}}", 8),
        ("{{#each l}}{{#if this}}x{{/if}}{{/each}}", 11),
        ("{{#each a}}{{this}}{{else}}{{a}}{{/each}}", 4),
        ("{{#with l}}{{this.length}}{{/with}}", 4),
        ("{{#l}}{{this}}{{/l}}{{#a}}x{{/a}}{{^a}}x{{/a}}", 11),
        ("{{l}}", 5),
    ],
)
def test_each_tag_item_and_branch_is_a_step(source: str, steps: int) -> None:
    budget = Budget(steps, 1_000)
    rendered(source, {"l": [1, 2, 3]}, budget)
    assert budget.steps == 0
    with pytest.raises(TooMuch):
        rendered(source, {"l": [1, 2, 3]}, Budget(steps - 1, 1_000))


@pytest.mark.parametrize(
    "source",
    [
        "aé{{b}}c",
        "{{{b}}}{{{n}}}",
        "{{#if b}}abc{{else}}0123456789{{/if}}{{b}}",
        "{{#each l}}ab{{this}}{{../b}}{{/each}}",
        "{{#each n}}0123456789{{else}}abc{{/each}}",
        "{{#with b}}ab{{this}}{{/with}}{{#b}}{{.}}{{/b}}{{^b}}0123456789{{/b}}",
        "{{l}}{{lookup l 0}}{{insert x 'default=<'}}",
    ],
)
def test_every_character_of_the_output_counts_once(source: str) -> None:
    data = {"b": "<&>", "n": 125, "l": [10, 200, "="]}
    for is_html in (True, False):
        text = compile_text(source, is_html=is_html)
        size = len(text.whole(data, Budget()))
        assert text.whole(data, Budget(1_000, size))
        with pytest.raises(TooMuch):
            text.whole(data, Budget(1_000, size - 1))


def test_the_largest_output_is_allowed_and_one_more_is_not() -> None:
    assert len(rendered("{{#each l}}{{{../t}}}{{/each}}", {"l": [0] * 1_024, "t": "x" * 1_024})) == MOST_OUTPUT
    with pytest.raises(TooMuch):
        rendered("{{#each l}}{{{../t}}}{{/each}}!", {"l": [0] * 1_024, "t": "x" * 1_024})


@pytest.mark.parametrize(
    "source",
    [
        "{{#each l}}{{../t}}{{/each}}",
        "{{#each l}}{{../l}}{{/each}}",
        "{{#each l}}{{#each ../l}}{{#each ../../l}}{{@index}}{{/each}}{{/each}}{{/each}}",
        "{{#each l}}" + "x" * 10_000 + "{{/each}}",
        "{{#each o}}{{@key}}{{#each ../o}}{{this}}{{/each}}{{/each}}",
    ],
)
def test_a_run_that_is_refused_takes_little_memory(source: str) -> None:
    text = compile_text(source, is_html=True)
    data = {"l": ["<" * 50] * 20_000, "t": "<" * 100_000, "o": {str(i): i for i in range(20_000)}}
    tracemalloc.start()
    try:
        with pytest.raises(TooMuch):
            text.fill(data, Budget())
        assert tracemalloc.get_traced_memory()[1] < 12 * MOST_OUTPUT
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "source",
    [
        "{{#each l}}{{#if (lookup ../o ../m)}}{{/if}}{{/each}}",
        "{{#with m}}{{#each ../l}}{{../y}}{{/each}}{{/with}}",
        "{{#each l}}{{#if (equals ../t ../u)}}{{/if}}{{/each}}",
        "{{#each l}}{{#if (greaterThan ../t ../u)}}{{/if}}{{/each}}",
        "{{#each l}}{{#if (formatDate 0 ../t)}}{{/if}}{{/each}}",
    ],
)
def test_work_on_long_texts_that_print_nothing_is_counted(source: str) -> None:
    text = "9" * 100_000
    data = {"l": [0] * 10_000, "o": {}, "m": [text], "t": text, "u": text + "1"}
    with pytest.raises(TooMuch):
        rendered(source, data)


# Deep and large.


def _nested(levels: int) -> dict[str, Any]:
    return reduce(lambda inner, level: {"x": [inner], "n": level}, range(levels), {})


DEEP: list[tuple[str, dict[str, Any], str]] = [
    ("{{#each x}}" * 100 + "{{n}}{{../n}}{{@root.n}}{{@first}}" + "{{/each}}" * 100, _nested(101), "01100true"),
    ("{{#each x}}" * 100 + "{{" + "../" * 100 + "n}}" + "{{/each}}" * 100, _nested(100), "99"),
    ("{{#each x as |y i|}}" * 100 + "{{y.n}}{{i}}{{@../index}}" + "{{/each}}" * 100, _nested(101), "000"),
    ("{{#if n}}" * 100 + "{{n}}" + "{{else}}no{{/if}}" * 100, {"n": 1}, "1"),
    ("{{#if z}}" + "{{else if z}}" * 99 + "{{else}}{{n}}{{/if}}", {"n": 1}, "1"),
    ("{{#x}}{{#if @first}}" * 50 + "{{n}}" + "{{/if}}{{/x}}" * 50, _nested(51), "0"),
    ("{{length " + "(insert " * 99 + "n" + " 'a')" * 99 + "}}", {"n": "abc"}, "3"),
    ("{{#if " + "(and true " * 98 + "n" + ")" * 98 + "}}{{n}}{{/if}}", {"n": 1}, "1"),
    (
        "{{#with this}}" * 50
        + "{{#if (and "
        + "(or false " * 48
        + "n"
        + ")" * 48
        + " n)}}{{n}}{{/if}}"
        + "{{/with}}" * 50,
        {"n": 1},
        "1",
    ),
]


@pytest.mark.parametrize(("source", "data", "expected"), DEEP, ids=lambda value: str(value)[:24])
def test_a_hundred_levels_are_compiled_and_run(source: str, data: dict[str, Any], expected: str) -> None:
    # Callers, such as the handler of a request, have put some hundred frames on the stack already.
    assert _deep(250, lambda: rendered(source, data)) == expected


def _deep(frames: int, call: Callable[[], str]) -> str:
    return call() if frames == 0 else _deep(frames - 1, call)


def test_one_level_more_is_a_fault() -> None:
    with pytest.raises(TemplateError):
        compile_text("{{#if a}}" * (LEVELS + 1) + "{{/if}}" * (LEVELS + 1), is_html=True)


LOOPS = "".join([f"{x}{y}{i}" * 300 for x in (5, 6) for i, y in enumerate((5, 6))])
LARGE = {
    "flat": ("{{or n n}}a" * 600, "1a" * 600),
    "branch": ("{{#if n}}" + "{{or n n}}a" * 600 + "{{/if}}", "1a" * 600),
    "blocks": ("{{#each l}}" + "{{#if ../n}}{{this}}{{/if}}" * 200 + "{{/each}}", "5" * 200 + "6" * 200),
    "loops": ("{{#each l as |x|}}{{#each ../l}}" + "{{x}}{{this}}{{@index}}" * 300 + "{{/each}}{{/each}}", LOOPS),
    "calls": ("{{or " + f"(and {'(or n n) ' * 99} false) " * 8 + "n}}", "1"),
}


@pytest.mark.parametrize(("source", "expected"), LARGE.values(), ids=LARGE)
def test_large_templates_are_compiled_in_small_pieces(source: str, expected: str, generated: list[str]) -> None:
    """Python's compiler holds the interpreter lock from the beginning to the end of a piece."""
    assert rendered(source, {"n": 1, "l": [5, 6]}) == expected
    assert max(map(len, generated)) < 80_000


def test_data_as_deep_as_json_can_be_is_printed() -> None:
    data: list[Any] = ["x"]
    for _ in range(sys.getrecursionlimit() * 5):
        data = [data]
    assert rendered("{{a}}{{{a}}}", {"a": data}) == "xx"
    assert rendered("{{#each a}}{{../a.length}}{{length this}}{{/each}}", {"a": data}) == "11"


def test_large_keys_and_arrays_are_found() -> None:
    key = "k" * 1_000_000
    assert rendered("{{#each a}}{{@key.length}}{{this}}{{/each}}", {"a": {key: 1}}) == "1000000" + "1"
    assert rendered("{{a.[99999]}}{{a.[100000]}}{{a.[99999999999999999999]}}", {"a": ["x"] * 100_000}) == "x"


def test_values_that_have_no_place_in_code_are_constants() -> None:
    digits = "9" * 250
    assert rendered(f"{{{{insert a {digits}}}}}", {}) == digits
    assert rendered("{{insert a undefined}}{{#if (equals a undefined)}}y{{/if}}", {}) == "y"
    assert rendered(f"{{{{insert a {'9' * 5_000}}}}}{{{{insert a -{'9' * 5_000}}}}}", {}) == "Infinity-Infinity"


def test_the_steps_of_a_message_are_those_of_the_contract() -> None:
    assert (MOST_STEPS, MOST_OUTPUT) == (100_000, 1_048_576)
