"""Where the hidden preheader goes, and that it is text."""

import pytest

from cluster.templates.handlebars.reading import read
from cluster.templates.handlebars.tree import Block, Mustache, Program, Text
from cluster.templates.preheader import CLOSING, OPENING, with_preheader


def shown(program: Program) -> str:
    """The texts of a template, with a star for each value, and the branches of blocks in brackets."""
    written = []
    for part in program.body:
        match part:
            case Text(value):
                written.append(value)
            case Mustache(is_escaped=is_escaped):
                written.append("*" if is_escaped else "*raw*")
            case Block(program=branch, inverse=other):
                branches = [shown(one) for one in (branch, other) if one is not None]
                written.append(f"[{'|'.join(branches)}]")
    return "".join(written)


def placed(html: str, preheader: str = "pre") -> str:
    """The html with a "^" at the place of the preheader, which has this text."""
    text = shown(with_preheader(read(html), read(preheader)))
    assert text.count(CLOSING) == 1
    start, end = text.index(OPENING), text.index(CLOSING)
    assert text[start + len(OPENING) : end] == shown(read(preheader))
    return f"{text[:start]}^{text[end + len(CLOSING) :]}"


@pytest.mark.parametrize(
    ("html", "where"),
    [
        ("<html><body>a", "<html><body>^a"),
        ("<p>a", "^<p>a"),
        ("", "^"),
        ("{{a}}b", "^*b"),
        (
            "<!DOCTYPE html>\n<html><head></head><BODY class='a>b' id=c>d",
            "<!DOCTYPE html>\n<html><head></head><BODY class='a>b' id=c>^d",
        ),
        ("<html><head><title>x</title></head>a", "<html><head><title>x</title></head>^a"),
        ("<!doctype html><p>a", "<!doctype html>^<p>a"),
        ("<html lang=en><p>a", "<html lang=en>^<p>a"),
        ("<body style='color:{{a}}' {{#if b}}class='>'{{/if}}>c", "<body style='color:*' [class='>']>^c"),
        ("<!-- <body> --><body{{a}}>c", "<!-- <body> --><body*>^c"),
        ("<!--[if mso]>{{a}}<body class=m><![endif]--><body>c", "<!--[if mso]>*<body class=m><![endif]--><body>^c"),
        ("<style>/* <body> */</style><body>{{a}}", "<style>/* <body> */</style><body>^*"),
        ("<bodyguard><p>a", "^<bodyguard><p>a"),
        ("<body {{a}}", "^<body *"),
        ("<body>", "<body>^"),
    ],
)
def test_it_is_at_the_beginning_of_the_body(html: str, where: str) -> None:
    assert placed(html) == where


def test_it_is_text() -> None:
    made = shown(with_preheader(read("<p>"), read("a & <b> {{c}} {{{d}}} {{#if e}}&{{{f}}}{{else}}<{{/if}}")))
    assert made == f"{OPENING}a &amp; &lt;b&gt; * * [&amp;*|&lt;]{CLOSING}<p>"


def test_it_is_hidden() -> None:
    for part in (OPENING, CLOSING):
        assert "display:none" in part and "mso-hide:all" in part
