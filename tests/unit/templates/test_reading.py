"""Reading a template: its tree, its white space, and what is wrong with it. The corpus compares with handlebars.js."""

import pytest

from cluster.templates.handlebars.errors import TemplateError
from cluster.templates.handlebars.reading import MAX_LEVELS, MAX_VALUES, read
from cluster.templates.handlebars.tree import (
    UNDEFINED,
    Block,
    Call,
    Expression,
    Literal,
    Mustache,
    Path,
    Place,
    Program,
    Text,
)

LARGE = 200_000
"""Characters. What takes quadratic time over so many takes many minutes."""


ENTITY = ": a character may be written as an HTML entity, such as &quot; for a quotation mark."


def shown(program: Program) -> str:
    """A tree in short: texts as they are, ``<x>`` for an escaped value, ``<&x>`` for another, ``<#x>…<else>…<//>``."""
    return "".join(map(shown_statement, program.body))


def shown_statement(statement: Text | Mustache | Block) -> str:
    match statement:
        case Text(value):
            return value
        case Mustache():
            return f"<{'' if statement.is_escaped else '&'}{shown_expression(statement.call)}>"
        case Block():
            names = statement.program.block_params if statement.program else ()
            opening = f"<#{shown_expression(statement.call)}{''.join(f' |{name}|' for name in names)}>"
            first = shown(statement.program) if statement.program else ""
            second = f"<else>{shown(statement.inverse)}" if statement.inverse else ""
            return f"{opening}{first}{second}<//>"


def shown_expression(expression: Expression) -> str:
    match expression:
        case Path():
            return f"{'@' if expression.is_data else ''}{'^' * expression.depth}{'.'.join(expression.parts) or 'this'}"
        case Literal():
            return "undefined" if expression.value is UNDEFINED else repr(expression.value)
        case Call():
            params = "".join(f" ({shown_expression(param)})" for param in expression.params)
            return (
                shown_expression(expression.name)
                + params
                + "".join(f" {key}=({shown_expression(value)})" for key, value in expression.hash)
            )


@pytest.mark.parametrize(
    ("source", "tree"),
    [
        ("plain { text } }}", "plain { text } }}"),
        ("{{a}}{{{b}}}{{&c}}", "<a><&b><&c>"),
        ("{{a.b/c}} {{../../d}} {{this.e}} {{.}}", "<a.b.c> <^^d> <e> <this>"),
        ("{{@root.a}} {{@../index}}", "<@root.a> <@^index>"),
        ("{{a.[b c].[d\\]e]}}", "<a.b c.d]e>"),
        ("""{{f 'it\\'s' "\\"" -1.5 12 true null undefined x}}""", None),
        ("{{f (g 1 h=2) k=(i)}}", "<f (g (1) h=(2)) k=(i)>"),
        ('{{"first name"}}{{12}}{{true}}', "<first name><12><true>"),
        ("{{f true=1}}", "<f true=(1)>"),
        ("{{#each a as |b c|}}{{b}}{{/each}}", "<#each (a) |b| |c|><b><//>"),
        ("{{#if a}}1{{else if b}}2{{else}}3{{/if}}", "<#if (a)>1<else><#if (b)>2<else>3<//><//>"),
        ("{{^a}}1{{^}}2{{/a}}", "<#a>2<else>1<//>"),
        ("{{{{raw a}}}} {{b}} {{{{c}}}}{{{{/c}}}} {{{{/raw}}}}", "<#raw (a)> {{b}} {{{{c}}}}{{{{/c}}}} <//>"),
        ("a{{! b }}c{{!-- {{d}} --}}e", "ace"),
        ("\\{{a}} {{b}} \\\\{{c}} \\\\\\{{d}}", "{{a}} <b> \\<c> \\\\<d>"),
        ("{{elsewhere}}", "<elsewhere>"),
    ],
)
def test_a_tree(source: str, tree: str | None) -> None:
    expected = """<f ("it's") ('"') (-1.5) (12) (True) (None) (undefined) (x)>""" if tree is None else tree
    assert shown(read(source)) == expected


@pytest.mark.parametrize(
    ("source", "tree"),
    [
        ("a {{~b~}} c", "a<b>c"),
        ("a\n {{#b}} \nc\n {{/b}} \nd", "a\n<#b>c\n<//>d"),
        ("{{#b}}\nc\n{{else}}\nd\n{{/b}}\n", "<#b>c\n<else>d\n<//>"),
        ("a {{#b}}\nc\n{{/b}} d", "a <#b>\nc\n<//> d"),
        ("a\n  {{! c }}  \nb", "a\nb"),
        ("a\n{{c}}\nb", "a\n<c>\nb"),
        ("{{#b~}} \n c \n {{~^~}} d {{~/b}} ", "<#b>c<else>d<//> "),
        ("a\u00a0\n{{#b}}\n{{/b}}", "a\u00a0\n<#b><//>"),
        ("x\x85{{~a}}", "x\x85<a>"),
        ("x\ufeff{{~a}}", "x<a>"),
    ],
)
def test_white_space(source: str, tree: str) -> None:
    assert shown(read(source)) == tree


def test_a_scoped_path_and_its_place() -> None:
    [text, value] = read("a\r\nb\rc {{ ./d }}").body
    assert text == Text("a\r\nb\rc ")
    path = Path(Place(3, 6), "./d", parts=("d",), is_scoped=True)
    assert value == Mustache(Place(3, 3), Call(Place(3, 6), path), is_escaped=True)


def test_an_integer_is_exact() -> None:
    [value] = read("{{f 9007199254740993 2.50}}").body
    assert isinstance(value, Mustache)
    assert [param.value for param in value.call.params if isinstance(param, Literal)] == [9007199254740993, 2.5]


@pytest.mark.parametrize(
    ("source", "line", "column", "reason"),
    [
        ("a\n b {{", 2, 4, "The tag that begins here is not closed."),
        ("a\n b {{c", 2, 4, "The tag that begins here is not closed."),
        ("a {{c d=}}", 1, 9, "Expected a name or a value, found }}"),
        ("a {{b}}}", 1, 6, "Expected }}, found }}}"),
        ("{{{b}}", 1, 5, "Expected }}}, found }}"),
        ("{{}}", 1, 3, "Expected a name or a value, found }}"),
        ("{{b <p>text</p>", 1, 5, "Expected }}, found <"),
        ("{{b&quot;}}", 1, 3, f"Expected a name or a value, found b&{ENTITY}"),
        ("{{b &quot;c&quot;}}", 1, 5, f"Expected }}}}, found &{ENTITY}"),
        ('{{b "c}}', 1, 5, "The string that begins here is not closed."),
        ("{{b.[c}}", 1, 5, "The bracket that begins here is not closed."),
        ("x{{!-- b }}", 1, 2, "The comment that begins here is not closed."),
        ("{{f (g 1}}", 1, 9, "Expected ), found }}"),
        ("{{a.0}}", 1, 5, "Expected a name, found 0: in a path it is written [0]."),
        ("{{a.b.this}}", 1, 3, "The path a.b.this is not valid: this can only be at its beginning."),
        ("\n{{#if a}}{{#each b}}\n{{/each}}", 2, 1, "The block if is not closed."),
        ("{{#if a}}\n{{/each}}", 2, 1, "This tag closes each, but the open block is if of line 1."),
        ("{{/if}}", 1, 1, "This tag closes a block, but none is open."),
        ("{{else}}", 1, 1, "This {{else}} is not in a block."),
        ("{{#if a}}{{else}}{{else}}{{/if}}", 1, 18, "The block has an {{else}} already."),
        (
            "{{^a}}{{else if b}}{{/a}}",
            1,
            7,
            "This {{else}} with a condition cannot follow {{else}}, nor be in a block of {{^…}}.",
        ),
        ("{{{{a}}}} b", 1, 10, "The raw block that begins here is not closed."),
        ("{{{{a}}}} b {{{{/c}}}}", 1, 13, "This tag closes c, but the open block is a of line 1."),
        ("{{> a}}", 1, 1, "Partials ({{> …}}) are not supported."),
        ("{{#> a}}{{/a}}", 1, 1, "Partials ({{> …}}) are not supported."),
        ("{{#*inline 'a'}}{{/inline}}", 1, 1, "Decorators ({{* …}}) are not supported."),
        ("{{#each a as |[b]|}}{{/each}}", 1, 15, "The name of a block parameter has no brackets."),
        ("a\0b{{c}}", 1, 2, "The character NUL is not allowed."),
        ("\\{{a\0b}}", 1, 5, "The character NUL is not allowed."),
    ],
)
def test_a_fault_says_where_it_is(source: str, line: int, column: int, reason: str) -> None:
    with pytest.raises(TemplateError) as caught:
        read(source)
    assert (caught.value.line, caught.value.column, caught.value.reason) == (line, column, reason)


@pytest.mark.parametrize(
    ("within", "beyond", "reason"),
    [
        ("{{#a}}" * MAX_LEVELS + "{{/a}}" * MAX_LEVELS, "{{#a}}" * 101 + "{{/a}}" * 101, "More than 100 blocks"),
        (
            "{{#if a}}" + "{{else if b}}" * 99 + "{{/if}}",
            "{{#if a}}" + "{{else if b}}" * 100 + "{{/if}}",
            "More than 100 blocks",
        ),
        ("{{f " + "(f " * 100 + "a" + ")" * 100 + "}}", "{{f " + "(f " * 101 + "a" + ")" * 101 + "}}", "More than 100"),
        ("{{a}}" * 10_000, "{{a}}" * 10_001, "The template has more than 10,000 tags."),
        ("{{f" + " a" * MAX_VALUES + "}}", "{{f" + " a" * (MAX_VALUES + 1) + "}}", "more than 20,000 values"),
        ("{{a" + ".a" * 99 + "}}", "{{a" + ".a" * 100 + "}}", "The path has more than 100 names."),
        ("{{" + "../" * 100 + "a}}", "{{" + "../" * 101 + "a}}", "The path has more than 100 names."),
    ],
)
def test_bounds(within: str, beyond: str, reason: str) -> None:
    read(within)
    with pytest.raises(TemplateError, match=reason):
        read(beyond)


@pytest.mark.parametrize(
    "source",
    [
        "{" * LARGE,
        "\\{{" * (LARGE // 3),
        "\\" * LARGE + "{{a}}",
        " " * LARGE + "{{~a~}}" + " " * LARGE,
        " " * LARGE + "\n{{#a}}" + " " * LARGE + "x{{/a}}",
        "{{a " + " " * LARGE,
        "{{" + "a" * LARGE,
        "{{[" + "\\]" * (LARGE // 2),
        '{{"' + '\\"' * (LARGE // 2),
        "{{!--" + "--" * (LARGE // 2),
        "{{" + " " * LARGE + "else" + " " * LARGE + "}",
        "{{{{a}}}}" + "{{{{/" * (LARGE // 5),
        "{{{{a}}}}" + "{{{{" * (LARGE // 4),
        "{{f " + "9" * LARGE + "}}",
        "{{a" + "/" * LARGE + "}}",
        "\r" * LARGE + "{{a}}",
    ],
)
def test_hostile_sources_take_linear_time(source: str) -> None:
    try:
        read(source)
    except TemplateError as error:
        assert error.line >= 1
