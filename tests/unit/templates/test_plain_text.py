"""Plain text from html: it reads well, stays a template, and takes no longer for hostile html."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.templates.handlebars.reading import read
from cluster.templates.markup import LONGEST_TAG, MAX_DEPTH, marked
from cluster.templates.plain_text import plain_text
from cluster.templates.tags import pieces, source_of

READS = {
    "paragraphs": ("<h1>Hi</h1><p>One\n  two&nbsp;<b>three</b></p><p>f<i>ou</i>r</p>", "Hi\n\nOne two three\n\nfour"),
    "line breaks": ("a<br>b<br><br>c<br/></div><div>d", "a\nb\n\nc\nd"),
    "rule": ("a<hr>b", "a\n\n---\n\nb"),
    "link": (
        'See <a href="https://x.example/?a=1&amp;b=2">your order</a>.',
        "See your order (https://x.example/?a=1&b=2).",
    ),
    "link that says where it leads": ('<a href="https://x.example/">x.example</a>', "x.example"),
    "address": ('<a href="mailto:a@x.example">a@x.example</a>', "a@x.example"),
    "other address": ('<a href="mailto:a@x.example">Write to us</a>', "Write to us (a@x.example)"),
    "anchor": ('<a href="#top">up</a> <a name="top">down</a>', "up down"),
    "linked image": ('<a href="https://x.example/"><img src="l.png" alt="Logo"></a>', "Logo (https://x.example/)"),
    "linked image without a name": ('<a href="https://x.example/"><img src="l.png"></a>', "https://x.example/"),
    "link around blocks": (
        '<a href="https://x.example/"><p>one</p><p>two</p></a>z',
        "one\n\ntwo (https://x.example/)\n\nz",
    ),
    "list": ("<ul><li>one<li>two<ul><li>in</ul></ul>", "- one\n- two\n  - in"),
    "numbered list": (
        '<ol start="9"><li>nine</li><li><p>ten</p><p>more</p></li></ol>',
        "9. nine\n\n10. ten\n\n    more",
    ),
    "table": ("<table><tr><th>Item<th>Price<tr><td>Tea<td>2</table>", "Item  Price\nTea  2"),
    "quotation": ("<blockquote>a<p>b</p></blockquote>c", "> a\n\n> b\n\nc"),
    "preformatted": ("<pre>a\n  b\r\n\nc</pre>", "a\n  b\n\nc"),
    "what is not shown": (
        "<!-- x --><style>p{}</style><script>x</script><head><title>x</title></head><p hidden>x</p>"
        '<div style="DISPLAY : none">x</div><svg><text>x</text></svg>y&shy;z&#8203;',
        "yz",
    ),
    "conditional comments": ("<!--[if mso]><p>x</p><![endif]--><!--[if !mso]><!-->a<!--<![endif]-->b", "ab"),
    "what looks like a tag": ("1 &lt; 2 <%name%> a<3", "1 < 2 <%name%> a<3"),
    "nothing": ("", ""),
    "spaces": (" \n&nbsp;<p> </p>", ""),
}


@pytest.mark.parametrize("name", READS)
def test_it_reads_well(name: str) -> None:
    html, text = READS[name]
    assert plain_text(html) == text
    assert plain_text(html, "legacy") == text


TEMPLATES = {
    "values": ('<p>{{a}} {{{b}}}</p><a href="/{{c}}?{{&d}}">{{e}}</a>', "{{a}} {{{b}}}\n\n{{e}} (/{{c}}?{{&d}})"),
    "block in a line": ("Hi {{#if a}} <b>{{a}}</b>{{else}}you{{/if}}!", "Hi {{#if a}}{{a}}{{else}}you{{/if}}!"),
    "block of paragraphs": (
        "<p>a</p>{{#if x}}<p>b</p>{{else if y}}c{{else}}<p>d</p>{{/if}}<p>e</p>",
        "a\n\n{{#if x}}\nb\n\n{{else if y}}\nc\n\n{{else}}\nd\n\n{{/if}}\ne",
    ),
    "loop of rows": (
        "<p>a</p><table>{{#each rows as |row|}}<tr><td>{{row.a}}</td><td>{{row.b}}</td></tr>{{/each}}</table>b",
        "a\n\n{{#each rows as |row|}}\n{{row.a}}  {{row.b}}\n{{/each}}\n\nb",
    ),
    "loop of items": ("<ol>{{#each a}}<li>{{this}}</li>{{/each}}</ol>", "{{#each a}}\n- {{this}}\n{{/each}}"),
    "block that opens in a line": ("a {{#if x}}<p>b</p>{{/if}} c", "a {{#if x}}\n\nb\n\n{{/if}}\nc"),
    "block in an attribute": (
        '<a href="{{#if a}}https://a{{else}}https://b{{/if}}">x</a>',
        "x ({{#if a}}https://a{{else}}https://b{{/if}})",
    ),
    "block between attributes": ('<p {{#if a}}class="b"{{/if}}>c</p>', "c"),
    "block in what is not shown": ("<style>{{#if a}}b{{/if}}</style><!-- {{#if a}} -->c<!-- {{/if}} -->", "c"),
    "block at the beginning": ("{{#if a}}<p>b</p>{{/if}}<p>c</p>", "{{#if a}}\nb\n\n{{/if}}\nc"),
    "block after a style": (
        "<!doctype html><style>x</style>{{#if a}}b{{/if}}c</body></html>{{#each e}}<img alt=f>{{/each}}",
        "{{#if a}}\nb\n\n{{/if}}\nc{{#each e}}f{{/each}}",
    ),
    "block without a text": (
        "<head>{{#if a}}<style>b</style>{{/if}}</head>c {{#if d}}<br>{{#if e}}{{/if}}{{/if}} f",
        "c f",
    ),
    "block half in what is not shown": ("<style>{{#if a}}</style>b{{else}}c{{/if}}", "b{{#if a}}{{else}}c{{/if}}"),
    "block across elements": ("{{#if a}}<div>{{else}}<div class=x>{{/if}}b</div>", "b"),
    "white space control": ("<p>a {{~b~}} c</p>\n{{~#if x~}} d {{~/if}}", "a{{b}}c\n\n{{#if x}}\nd\n\n{{/if}}"),
    "comments": ("a{{! b }}{{!-- {{c}} --}}d", "ad"),
    "braces": ("&#123;&#123;a}} \\{{b}} &#123;{{c}}", "\\{{a}} \\{{b}} { {{c}}"),
    "backslashes": ("a\\\\{{b}} \\&#123;{c}}", "a\\\\{{b}} \\\\{{!}}\\{{c}}"),
    "raw block": ("{{{{if a}}}}{{b}}<p>{{{{/if}}}}", "{{{{if a}}}}{{b}}<p>{{{{/if}}}}"),
}


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_template_stays_one(name: str) -> None:
    html, text = TEMPLATES[name]
    assert plain_text(html) == text
    read(text)


def test_a_legacy_template_has_no_tags() -> None:
    assert plain_text("<p>{{#if}} \\{{b}} &#123;{{c}} -name- {{!x}}</p>", "legacy") == (
        "{{#if}} \\{{b}} {{{c}} -name- {{!x}}"
    )


MARKUP = [
    "<p>",
    "</p>",
    "<table>",
    "<tr>",
    "<td>",
    "</table>",
    "<a href='",
    "'>",
    "</a>",
    "<!--",
    "-->",
    "<style>",
    "</style>",
]
MARKUP += [
    "<b>",
    "<li>",
    "<ul>",
    "</ul>",
    "<br>",
    "a",
    " ",
    "\n",
    "\\",
    "{",
    "&#123;",
    '"',
    "<",
    ">",
    "=",
    "\U000f0000",
    "\U000f8000",
]


@st.composite
def templates(draw: st.DrawFn) -> str:
    """Blocks in each other, and markup that does not mind them."""
    parts: list[str] = []
    is_open: list[str] = []
    for _ in range(draw(st.integers(0, 25))):
        match draw(st.integers(0, 5)):
            case 0:
                is_open.append(draw(st.sampled_from(["if", "each", "unless", "with"])))
                parts.append("{{#" + is_open[-1] + " a}}")
            case 1 if is_open:
                parts.append("{{/" + is_open.pop() + "}}")
            case 2:
                parts.append(draw(st.sampled_from(["{{a}}", "{{~a~}}", "{{{a}}}", "{{!x}}"])))
            case _:
                parts.append(draw(st.sampled_from(MARKUP)))
    return "".join([*parts, *("{{/" + name + "}}" for name in reversed(is_open))])


def can_be_read(source: str) -> bool:
    try:
        read(source)
    except Exception:
        return False
    return True


@pytest.mark.hypothesis
@given(templates().filter(can_be_read))
def test_whatever_can_be_compiled_becomes_a_text_that_can(html: str) -> None:
    read(plain_text(html))


@pytest.mark.hypothesis
@given(templates().filter(can_be_read))
def test_pieces_make_the_same_template_again(html: str) -> None:
    again = pieces(source_of(pieces(html)))
    assert "".join(one.text for one in again).replace("{ {", "{{") == "".join(one.text for one in pieces(html)).replace(
        "{ {", "{{"
    )


def test_hostile_html_is_flat_before_it_is_parsed() -> None:
    assert marked(pieces("<div>" * 100_000)).html.count("<div>") == MAX_DEPTH
    html = f"{'<div>' * (MAX_DEPTH + 5)}a{'</div>' * (MAX_DEPTH + 5)}<p>b</p>"
    assert plain_text(html) == "a\n\nb"
    formatting = "".join(f"<font a{number}>" for number in range(5000)) + "<p>x</p>" * 5000
    assert "font" not in marked(pieces(formatting)).html
    attributes = " ".join(f"a{number}" for number in range(100_000))
    text = marked(pieces(f"<p {attributes}>x")).html
    assert text == "<p>x"
    for tag in ("html", "body"):
        repeated = "".join(f"<{tag} a{number}>" for number in range(5000))
        assert marked(pieces(f"{repeated}x")).html == f"<{tag} a0>x"
    assert plain_text(f'<img src="data:{"x" * LONGEST_TAG}" alt="Logo">') == "Logo"
    assert len(plain_text("<blockquote>" * 100 + "x<br>" * 1000)) < 25_000
    for part in ("<a", "<!--", "<svg>", "<style>", "<a ='", "= "):
        assert plain_text(part * 20_000) == ("" if part != "= " else "= " * 19_999 + "=")


@pytest.mark.parametrize("hidden", ["<<!---->div>", "<<b>div>", '<i><p ="><div>">', '</p ="><div>">'])
def test_no_tag_is_hidden_from_the_bound_of_depth(hidden: str) -> None:
    assert marked(pieces(hidden * 1000)).html.count("<div>") <= MAX_DEPTH


def test_its_marks_are_no_characters_of_the_html() -> None:
    assert plain_text("a\U000f0000b\U000f8000c{{d}}") == "abc{{d}}"
    assert not re.search("[\U000f0000-\U000ffffd]", plain_text("<p title='\U000f0001'>{{#if a}}{{b}}{{/if}}"))
