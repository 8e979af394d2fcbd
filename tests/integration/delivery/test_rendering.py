"""Tracked html in a browser: it looks as it did, and each link leads where it did."""

import json
import re
import subprocess
from html import escape, unescape
from pathlib import Path

from PIL import Image, ImageChops

from cluster.tracking.location import location
from cluster.tracking.tokens import Kind, read
from tests.browser import CHROMIUM, FLAGS, needs_chromium
from tests.unit.compose.tracking.reading import BASE, KEY, changed
from tests.unit.compose.tracking.test_html import BODIES

WIDTH, HEIGHT = 180, 44
"""Pixels of one body."""
IN_A_ROW = 6
DOT = "data:image/gif;base64,R0lGODlhAQABAIAAAP8AAP///yH5BAAAAAAALAAAAAABAAEAAAICRAEAOw=="
MAILS = [
    '<!DOCTYPE html><html><head><style>a{color:red}</style></head><body>x<a href="https://a.example">y</a></body></html>',
    '<!doctype html public "-//W3C//DTD XHTML 1.0//EN" "x"><table width=99 bgcolor=#cccccc><td><a href=http://a.example>y',
    f'<body background="{DOT}"><a href="https://a.example"><img src="{DOT}" width=9 height=9 border=1></a>',
    f'<map name=m><area shape=rect coords=0,0,9,9 href=https://a.example></map><img usemap=#m src="{DOT}" width=20>',
    '<!--[if mso]><p>Outlook</p></body><![endif]--><!--[if !mso]><!--><a href="https://a.example">y</a><!--<![endif]-->',
    '<a href="https://a.example/?a=1&b=2&copy=3&reg;=4&amp;lt=5&#38;c=6">y</a><a href=https://b.example/&quot;>z</a>',
    '<p>1<p>2<a href="https://a.example">y<a href="https://b.example">z<b>w</p></a>v',
    '<p>x<a href="https://a.example>y</a> z</p>',
    "<p>x<a href='https://a.example\">y</a><a href='https://b.example'>z</a>",
    '<p>x<!-- <a href="https://a.example">y</a>',
    '<p>x<textarea rows=1><a href="https://a.example">y</a>',
    '<p>x<plaintext><a href="https://a.example">y</a>',
    '<svg width=90 height=30><![CDATA[x]]><a href="https://a.example"><rect width=20 height=20 fill=red /></a></svg>',
    '<noscript><a href="https://a.example">y</a></noscript><template><a href="https://b.example">z</a></template>',
    '<form><select><option>x</select><button><a href="https://a.example">y</a></button></form>',
    '<a style="background:url(&quot;https://no.example/a.png&quot;) red" href="https://a.example/a.png">y</a>',
    '<div style=display:flex;justify-content:center><a href="https://a.example" style="flex:1">y</a></div>',
    '<center><font size=5 color=green>x</font><a name=top href=#top>y</a><a href="https://a.example/#top">z</a></center>',
    '<a href="https://a.example/%E2%82%AC€?q=a b|c#d`e">y</a><a href="https://münchen.example/ä">z</a>',
    '<a href="https://a.example/\\b">y</a><a href=" \n https://b.example/a\n/b \t">z</a>',
    '<p dir=rtl>שלום <a href="https://a.example/ש">קישור</a></p>',
    '<a title=x"y href=https://a.example/>y</a><a title=\'"\' href=https://b.example/"c">z</a>',
    '<pre>\n  x  <a\n\n href="https://a.example">  y\n</a></pre>',
    '<ul><li><a href="HTTPS://A.Example:443/./b/../c">y</a><li><a href="http://u:p@b.example">z</a></ul>',
]
"""Whole mails, beside the fragments of ``test_html``."""
SCRIPT = """
const hrefs = (frame) => [...frame.contentDocument.links].map((link) => link.href).filter((href) => URL.canParse(href))
const led = (href) => leads[href] ? new URL(leads[href]).href : href
onload = () => {
  const frames = [...document.querySelectorAll("iframe")]
  document.querySelector("pre").textContent = JSON.stringify(
    bodies.map((_, at) => [hrefs(frames[2 * at]), hrefs(frames[2 * at + 1]), hrefs(frames[2 * at + 1]).map(led)]))
}
"""


def _frame(html: str, row: int, column: int) -> str:
    place = f"position:absolute;border:0;left:{column * WIDTH}px;top:{row * HEIGHT}px;width:{WIDTH}px;height:{HEIGHT}px"
    return f'<iframe sandbox="allow-same-origin" style="{place}" srcdoc="{escape(html)}"></iframe>'


def _leads(html: str) -> dict[str, str]:
    """Where each tracked link leads."""
    found = {}
    for url, token in re.findall(rf"({BASE}/t/c/([\w-]+))", html):
        named = read(token, Kind.CLICK, {KEY.id: KEY.key})
        assert named is not None and named.target is not None
        found[url] = location(named.target.url).decode()
    return found


@needs_chromium
def test_tracked_mail_looks_as_it_did_and_leads_where_it_did(tmp_path: Path) -> None:
    assert CHROMIUM is not None
    before = [*MAILS, *(body for body, _ in BODIES)]
    after = [changed(body, opens=True, clicks=True) or "" for body in before]
    frames, leads = [], dict[str, str]()
    for at, (old, new) in enumerate(zip(before, after, strict=True)):
        row, pair = divmod(at, IN_A_ROW)
        frames += [_frame(old, row, 2 * pair), _frame(new, row, 2 * pair + 1)]
        leads |= _leads(new)
    page = tmp_path / "page.html"
    page.write_text(
        f"<!doctype html><meta charset=utf-8><body>{''.join(frames)}<pre hidden></pre>"
        f"<script>const bodies = Array({len(before)}).fill(0), leads = {json.dumps(leads)}\n{SCRIPT}</script>"
    )
    rows = -(-len(before) // IN_A_ROW)
    screen = tmp_path / "screen.png"
    shown = subprocess.run(
        [
            *(CHROMIUM, *FLAGS),
            *(f"--user-data-dir={tmp_path / 'profile'}", "--host-resolver-rules=MAP * ~NOTFOUND"),
            *(f"--window-size={2 * IN_A_ROW * WIDTH},{rows * HEIGHT}", f"--screenshot={screen}", "--dump-dom"),
            page.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    written = re.search(r"<pre hidden[^>]*>(.*?)</pre>", shown.stdout, re.DOTALL)
    assert written is not None
    links = json.loads(unescape(written[1]))
    for body, (old_links, new_links, led) in zip(before, links, strict=True):
        assert led == old_links, body
        web = [number for number, href in enumerate(old_links) if href.startswith("http")]
        assert all(new_links[number] in leads for number in web), body
    image = Image.open(screen).convert("RGB")
    for at, body in enumerate(before):
        row, pair = divmod(at, IN_A_ROW)
        left, top = 2 * pair * WIDTH, row * HEIGHT
        looked, looks = (image.crop((x, top, x + WIDTH, top + HEIGHT)) for x in (left, left + WIDTH))
        assert ImageChops.difference(looked, looks).getbbox() is None, body
        assert at >= len(MAILS) or looked.getcolors(1) is None, f"nothing is shown of {body}"
