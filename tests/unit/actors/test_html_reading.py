"""The text and the links of a mail's HTML, also of hostile HTML."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.capture.html_reading import LONGEST_HTML, MOST_LINKS, Link, links_in_text, read_html


def test_what_a_reader_sees() -> None:
    reading = read_html(
        "<!doctype html><html><head><title>T</title><style>p > a {}</style></head><body><script>if (a<b) {}</script>"
        "<p>Hi&nbsp;<b>A</b>da</p><p>x<br>y 1 < 2 &lt;3 <!-- <a href=no>no</a> --></p><td>c</td><td>d</td>"
    )
    assert reading.text == "Hi Ada x y 1 < 2 <3 c d"
    assert reading.links == []


@pytest.mark.parametrize(
    ("html", "links"),
    [
        ('<a class="b" href="https://a/?a=1&amp;b=2">Cli<b>ck</b>\n me</a>', [("https://a/?a=1&b=2", "Click me")]),
        ("<A HREF='x'><img src=i></A>", [("x", "")]),
        ("<a href=x>y<a href=z>w", [("x", "y"), ("z", "w")]),
        ('<a title="a > b" href="x">y</a>', [("x", "y")]),
        ('<a title="href=no" href = x>y</a>', [("x", "y")]),
        ('<a data-href="no">y</a>', []),
        ("<a name=x>y</a>", []),
        ("<a href>y</a><a href=''>y</a>", []),
        ("<map><area href=x></map>", [("x", "")]),
        ("<a href='java\nscript:x'>y</a>", [("javascript:x", "y")]),
        ("<a href=x", []),
        ("<abbr href=x>y</abbr>", []),
    ],
)  # fmt: skip
def test_links(html: str, links: list[tuple[str, str]]) -> None:
    assert read_html(html).links == [Link(url, text) for url, text in links]


def test_links_of_a_plain_text() -> None:
    text = "See https://a.example/b?c=d, (http://e.example) <https://f.example/> or mailto:g@h. And https://a.example/b?c=d!"
    assert [link.url for link in links_in_text(text)] == [
        "https://a.example/b?c=d",
        "http://e.example",
        "https://f.example/",
        "mailto:g@h",
    ]


def test_links_have_a_bound() -> None:
    assert len(read_html("<a href=x>y</a><area href=z>" * 1_000).links) == MOST_LINKS
    assert len(links_in_text(" ".join(f"https://a.example/{n}" for n in range(1_000)))) == MOST_LINKS


LENGTH = LONGEST_HTML // 4
HOSTILE = (
    *(
        "<div>",
        "<b>",
        "<a x",
        "<",
        "<!--",
        "<style>",
        '<a "',
        "<a x='",
        "<a x='\">",
        "<!",
        "<?",
        "</a",
        "&#x",
        "&ampamp",
    ),
    *("<a href", "<a href=x>", "<a href=x>" + "y" * 1_000, "<a" + " " * 1_000, "<a " + "href " * 1_000, "<svg>", "\0"),
)


def test_hostile_html_takes_linear_time() -> None:
    # In quadratic time, each of these takes minutes.
    for piece in HOSTILE:
        html = (piece * (LENGTH // len(piece) + 1))[:LENGTH]
        assert len(read_html(html).text) <= LENGTH, piece
        links_in_text(html.replace("<", "http://"))


@given(st.lists(st.sampled_from([*"<>/='\"! -a", "a ", "href=", "<!--", "-->", "<style>", "</style>", "&lt;"])))
def test_all_html_can_be_read(pieces: list[str]) -> None:
    reading = read_html("".join(pieces))
    assert "  " not in reading.text
