"""A version of a template: its texts compiled together, the preheader in its html, faults named by their text."""

import pytest
from msgspec.structs import replace

from cluster.templates.compiled import TextFault, compile_texts, faults_of
from cluster.templates.handlebars.errors import TooMuch
from cluster.templates.preheader import CLOSING, OPENING
from cluster.templates.texts import TemplateTexts


def test_a_version_is_filled_for_one_message_after_the_other() -> None:
    template = compile_texts(TemplateTexts(subject="Hi {{a}}", plain="{{a}} & {{b}}", html="<p>{{a}}</p>{{b}}"))
    assert [kind for kind, _ in template.parts] == ["text/plain", "text/html"]
    for a, escaped in (("<A>", "&lt;A&gt;"), ("B", "B")):
        filled = template.fill({"a": a, "b": "&"})
        assert filled.subject == f"Hi {a}"
        assert filled.holes == ((a, "&"), (escaped, "&amp;"))


def test_only_the_texts_that_there_are_become_parts() -> None:
    assert [kind for kind, _ in compile_texts(TemplateTexts(html="x")).parts] == ["text/html"]
    assert [kind for kind, _ in compile_texts(TemplateTexts(plain="x", preheader="y")).parts] == ["text/plain"]


def test_the_preheader_is_hidden_at_the_beginning_of_the_body() -> None:
    template = compile_texts(TemplateTexts(html="<html><body class=x>{{b}}</body>", preheader="See {{a}}"))
    ((_, html),) = template.parts
    assert html.literals[0] == f"<html><body class=x>{OPENING}See "
    assert html.literals[1:] == (CLOSING, "</body>")
    assert template.fill({"a": "<", "b": 1}).holes == (("&lt;", "1"),)
    assert html.names == {("a",), ("b",)}


def test_a_legacy_version_has_no_holes() -> None:
    template = compile_texts(TemplateTexts(generation="legacy", subject="{{#if}}", html="-{{a}}-", plain="{{"))
    assert [(text.literals, text.holes) for _, text in template.parts] == [(("{{",), 0), (("-{{a}}-",), 0)]
    assert template.fill({}).subject == "{{#if}}"
    ((_, html),) = compile_texts(TemplateTexts(generation="legacy", html="<body>-{{a}}-", preheader="-b- &")).parts
    assert html.literals == (f"<body>{OPENING}-b- &amp;{CLOSING}-{{{{a}}}}-",)


@pytest.mark.parametrize("field", ["subject", "plain", "html", "preheader"])
@pytest.mark.parametrize("source", ["a\n{{#if x}}", "a\n{{nope 1}}"])
def test_a_fault_names_its_text(field: str, source: str) -> None:
    texts = replace(TemplateTexts(html="{{a}}", plain="{{b}}"), **{field: source})
    with pytest.raises(TextFault) as caught:
        compile_texts(texts)
    assert (caught.value.field, caught.value.error.line) == (field, 2)


def test_all_faulty_texts_are_found() -> None:
    texts = TemplateTexts(subject="{{a", plain="{{b}}", html="{{c d}}", preheader="{{/if}}")
    assert [fault.field for fault in faults_of(texts)] == ["subject", "html", "preheader"]
    assert faults_of(TemplateTexts(subject="{{a}}")) == faults_of(TemplateTexts(generation="legacy", html="{{")) == []


def test_all_texts_of_a_message_share_its_bounds() -> None:
    template = compile_texts(TemplateTexts(subject="{{a}}", plain="{{a}}", html="{{a}}"))
    assert template.fill({"a": "x" * 100}, steps=6, output=300)
    with pytest.raises(TooMuch):
        template.fill({"a": "x" * 100}, steps=6, output=299)
    with pytest.raises(TooMuch):
        template.fill({"a": "x" * 100}, steps=5, output=300)


def test_what_messages_share_is_not_among_their_values() -> None:
    template = compile_texts(TemplateTexts(subject="s{{a}}", html="x" * 1_000 + "{{#if a}}y{{a}}{{/if}}"))
    assert template.fill({"a": "zz"}, values=5).holes == (("yzz",),)
    with pytest.raises(TooMuch):
        template.fill({"a": "zz"}, values=4)
    with pytest.raises(TooMuch):
        template.fill({"a": "zz"}, values=5, output=1_005)
