"""Templates print what handlebars.js prints: cases by hand (``corpus/cases.js``), and random ones (``corpus/fuzz.py``).

Both files hold handlebars.js's answers; ``corpus/make.js`` and ``corpus/fuzz.py`` make them anew.
"""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from cluster.templates.handlebars.errors import TemplateError
from cluster.templates.handlebars.helpers import HELPERS
from tests.documents import ROOT, text_of
from tests.unit.templates.corpus.fuzz import difference, ours

CORPUS = Path(__file__).parent / "corpus"
REFUSED = "refused"
"""The group of those that handlebars.js compiles and we do not."""


def corpus() -> tuple[list[str], dict[str, list[dict[str, Any]]]]:
    """The data, and the cases by group."""
    loaded = json.loads((CORPUS / "handlebars.json").read_text(encoding="utf-8"))
    groups: dict[str, list[dict[str, Any]]] = {}
    for case in loaded["cases"]:
        groups.setdefault(case["group"], []).append(case)
    return loaded["data"], groups


DATA, GROUPS = corpus()
FUZZ = json.loads((CORPUS / "fuzz.json").read_text(encoding="utf-8"))


def test_the_corpus_is_large() -> None:
    assert sum(map(len, GROUPS.values())) >= 700
    assert len(FUZZ) >= 200


@pytest.mark.parametrize("group", sorted(GROUPS.keys() - {REFUSED}))
def test_a_template_prints_what_handlebars_prints(group: str) -> None:
    differences = []
    for case in GROUPS[group]:
        template, data = case["template"], DATA[case["data"]]
        if case["html"] is None:
            told = None if isinstance(ours(template, {}, is_html=True), TemplateError) else "ours compiles"
        else:
            told = difference(template, data, case)
        if told is not None:
            differences.append(f"{template!r}\n{told}")
    assert not differences, "\n\n".join(differences)


@pytest.mark.parametrize("case", GROUPS[REFUSED], ids=lambda case: case["template"])
def test_what_would_fail_later_is_refused_when_it_is_saved(case: dict[str, Any]) -> None:
    assert case["html"] is not None
    assert isinstance(ours(case["template"], {}, is_html=True), TemplateError)


def test_random_templates_print_what_handlebars_prints() -> None:
    told = [difference(case["template"], case["data"], case) for case in FUZZ]
    assert not any(told), "\n\n".join(text for text in told if text)


def test_the_page_s_examples_print_what_it_says() -> None:
    page = text_of(ROOT / "docs" / "templates.md")
    [body] = re.findall(r"```json\n(.*?)```", page, re.DOTALL)
    data = json.loads(body)["personalizations"][0]["dynamic_template_data"]
    rows = re.findall(r"^\| `(.+?)`( in html)? \| (?:`(.+?)` )?\|$", page, re.MULTILINE)
    assert len(rows) == page.partition("## Helpers")[0].count("\n| `")
    for template, in_html, printed in rows:
        assert ours(template, data, is_html=bool(in_html)) == printed


def test_the_page_names_every_helper() -> None:
    page = text_of(ROOT / "docs" / "templates.md")
    rows = re.findall(r"^\| ((?:`\w+` )+)\|", page.partition("## Helpers")[2], re.MULTILINE)
    assert {name for row in rows for name in re.findall(r"\w+", row)} == HELPERS.keys()
