"""The page of a report, from answers that are given."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from selectolax.lexbor import LexborHTMLParser

from analytics.report import questions
from analytics.report.making import make
from analytics.report.page import OPEN_ROWS
from analytics.report.periods import Period, Range

UNTIL = datetime(2026, 4, 24, 12, tzinfo=UTC)
SINCE = UNTIL - timedelta(days=7)
DAY = round(datetime(2026, 4, 23, tzinfo=UTC).timestamp())
SECTIONS = ["volumes", "times", "sites", "engagement", "bounces", "deferrals", "replies", "tls", "category", "tenant"]
HOSTILE = "<script>alert(1)</script><img src=//x.example>\u202e{{ 7 * 7 }}"


class Door:
    """Answers by what a query is about."""

    def __init__(self, **answers: list[list[Any]]) -> None:
        self.answers = answers
        self.asked: list[tuple[str, Mapping[str, str]]] = []

    def __call__(self, query: str, parameters: Mapping[str, str]) -> list[list[Any]]:
        self.asked.append((query, parameters))
        for mark, name in (
            ("arrayJoin(categories)", "categories"),
            ("tenant_id AS name", "tenants"),
            ("site AS name", "sites"),
            ("replaceRegexpAll", "replies"),
            ("is_deferral", "classes"),
            ("tls_version", "tls"),
            ("quantiles", "times"),
            ("machine, count()", "volumes"),
        ):
            if mark in query:
                return self.answers.get(name, [])
        raise AssertionError(query)


def full(name: str = "acme") -> Door:
    counts = [[0, name, 90, 10, 5, 2, 1], [12, "", 9, 1, 0, 0, 0]]
    return Door(
        volumes=[
            [DAY, "processed", False, 120],
            [DAY, "delivered", False, 99],
            [DAY, "bounce", False, 9],
            [DAY, "blocked", False, 2],
            [DAY, "open", False, 5],
            [DAY, "open", True, 4],
        ],
        times=[[0, 99, [1, 2, 3, 4, 5, 6]], [DAY, 99, [1, 2, 3, 4, 5, 6]]],
        sites=[[0, name, 90, 10, 3], [3, "", 9, 1, 0]],
        classes=[[1, name, 3], [0, "bad_mailbox", 11]],
        replies=[[0, f"550 {name}\nline", 0, 11]],
        tls=[["TLSv1.3", 90], ["", 9]],
        categories=counts,
        tenants=counts,
    )


def table(page: LexborHTMLParser, id: str) -> list[list[str]]:
    (section,) = page.css(f"section[aria-labelledby={id}]")
    return [[cell.text() for cell in row.css("th, td")] for row in section.css("tr")]


def test_each_section_has_a_chart_and_its_numbers_in_a_table() -> None:
    page = LexborHTMLParser(make(full(), SINCE, UNTIL))
    sections = page.css("section")
    ids = [section.attributes["aria-labelledby"] for section in sections]
    assert ids == SECTIONS
    for section in sections:
        assert len(section.css("svg.chart")) == 1
        head, *rows = section.css("tr")
        assert rows and all(len(row.css("th, td")) == len(head.css("th")) for row in rows)
        assert all(cell.attributes["scope"] == "col" for cell in head.css("th"))
        assert all(row.css("th")[0].attributes["scope"] == "row" for row in rows)
    assert table(page, "volumes")[-2:] == [["2026-04-23", "99", "11", "0", "0"], ["2026-04-24", "0", "0", "0", "0"]]
    assert table(page, "sites")[1:] == [
        ["acme", "90", "10", "90.0 %", "3"],
        ["other (3 sites)", "9", "1", "90.0 %", "0"],
    ]
    assert table(page, "tls")[1:] == [["TLSv1.3", "90", "90.9 %"], ["in clear", "9", "9.1 %"]]
    assert table(page, "engagement")[-2] == ["2026-04-23", "5", "4", "0", "0"]
    assert table(page, "times")[1][:3] == ["whole range", "99", "1 s"]
    tiles = dict(zip((n.text() for n in page.css("dt")), (n.text() for n in page.css("dd")), strict=True))
    assert (tiles["accepted"], tiles["bounced"]) == ("120", "11 (10.0 %)")


def test_the_page_needs_nothing_else() -> None:
    text = make(full(), SINCE, UNTIL)
    page = LexborHTMLParser(text)
    assert not page.css("script, link, img, iframe, object, form, a")
    assert "http://" not in text and "https://" not in text and "@import" not in text and "url(" not in text
    (policy,) = page.css("meta[http-equiv=Content-Security-Policy]")
    assert policy.attributes["content"] == "default-src 'none'; style-src 'unsafe-inline'"
    assert page.css("html")[0].attributes["lang"] == "en" and "prefers-color-scheme: dark" in text


def test_what_others_wrote_is_text() -> None:
    text = make(full(HOSTILE), SINCE, UNTIL, tenant_id="", tenant_name=HOSTILE, name_of=lambda id: HOSTILE)
    page = LexborHTMLParser(text)
    assert not page.css("script, img") and "\u202e" not in text and "49" not in [n.text() for n in page.css("th")]
    assert HOSTILE.replace("\u202e", "\\u202e") in [row[0] for row in table(page, "category")]
    assert page.css("h1")[0].text() == HOSTILE.replace("\u202e", "\\u202e")


def test_without_events_the_page_says_so_and_asks_no_more() -> None:
    door = Door()
    text = make(door, SINCE, UNTIL, tenant_name="acme")
    assert "There are no events in this range." in text and "<svg" not in text
    assert len(door.asked) == 1


def test_a_section_without_events_says_so() -> None:
    page = LexborHTMLParser(make(Door(volumes=[[DAY, "processed", False, 3]], times=[[0, 0, []]]), SINCE, UNTIL))
    sections = page.css("section")
    assert len(sections) == len(SECTIONS) and not page.css("svg.chart")
    assert all("Nothing of this happened" in section.text() for section in sections)


def test_many_names_and_periods_stay_few() -> None:
    door = full()
    door.answers["classes"] = [[0, f"class{i}", 100 - i] for i in range(28)]
    page = LexborHTMLParser(make(door, UNTIL - timedelta(days=93), UNTIL))
    rows = table(page, "bounces")[1:]
    assert len(rows) == questions.TOP + 1
    assert rows[-1][:2] == ["other (18)", f"{sum(100 - i for i in range(10, 28)):,}"]
    assert len(table(page, "volumes")) == 95
    (section,) = page.css("section[aria-labelledby=volumes]")
    assert "open" not in section.css("details")[0].attributes
    assert len(table(page, "sites")) - 1 <= OPEN_ROWS


def test_a_tenants_report_asks_for_its_rows_alone_and_has_no_tenants() -> None:
    door = full()
    text = make(door, SINCE, UNTIL, tenant_id="tnt_1", tenant_name="acme")
    assert 'id="tenant"' not in text and "<h1>acme</h1>" in text
    for query, parameters in door.asked:
        assert "tenant_id = {tenant:String}" in query and "tnt_1" not in query
        assert parameters["tenant"] == "tnt_1"


def test_of_many_deliveries_messages_are_sampled_and_it_is_said() -> None:
    door = full()
    door.answers["volumes"] = [[DAY, "delivered", False, 50_000_000]]
    assert "One message in 25 was looked at." in make(door, SINCE, UNTIL)
    (sampled,) = [parameters["sampled"] for _, parameters in door.asked if "sampled" in parameters]
    assert sampled == "25"


@pytest.mark.parametrize(
    ("days", "period", "most"),
    [(0.001, Period.HOUR, 2), (3, Period.HOUR, 73), (7, Period.DAY, 8), (93, Period.DAY, 94), (94, Period.WEEK, 15),
     (731, Period.WEEK, 106), (3660, Period.MONTH, 122)],
)  # fmt: skip
def test_a_range_has_as_many_periods_as_a_chart_can_show(days: float, period: Period, most: int) -> None:
    for until in (UNTIL, datetime(2024, 3, 1, tzinfo=UTC), datetime(2026, 1, 1, 0, 0, 1, tzinfo=UTC)):
        range = Range(until - timedelta(days=days), until)
        starts = range.starts()
        assert range.period is period and 1 <= len(starts) <= most
        assert starts[0] <= range.since < until and starts[-1] < until
        assert starts == sorted(set(starts)) and len({one.name for one in range.moments()}) == len(starts)
