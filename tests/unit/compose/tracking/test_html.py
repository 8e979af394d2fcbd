"""Links in html as senders write it: each hostile body, and what is changed in it."""

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.compose.tracking.html import attribute_text, scan, url_of
from actors.compose.tracking.targets import is_target
from actors.compose.tracking.transform import TrackingTransform
from actors.compose.transform import Text
from cluster.tracking.choices import Tracking
from tests.unit.compose.tracking.reading import BASE, KEY, tracked

BODIES = [
    ('<a href="https://a.example/">x</a>', '<a href="<0:https://a.example/>">x</a>'),
    ("<a href='http://a.example'>x</a>", "<a href='<0:http://a.example>'>x</a>"),
    ("<A HREF=http://a.example/b?c=d>x</A>", "<A HREF=<0:http://a.example/b?c=d>>x</A>"),
    ('<a\nclass = "b"\thref\n=\n"HTTPS://a.example"\n>', '<a\nclass = "b"\thref\n=\n"<0:https://a.example>"\n>'),
    ('<a href=" https://a.example/\n b ">', '<a href="<0:https://a.example/ b>">'),
    ('<a href="https://a.example/?x=1&amp;y=2&copy=3&lt;">', '<a href="<0:https://a.example/?x=1&y=2&copy=3<>">'),
    ('<a href="https&#58;//a.example/&#x3f;q">', '<a href="<0:https://a.example/?q>">'),
    ('<a title="a > b" href="https://a.example">', '<a title="a > b" href="<0:https://a.example>">'),
    ("<a title='<a href=\"https://no.example\">' href='https://a.example'>", None),
    ('<img alt="<a href=\'https://no.example\'>"><a href="https://a.example">', None),
    ('<a href="https://a.example" href="https://no.example">', None),
    ('<area shape="rect" href="https://a.example"/>', '<area shape="rect" href="<0:https://a.example>"/>'),
    ('<a/href="https://a.example">', '<a/href="<0:https://a.example>">'),
    ('<a data-href="https://no.example" href="https://a.example">', None),
    (
        '<a href="https://a.example">1</a><a href="https://a.example">2</a>',
        '<a href="<0:https://a.example>">1</a><a href="<1:https://a.example>">2</a>',
    ),
    (
        '<!--[if mso]><a href="https://a.example"><![endif]-->',
        '<!--[if mso]><a href="<0:https://a.example>"><![endif]-->',
    ),
    ('<![if !mso]><a href="https://a.example"><![endif]>', '<![if !mso]><a href="<0:https://a.example>"><![endif]>'),
    ('<!--[if gte mso 9]><v:rect href="https://no.example"><a href="https://a.example"><![endif]-->', None),
    (
        '<a href="https://user:pw@a.example:8443/%20?q#frag">',
        '<a href="<0:https://user:pw@a.example:8443/%20?q#frag>">',
    ),
    ('<a href="https://bücher.example/ü">', '<a href="<0:https://bücher.example/ü>">'),
    ('<table><tr><td><a href="https://a.example">x', '<table><tr><td><a href="<0:https://a.example>">x'),
    ('</p></div><a href="https://a.example">', '</p></div><a href="<0:https://a.example>">'),
    ('<p <a href="https://no.example"><a href="https://a.example">', None),
    ('<style>a:after{content:"<a href=https://no.example>"}</style><a href="https://a.example">', None),
    ("<script>'<a href=\"https://no.example\">'</script><a href='https://a.example'>", None),
    ('<textarea><a href="https://no.example"></textarea><a href="https://a.example">', None),
    ('<scripture><a href="https://a.example">', '<scripture><a href="<0:https://a.example>">'),
    ('< a href="https://no.example"><3 <a href="https://a.example">', None),
    ('<a href="https://a.example/it\'s">', '<a href="<0:https://a.example/it\'s>">'),
    ('\ufeff<html><a href="https://a.example">', '\ufeff<html><a href="<0:https://a.example>">'),
    ('<a href="https://a.example"/>', '<a href="<0:https://a.example>"/>'),
    ('<a href="https://a.example"class="b">', '<a href="<0:https://a.example>"class="b">'),
    (
        '<svg><a href="https://a.example"><text>x</text></a></svg>',
        '<svg><a href="<0:https://a.example>"><text>x</text></a></svg>',
    ),
    ("<a href=https://a.example/\u00a0b c>", "<a href=<0:https://a.example/\u00a0b> c>"),
    ('<a href="\x01https://a.example\x02">', '<a href="<0:https://a.example>">'),
    ('<a\u00a0href="https://no.example"><a href="https://a.example">', None),
    ('<![CDATA[<a href="https://no.example">]]><a href="https://a.example">', None),
    ('</3 <a href="https://no.example"></><a href="https://a.example">', None),
    ('<? <a href="https://no.example"><a href="https://a.example">', None),
    ('<!x y=">"><a href="https://a.example">z">', None),
    ('<a b==">"><a href="https://a.example">', None),
    ('<!--[if mso]><style>td{}<![endif]--><a href="https://a.example">', None),
    (
        '<img src="data:image/png;base64,iVBORw0KGgo=" alt="a=b">',
        '<img src="data:image/png;base64,iVBORw0KGgo=" alt="a=b">',
    ),
]
SAME = [
    '<a href="mailto:a@b.example">',
    '<a href="tel:+1">',
    '<a href="#top">',
    '<a href="/relative">',
    '<a href="//no.example/">',
    '<a href="javascript:alert(1)">',
    '<a href="ftp://a.example">',
    '<a href="https://">',
    '<a href="http://[1">',
    '<a href="https://a b.example/">',
    "<a href='https://no.example\">y</a>'>",
    '<a href="https://no.example:x/">',
    '<a href="https://user@:80/">',
    "<a href>",
    '<a href="">',
    '<a name="x">',
    '<!-- <a href="https://no.example"> -->',
    "<!--><!-- <a href='https://no.example'>",
    '<a href="https://no.example',
    "<a href='https://no.example\" >",
    '<abbr href="https://no.example"><link href="https://no.example"><base href="https://no.example">',
    '<form action="https://no.example"><iframe src="https://no.example"></iframe>',
    '<a xlink:href="https://no.example">',
    '<title><a href="https://no.example"></title>',
    f'<a href="https://a.example/{"x" * 5000}">',
    "text https://no.example text",
    '<plaintext><a href="https://no.example"></plaintext><a href="https://no.example">',
    '<a href="https://no.example><a href="https://no.example',
]


@pytest.mark.parametrize(("body", "expected"), BODIES)
def test_a_link_is_changed_and_nothing_else(body: str, expected: str | None) -> None:
    expected = expected or re.sub(r"https://a\.example\b", "<0:https://a.example>", body, count=1)
    assert tracked(body, clicks=True) == expected


@pytest.mark.parametrize("body", SAME)
def test_what_is_no_link_stays(body: str) -> None:
    assert tracked(body, clicks=True) == body
    assert tracked(f'{body}<a href="https://a.example">', clicks=True) is not None


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ('<a clicktracking="off" href="https://a.example">', '<a href="https://a.example">'),
        ("<a href='https://a.example' CLICKTRACKING = 'OFF' class=b>", "<a href='https://a.example' class=b>"),
        ("<a clicktracking=off\nhref=https://a.example>", "<a\nhref=https://a.example>"),
        ('<a clicktracking="on" href="https://a.example">', '<a clicktracking="on" href="<0:https://a.example>">'),
    ],
)
def test_a_sender_switches_one_link_off(body: str, expected: str) -> None:
    assert tracked(body, clicks=True) == expected


@pytest.mark.parametrize(
    ("shown", "hidden"),
    [
        ("<p>x", "<!-- y"),
        ("<p>x", "<!--[if mso]> y"),
        ("<p>x", '<a href="https://a.example'),
        ("<p>x", '<a href="https://a.example>y</a>'),
        ("<p>x", "<p title='y>z</p>"),
        ("<p>x", "<style>p{"),
        ("<p>x", "<TEXTAREA>y</p>"),
        ("<p>x", "<plaintext>y</plaintext>"),
        ("<p>x<!--[if mso]></body></html><![endif]-->", ""),
        ("<p>x<!--[if mso]><style>p{<![endif]-->y", ""),
        ("<p>x<!--[if mso]></body><![endif]--><!--[if !mso]><!-->", "</body></html><!--<![endif]-->"),
        ("<p>x", "</body><!--[if mso]></body><![endif]--></html>"),
    ],
)
def test_the_pixel_is_where_it_is_loaded(shown: str, hidden: str) -> None:
    assert tracked(f"{shown}{hidden}", opens=True) == f"{shown}<pixel>{hidden}"


@pytest.mark.parametrize(
    ("value", "meant"),
    [
        ("a&amp;b", "a&b"),
        ("?a=1&copy=2", "?a=1&copy=2"),
        ("?a=1&copy;", "?a=1©"),
        ("&notit;", "&notit;"),
        ("&not;&#65;&#x42", "¬AB"),
        ("&amp", "&"),
        ("&nosuch;&", "&nosuch;&"),
    ],
)
def test_references_in_attributes(value: str, meant: str) -> None:
    assert attribute_text(value) == meant


PIECES = st.sampled_from(
    [
        *("<a ", "<A\n", "<area ", "</a>", ">", "/>", "<", "'", '"', " ", "=", "\0", "<p>", "</body>", "&amp;", "x"),
        *(
            "href=",
            'href="https://a.example/"',
            "href='http://b.example'",
            "href=https://c.example",
            "clicktracking=off",
        ),
        *("<!--", "-->", "<!--[if mso]>", "<![endif]-->", "<script>", "</script>", "<style>", "</style>", "<!", "<?"),
    ]
)


@given(st.lists(PIECES, max_size=40).map("".join))
def test_any_html_changes_only_in_its_links(html: str) -> None:
    found, keys = scan(html), [f"k{index}" for index in range(html.count("\0"))]
    transform = TrackingTransform(Tracking(base_url=BASE, tenant_number=1, clicks=True), KEY)
    changed = transform.change(Text("text/html", tuple(html.split("\0")), tuple(keys)))
    if changed is None:
        assert found.is_odd and keys
        return
    links = [(one.start, one.end) for one in found.links]
    spans = [span for span in links if "\0" in html[slice(*span)] or is_target(url_of(html[slice(*span)]))]
    kept, last = "", 0
    for start, end in sorted([*spans, *found.untracked]):
        if start >= last:
            kept += html[last:start]
            last = end
    assert "".join(changed.literals) == (kept + html[last:]).replace("\0", "")


@pytest.mark.parametrize(
    "bad",
    [
        "<!--[if a]>",
        "<![",
        '<p a="',
        "<a ",
        "<",
        "<!--",
        '<a href="',
        "<script>",
        "='",
        "<a href=",
        "<p ",
        "\0",
        "</",
        "<a/",
        "<a clicktracking=",
    ],
)
def test_the_time_is_proportional_to_the_text(bad: str) -> None:
    def seconds(length: int) -> float:
        html, began = bad * length, time.process_time()
        scan(html)
        return time.process_time() - began

    small = min(seconds(20_000) for _ in range(3)) + 0.002
    assert seconds(160_000) < 40 * small
