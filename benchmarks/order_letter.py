"""An order confirmation of 4 to 6 KB, for the templates scenario: as a stored template, and with substitutions. Pure.

It has ten values, a list of five items, and a paragraph for some readers. A stored template gets these as data. With
substitutions the sender makes the list and the paragraph, and gives them as values. A message reads the same in both.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import msgspec
from msgspec.structs import replace

from benchmarks.mail import StoredLetter, SubstitutedLetter
from cluster.templates.texts import TemplateTexts

NAMES = ("name", "number", "date", "total", "currency", "street", "city", "country", "shop", "support")
_ABOUT = (
    "If anything is not as it should be, answer this mail within thirty days. Keep this letter: it is the proof of "
    "purchase for the guarantee, which lasts two years from the day on which the parcel arrives.",
    "You can send back what you do not like. Put it into the parcel in which it came, with the slip that lies in it, "
    "and hand it in at any counter. We return the price to the account from which it was paid, as soon as we have it.",
    "What is not in stock follows as soon as we have it, at no further cost. You hear from us on the day on which it "
    "leaves, and you can take it off the order until then.",
    "The carrier tells you by mail when the parcel comes. You need not be at home: it can lie with a neighbour, or in "
    "a shop near you, which keeps it for a week and asks for the number of your order and for a card with your name.",
    "Where a thing needs batteries, they are in the parcel. Used ones, and whatever else must not go into the bin, you "
    "can bring to us or send back in the same box, at our cost.",
    "For all questions about this order our people can be reached from Monday to Saturday, from eight in the morning "
    "to eight in the evening. Have the number at hand that stands at the top of this letter.",
)
_SUBJECT = "Your order <number> at <shop>"
_TEXT = (
    """Dear <name>,

thank you for your order <number> of <date>. We pack it today, and you hear from us when it leaves.

<items>
Total: <total> <currency>
<note>
It goes to:
<street>
<city>
<country>

"""
    + "".join([f"{paragraph}\n\n" for paragraph in _ABOUT])
    + "<shop>\n<support>\n"
)
_HTML = (
    """<!DOCTYPE html>
<html><head><meta charset="utf-8"><title>Your order</title></head>
<body style="margin:0;padding:0;background:#f4f4f4">
<table role="presentation" width="100%" cellpadding="0" cellspacing="0"><tr><td align="center">
<table role="presentation" width="600" cellpadding="24" cellspacing="0" style="background:#fff;font-family:sans-serif">
<tr><td>
<h1 style="font-size:22px">Thank you, <name></h1>
<p>We have your order <strong><number></strong> of <date>. We pack it today, and you hear from us when it leaves.</p>
<table width="100%" cellpadding="6" cellspacing="0" style="border-collapse:collapse;border-top:1px solid #ddd">
<items>
</table>
<p style="text-align:right;font-size:18px">Total: <total> <currency></p>
<note>
<h2 style="font-size:16px">It goes to</h2>
<p><street><br><city><br><country></p>
"""
    + "".join([f'<p style="color:#555;line-height:1.5">{paragraph}</p>\n' for paragraph in _ABOUT])
    + """<p style="color:#999;font-size:12px"><shop>, <support></p>
</td></tr></table>
</td></tr></table>
</body></html>
"""
)
_TEXT_ITEM = "%s  %s x %s\n"
_HTML_ITEM = '<tr><td>%s</td><td align="right">%s</td><td align="right">%s</td></tr>\n'
_TEXT_NOTE = "\nAs a member you get %s points for it.\n"
_HTML_NOTE = "<p>As a member you get <strong>%s</strong> points for it.</p>\n"
_ITEM = ("{{title}}", "{{quantity}}", "{{price}}")


def stored_texts() -> TemplateTexts:
    """The texts of the stored template."""

    def with_tags(text: str, item: str, note: str) -> str:
        text = text.replace("<items>\n", "{{#each items}}\n" + item % _ITEM + "{{/each}}\n")
        text = text.replace("<note>\n", "{{#if points}}\n" + note % "{{points}}" + "{{/if}}\n")
        return _marked(text, "{{%s}}")

    return TemplateTexts(
        subject=_marked(_SUBJECT, "{{%s}}"),
        plain=with_tags(_TEXT, _TEXT_ITEM, _TEXT_NOTE),
        html=with_tags(_HTML, _HTML_ITEM, _HTML_NOTE),
    )


def linked_texts(links: int) -> TemplateTexts:
    """The texts of the stored template with links in its html, some of which name the order."""
    texts = stored_texts()
    rows = [
        f'<p><a href="https://shop.example.com/{page}/of-the-order?page={page}">More about {page}</a></p>\n'
        if page % 2
        else f'<p><a href="https://shop.example.com/orders/{{{{number}}}}?page={page}">Your order, {page}</a></p>\n'
        for page in range(links)
    ]
    return replace(
        texts, html=texts.html.replace('<h2 style="font-size:16px">', "".join(rows) + '<h2 style="font-size:16px">')
    )


def stored(template_id: str) -> StoredLetter:
    """The letter of a stored template with ``stored_texts``."""
    return StoredLetter(template_id=template_id, data=_data_as_json)


def substituted() -> SubstitutedLetter:
    """The letter with substitutions."""
    lists = {"<items>\n": "-items-", "<note>\n": "-note-"}

    def with_keys(text: str, kind: str) -> str:
        for place, key in lists.items():
            text = text.replace(place, f"{key}{kind}")
        return _marked(text, "-%s-")

    return SubstitutedLetter(
        subject=_marked(_SUBJECT, "-%s-"),
        text=with_keys(_TEXT, "text-"),
        html=with_keys(_HTML, "html-"),
        substitutions=partial(_json, substitutions),
    )


def data(number: int) -> dict[str, Any]:
    """The data of the message with this number."""
    return _values(number) | {"items": _items(number), "points": _points(number)}


def _items(number: int) -> list[dict[str, Any]]:
    return [
        {"title": f"Thing {number % 90 + i} for the house", "quantity": i + 1, "price": f"{number % 80 + 10}.{i}5"}
        for i in range(5)
    ]


def _points(number: int) -> int:
    return number % 500 if number % 2 else 0


_LISTS = 720
"""How many different lists of items there are."""
_items_as_json = [msgspec.Raw(msgspec.json.encode(_items(number))) for number in range(_LISTS)]


def _data_as_json(number: int) -> str:
    """The data as JSON. The lists are at hand, because the load shares the measured machine."""
    own = _values(number) | {"items": _items_as_json[number % _LISTS], "points": _points(number)}
    return msgspec.json.encode(own).decode("ascii")


def substitutions(number: int) -> dict[str, str]:
    """The substitutions of the message with this number."""
    given = data(number)
    rows = [(item["title"], item["quantity"], item["price"]) for item in given["items"]]
    points = given["points"]
    return {f"-{name}-": value for name, value in _values(number).items()} | {
        "-items-text-": "".join([_TEXT_ITEM % row for row in rows]),
        "-items-html-": "".join([_HTML_ITEM % row for row in rows]),
        "-note-text-": _TEXT_NOTE % points if points else "",
        "-note-html-": _HTML_NOTE % points if points else "",
    }


def _values(number: int) -> dict[str, str]:
    return {
        "name": f"Reader {number}",
        "number": f"A-{number:07d}",
        "date": f"{number % 28 + 1} May 2026",
        "total": f"{number % 900 + 100}.50",
        "currency": "EUR",
        "street": f"{number % 200 + 1} Long Street",
        "city": f"{number % 90_000 + 10_000} Somewhere",
        "country": "Germany",
        "shop": "The Shop",
        "support": "help@mail.example.com",
    }


def _marked(text: str, mark: str) -> str:
    """The text with a mark for each value."""
    for name in NAMES:
        text = text.replace(f"<{name}>", mark % name)
    return text


def _json(values: Callable[[int], Mapping[str, Any]], number: int) -> str:
    return msgspec.json.encode(values(number)).decode("ascii")
