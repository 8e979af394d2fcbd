"""The page of troubles, from the answers to its questions."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
from selectolax.lexbor import LexborHTMLParser

from analytics.samples import SAMPLES, Sample
from analytics.troubles import questions
from analytics.troubles.effects import MOST
from analytics.troubles.making import make, read
from analytics.troubles.recorded import How, Span
from tests.unit.analytics.troubled import (
    SITE,
    T0,
    a_sample,
)


class Door:
    """Answers by what a query is about."""

    def __init__(self, answers: Mapping[str, list[list[Any]]]) -> None:
        self.answers = answers

    def __call__(self, query: str, parameters: Mapping[str, str]) -> list[list[Any]]:
        assert parameters == {"since": str(T0), "until": str(T0 + 120), "step": "1"}
        (name,) = [name for name, text in vars(questions).items() if text == query and name.isupper()]
        return self.answers.get(name, [])


def as_row(sample: Sample) -> list[Any]:
    row: list[Any] = []
    for name in SAMPLES.columns:
        value = getattr(sample, name)
        if name == "happened":
            value = [[kind, actor, str(began), str(ended)] for kind, actor, began, ended in value]
        row += [list(value), list(value.values())] if isinstance(value, Mapping) else [value]
    return [list(value) if isinstance(value, tuple) else value for value in row]


def test_the_page_names_each_trouble_and_is_closed_to_what_hosts_say() -> None:
    hostile = "421 <script>alert(1)</script> ada@example.com"
    answers = {
        "SAMPLES_OF": [
            as_row(a_sample(at, started={"api-0": T0 + 57} if at >= 60 else {})) for at in range(10, 121, 10)
        ],
        "FLOW": [[place, 50, 50, 50, 1000, 0] for place in range(120)],
        "SITES": [[place, SITE, 50, 50, 1000] for place in range(120)],
        "FAILURES": [[80, SITE, "rate_limited", 421, 0, 20, hostile]],
        "HELD": [[T0 + 100, SITE, "back_off", 7]],
        "POSTS": [[place, 1, 0, 0] for place in range(120)],
    }
    since, until = (datetime.fromtimestamp(at, UTC) for at in (T0, T0 + 120))
    page, said = make(Door(answers), since, until)
    answer = json.loads(said)
    assert (answer["left_out"], answer["cut"]) == (0, [])
    assert [(one["kind"], one["begin"] - T0) for one in answer["troubles"]] == [
        ("restarted", 57),
        ("failures", 80),
        ("held", 90),
    ]
    tree = LexborHTMLParser(page)
    (section,) = tree.css("section[aria-labelledby=troubles]")
    rows = [row.css("th, td")[0].text() for row in section.css("tbody tr")]
    assert rows[0] == "the process of api-0 was new"
    assert rows[1].startswith(f"{SITE}: hosts were not available: 20 of 50 attempts, such as “421 <script>")
    assert rows[2] == f"{SITE}: backing off: no connection could be made; up to 7 waited"
    assert "left out" not in section.text() and "looked at" not in section.text()
    assert not tree.css("script") and "ada@" not in page and len(section.css("svg rect.bar")) == 3
    assert {node.attributes["id"] for node in tree.css("h2")} == {
        *("troubles", "mail", "waiting", "ages", "journal", "failures", "webhooks")
    }


def test_a_time_without_anything_says_so() -> None:
    page, said = make(Door({}), datetime.fromtimestamp(T0, UTC), datetime.fromtimestamp(T0 + 120, UTC))
    assert "There are no events in this range." in page
    assert json.loads(said) == {"troubles": [], "left_out": 0, "cut": []}


def test_of_too_many_troubles_the_longest_are_told_and_the_page_says_so() -> None:
    samples = [as_row(a_sample(at, started={"api-0": T0 + 119} if at == 120 else {})) for at in range(10, 121, 10)]
    short = [[T0 + 10, f"site{i}.example", "back_off", 7] for i in range(MOST)]
    long = [[T0 + at, "long.example", "back_off", 7] for at in range(60, 121, 10)]
    since, until = (datetime.fromtimestamp(at, UTC) for at in (T0, T0 + 120))
    page, said = make(Door({"SAMPLES_OF": samples, "HELD": [*short, *long]}), since, until)
    answer = json.loads(said)
    assert (len(answer["troubles"]), answer["left_out"], answer["cut"]) == (MOST, 2, [])
    assert [(one["kind"], one["subject"]) for one in answer["troubles"][-2:]] == [
        ("held", "long.example"),
        ("restarted", "api-0"),
    ]
    section = LexborHTMLParser(page).css("section[aria-labelledby=troubles]")[0].text()
    assert "Only 2,000 of 2,002 are listed and drawn: those of sites that were shortest are left out." in section
    assert "2,002" in LexborHTMLParser(page).css("dl, .tiles")[0].text()


def test_what_the_questions_cut_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(questions, "MOST_ROWS", 3)
    rows = [[T0 + at, SITE, "back_off", 7] for at in (10, 20, 30, 40)]
    failures = [[place, SITE, "rate_limited", 421, 0, 20, "421 later"] for place in (80, 81, 82, 83)]
    flow = [[place, 50, 50, 50, 1000, 0] for place in range(120)]
    answers: dict[str, list[list[Any]]] = {"FLOW": flow, "HELD": rows, "FAILURES": failures}
    since, until = (datetime.fromtimestamp(at, UTC) for at in (T0, T0 + 120))
    page, said = make(Door(answers), since, until)
    answer = json.loads(said)
    assert answer["cut"] == ["failures", "held"]
    assert [one["end"] - T0 for one in answer["troubles"] if one["kind"] in answer["cut"]] == [30, 83]
    assert "Attempts failed for so long at so many sites that only what lasted longest was looked at." in page
    assert "Mail was held back for so long at so many sites that only what lasted longest was looked at." in page
    _, said = make(Door({**answers, "HELD": rows[:3], "FAILURES": failures[:3]}), since, until)
    assert json.loads(said)["cut"] == []


def test_of_failures_only_the_places_are_kept_where_there_were_any() -> None:
    rows = [[80, SITE, "rate_limited", 421, 0, 2, ""], [80, SITE, "policy", 421, 0, 3, ""]]
    of = read(Door({"FAILURES": rows}), Span(since=T0, until=T0 + 120), lambda about: None)
    (one,) = of.failures
    assert (one.how, one.counts) == (How.CLOSED, {80: 5})
