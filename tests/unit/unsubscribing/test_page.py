"""The unsubscribe page: its languages, its look, and that nothing in it can act by itself."""

import re
from string import Formatter

import pytest
from msgspec import structs
from selectolax.lexbor import LexborHTMLParser

from api.unsubscribing.page import HEADERS, failure, page, readable_on
from api.unsubscribing.words import WORDS, language_of
from cluster.journal.unsubscribing import Action, PageFacts, ShownGroup
from cluster.tenancy.settings import SubscriptionTracking, TenantSettings, UnsubscribePage

HOSTILE = '"><script>alert(1)</script>{0}{sender}&'
GROUPS = (ShownGroup(4, "News", "Each week", False), ShownGroup(7, HOSTILE, "", True))


def facts(**changes: object) -> PageFacts:
    return structs.replace(PageFacts("Acme", TenantSettings(), False, GROUPS), **changes)


def actions(html: str) -> list[tuple[str, str]]:
    """(action, group) of each form."""
    found = []
    for form in LexborHTMLParser(html).css("form"):
        assert form.attributes["method"] == "post" and "action" not in form.attributes
        fields = {field.attributes["name"]: field.attributes["value"] or "" for field in form.css("input")}
        found.append((str(fields["action"]), str(fields.get("group_id", ""))))
    return found


def test_ten_languages_have_the_same_words() -> None:
    assert len(WORDS) == 10
    english = structs.asdict(WORDS["en"])
    for words in WORDS.values():
        for name, text in structs.asdict(words).items():
            names = {field for _, field, _, _ in Formatter().parse(text) if field}
            assert text and names == {field for _, field, _, _ in Formatter().parse(english[name]) if field}, text


@pytest.mark.parametrize(
    ("accepted", "language"),
    [
        ("", "en"),
        ("de", "de"),
        ("pt-BR,pt;q=0.9,en;q=0.8", "pt"),
        ("da, en-GB;q=0.8, sv;q=0.9", "sv"),
        ("ja;q=0, fr;q=0.1", "fr"),
        ("xx, *;q=0.5", "en"),
        ("de;q=nan, es;q=x, it;q=0.2", "it"),
        (",;=,;;q=", "en"),
    ],
)
def test_the_reader_gets_a_language_of_theirs(accepted: str, language: str) -> None:
    assert language_of(accepted) == language


@pytest.mark.parametrize("language", WORDS)
def test_each_language_has_a_whole_page(language: str) -> None:
    html = page(facts(), "ada@example.com", language, Action.UNSUBSCRIBE_GROUP, 4)
    assert f'<html lang="{language}">' in html
    text = LexborHTMLParser(html).body.text()  # type: ignore[union-attr]
    assert "ada@example.com" in text and "Acme" in text and "News" in text
    assert not re.search(r"\{(sender|address|group)\}", text.replace(HOSTILE, ""))


def test_what_can_be_done_depends_on_what_is() -> None:
    assert actions(page(facts(), "a@b.example", "en")) == [
        ("unsubscribe_all", ""),
        ("unsubscribe_group", "4"),
        ("resubscribe_group", "7"),
    ]
    assert actions(page(facts(is_unsubscribed=True), "a@b.example", "en")) == [("resubscribe_all", "")]
    assert actions(failure("en", later=True)) == []


def test_no_text_of_others_is_html() -> None:
    settings = TenantSettings(
        unsubscribe_page=UnsubscribePage(text=HOSTILE), subscription=SubscriptionTracking(landing=HOSTILE)
    )
    hostile = facts(tenant_name=HOSTILE, settings=settings, is_unsubscribed=True)
    html = page(hostile, f"{HOSTILE}@example.com", "en", Action.UNSUBSCRIBE_ALL)
    assert "<script" not in html and html.count("&lt;script&gt;") >= 4
    assert "script-src" not in HEADERS["content-security-policy"]
    assert HEADERS["content-security-policy"].startswith("default-src 'none'")


def test_a_tenants_text_and_colour() -> None:
    settings = TenantSettings(unsubscribe_page=UnsubscribePage(text="We will miss you", colour="#ffcc00"))
    html = page(facts(settings=settings), "a@b.example", "en")
    assert "We will miss you" in html and "--own: #ffcc00; --on-own: #000000" in html


@pytest.mark.parametrize(
    ("colour", "text"), [("#ffffff", "#000000"), ("#000000", "#ffffff"), ("#2457c5", "#ffffff"), ("#ffcc00", "#000000")]
)
def test_the_button_can_be_read(colour: str, text: str) -> None:
    assert readable_on(colour) == text
