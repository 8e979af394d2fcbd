"""How a message and its sites were at a moment of the past."""

from datetime import datetime

from msgspec.structs import replace

from analytics.history import History, SitePoint, WholePoint
from analytics.queries import TimelineEvent
from api.admin.past import explain_then, sites_then
from tests.histories import a_point, a_whole
from tests.unit.api.admin_facts import ahead, some_facts

AT = ahead(minutes=-5)


def an_event(kind: str, at: datetime, site: str = "", said: str = "") -> TimelineEvent:
    return TimelineEvent(
        event_type=kind,
        recipient_email="ada@example.com",
        timestamp=at.isoformat(),
        smtp_response=said or None,
        metadata={"site": site} if site else {},
    )


def history(*sites: SitePoint, whole: WholePoint | None = None) -> History:
    return History(site="", since=AT, until=AT, step_s=10, sites=sites, whole=() if whole is None else (whole,))


EVENTS = [
    an_event("processed", ahead(minutes=-9)),
    an_event("deferred", ahead(minutes=-8), "first.example", "421 4.7.0 slow"),
    an_event("open", ahead(minutes=-7)),
    an_event("delivered", ahead(minutes=-1), "second.example", "250 ok"),
]


def test_its_sites_are_those_of_its_attempts_before_that_moment_first() -> None:
    facts = some_facts(events=EVENTS, sites={0: "third.example"})
    assert sites_then(facts, AT) == ["first.example", "second.example", "third.example"]
    assert sites_then(replace(facts, events=None), AT) == ["third.example"]


def test_what_it_was_and_what_held_its_site_back() -> None:
    facts = some_facts(events=EVENTS)
    facts = replace(facts, fate=replace(facts.fate, created_at=ahead(minutes=-9)))
    point = a_point(AT, binds={"message_rate": 0.4, "connections": 0.1}, message_rate=2.5, adjustments=())
    said = list(explain_then(facts, AT, {"first.example": history(point)}, history(whole=a_whole(AT))))
    assert said[0].startswith("At 2026-04-23 09:55:00 UTC (5m ago)")
    assert said[1] == "ada@example.com was put off 09:52:00: 421 4.7.0 slow."
    assert "What held it back: the message rate, 2.5 a second." in said
    assert any(words.startswith("postray as a whole had 1,234 unfinished, the oldest 3m old") for words in said)


def test_what_was_not_sampled_is_said() -> None:
    facts = some_facts(events=None)
    facts = replace(facts, fate=replace(facts.fate, created_at=ahead(minutes=-9)))
    said = list(explain_then(facts, AT, {"a.example": history()}, history()))
    assert said[1:] == [
        "The event store does not answer: what had happened to it by then is not known.",
        "The flight recorder has no sample of a.example then: it had no work, or was not sampled.",
        "The flight recorder has no sample of that time.",
    ]
    free = list(explain_then(facts, AT, {"a.example": history(a_point(AT, binds={}))}, history()))
    assert "No limit held it back." in free


def test_a_journal_that_was_away_is_said() -> None:
    facts = some_facts(events=())
    facts = replace(facts, fate=replace(facts.fate, created_at=ahead(minutes=-9)))
    away = a_whole(AT, journal_ms=None, silent=("api-0",))
    said = list(explain_then(facts, AT, {}, history(whole=away)))
    assert said[-2].endswith("the journal did not answer.") and said[-1] == "Did not answer: api-0."
