"""Where html shows an image of the library."""

import time

import pytest

from cluster.images.urls import Shown, embedded, own_hosts, shown_in

ID = "img_01KQ7B2XWJ5T0E8M3N6R9VA4CJ"
URL = f"https://mail.example.net/i/{ID}"
OWN = own_hosts(["links.acme.example"], "https://mail.example.net")
WHOLE, SMALL = Shown(ID, False), Shown(ID, True)


@pytest.mark.parametrize(
    ("html", "expected"),
    [
        (f'<img src="{URL}">', WHOLE),
        (f"<img SRC = '{URL}'/>", WHOLE),
        (f"<img src={URL}>", WHOLE),
        (f'<img src="{URL}?variant=thumbnail">', SMALL),
        (f'<img src="{URL}?m=1&amp;variant=thumbnail&amp;x=2">', SMALL),
        (f'<img src="{URL}?v=2">', WHOLE),
        (f'<td background="{URL}">', WHOLE),
        (f"<p style=\"background: url('{URL}')\">", WHOLE),
        (f'<p style="background:url({URL})">', WHOLE),
        (f'<p style="background:url(&quot;{URL}&quot;)">', WHOLE),
        (f'<img src="http://Links.Acme.example:8080/i/{ID}">', WHOLE),
        (f'<img src="https://mail.example.net/behind/a/proxy/i/{ID}">', WHOLE),
        (f'<img src=" {URL}\n">', WHOLE),
        # With entities.
        (f'<img src="{URL}?m=1&#38;variant=thumbnail">', SMALL),
        (f'<img src="{URL.replace("/", "&#x2F;")}">', WHOLE),
        (f'<img src="{URL.replace(":", "&colon;").replace("_", "&#95;")}">', WHOLE),
        (f'<p style="background:url(&#39;{URL.replace("/", "&sol;")}&#39;)">', WHOLE),
        # One of several.
        (f'<img srcset="{URL}">', WHOLE),
        (f'<img srcset="{URL} 1x, {URL}?variant=full 2x">', WHOLE),
        (f"<source SRCSET='\n{URL}?variant=thumbnail&amp;a=b 200w,\n {URL}?variant=thumbnail 400w'>", SMALL),
        # Outlook shows what stands in conditional comments, and others what stands around the second kind.
        (f'<!--[if mso]><img src="{URL}"><![endif]-->', WHOLE),
        (f'<!--[if !mso]><!--><img src="{URL}"><!--<![endif]-->', WHOLE),
        (f'<!-- a --><!----><!--><img src="{URL}">', WHOLE),
    ],
)
def test_shown(html: str, expected: Shown) -> None:
    assert list(shown_in(html, OWN)) == [expected]
    changed = embedded(html, OWN, lambda _: True)
    assert f"cid:{expected.content_id}" in changed and ID + "?" not in changed and "http" not in changed.lower()
    assert embedded(html, OWN, lambda _: False) == html


@pytest.mark.parametrize(
    "html",
    [
        f'<a href="{URL}">',
        f'<img data-src="{URL}">',
        f'<img src="{URL}/more">',
        f'<img src="{URL}x">',
        f'<img src="{URL}{{{{x}}}}">',
        f'<img src="{{{{base}}}}/i/{ID}">',
        f'<img src="/i/{ID}">',
        '<img src="https://mail.example.net/i/img_1">',
        f"The image is at {URL}",
        f'<img src="https://other.example/i/{ID}">',
        f'<img src="https://mail.example.net.evil.example/i/{ID}">',
        f'<img src="https://mail.example.net@evil.example/i/{ID}">',
        f'<img srcset="https://other.example/i/{ID} 2x">',
        f'<img data-srcset="{URL} 2x">',
        f'<img srcset="{URL}{{{{x}}}} 2x">',
        f'<img src="{URL} 2x">',
        f'<!-- <img src="{URL}"> -->',
        f'<!-- <img src="{URL}">',
        f'<!--[iffy] <img src="{URL}"> -->',
        "",
    ],
)
def test_not_shown(html: str) -> None:
    assert list(shown_in(html, OWN)) == []
    assert embedded(html, OWN, lambda _: True) == html


def test_only_what_is_an_image_changes() -> None:
    other = f"https://other.example/i/{ID}"
    several = f"{other} 1x, {URL}?variant=thumbnail 2x,{URL}, {other}"
    html = f'<img src="{URL}" srcset="{several}"><!-- {URL} <img src="{URL}">-->'
    changed = html.replace(f"{URL}?variant=thumbnail 2x,{URL},", f"cid:{SMALL.content_id} 2x,cid:{WHOLE.content_id},")
    changed = changed.replace(f'<img src="{URL}" ', f'<img src="cid:{WHOLE.content_id}" ')
    assert embedded(html, OWN, lambda _: True) == changed
    assert list(shown_in(html, OWN)) == [WHOLE, SMALL]


def test_the_hosts_of_an_installation() -> None:
    local = own_hosts([], "http://127.0.0.1:8080")
    assert local("localhost") and local("::1") and not local("mail.example.net") and not local("")
    assert own_hosts([], "http://[::1]:8080")("127.0.0.1")
    assert not OWN("localhost") and OWN("mail.example.net") and OWN("links.acme.example")
    assert own_hosts([], "http://0.0.0.0:8080")("any.example")  # its own names are not known


def test_hostile_html_takes_no_time() -> None:
    for piece in (
        "<!--",
        "src=",
        'srcset="',
        "url(",
        "url(&quot;",
        "src='img_ ",
        "<!--[if ",
        '" srcset="a, ',
        "&#",
        "img_,",
    ):
        html = piece * (400_000 // len(piece))
        began = time.process_time()
        assert list(shown_in(f"img_{html}", OWN)) == []
        assert time.process_time() - began < 1, piece
