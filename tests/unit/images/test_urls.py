"""Where html shows an image of the library."""

import pytest

from cluster.images.urls import Shown, embedded, shown_in

ID = "img_01KQ7B2XWJ5T0E8M3N6R9VA4CJ"
URL = f"https://mail.example.net/i/{ID}"
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
        (f'<img src="http://127.0.0.1:8080/i/{ID}">', WHOLE),
        (f'<img src="https://example.com/behind/a/proxy/i/{ID}">', WHOLE),
    ],
)
def test_shown(html: str, expected: Shown) -> None:
    assert list(shown_in(html)) == [expected]
    changed = embedded(html, lambda _: True)
    assert f"cid:{expected.content_id}" in changed and ID + "?" not in changed and "http" not in changed
    assert embedded(html, lambda _: False) == html


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
        "",
    ],
)
def test_not_shown(html: str) -> None:
    assert list(shown_in(html)) == []
    assert embedded(html, lambda _: True) == html
