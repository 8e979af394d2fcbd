"""How readings are written for Prometheus."""

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_metrics
from prometheus_client.parser import text_string_to_metric_families as plain

from cluster.metrics import Reading
from cluster.monitoring.exposition import exposition

OPEN_METRICS = "application/openmetrics-text; version=1.0.0,text/plain;version=0.0.4;q=0.5"
"""What Prometheus accepts."""
SENT = Reading(name="postray_sent_total", kind="counter", help="Sent.", values={"": 3})
BY_SITE = Reading(name="postray_queued", kind="gauge", help="Queued.", label="site", values={"a": 1, "b": 2.5})
LATE = Reading(
    name="postray_late_seconds",
    kind="histogram",
    help="Late.",
    label="le",
    values={"0.1": 1, "1": 4, "+Inf": 5},
    sum=7.5,
)


def read(text: bytes, is_open: bool) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    parse = open_metrics if is_open else plain
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in parse(text.decode())
        for sample in family.samples
    }


@pytest.mark.parametrize("accept", ["", "text/plain", OPEN_METRICS])
def test_what_is_written_is_what_was_counted(accept: str) -> None:
    is_open = accept == OPEN_METRICS
    text, content_type = exposition({"": [BY_SITE], "delivery-0-0": [SENT, LATE], "api-0-0": [SENT]}, accept)
    assert content_type.startswith("application/openmetrics-text" if is_open else "text/plain")
    assert text.endswith(b"# EOF\n") == is_open
    actor = ("actor", "delivery-0-0")
    assert read(text, is_open) == {
        ("postray_queued", (("site", "a"),)): 1,
        ("postray_queued", (("site", "b"),)): 2.5,
        ("postray_sent_total", (actor,)): 3,
        ("postray_sent_total", (("actor", "api-0-0"),)): 3,
        ("postray_late_seconds_bucket", (actor, ("le", "0.1"))): 1,
        ("postray_late_seconds_bucket", (actor, ("le", "1.0"))): 4,
        ("postray_late_seconds_bucket", (actor, ("le", "+Inf"))): 5,
        ("postray_late_seconds_count", (actor,)): 5,
        ("postray_late_seconds_sum", (actor,)): 7.5,
    }


def test_a_family_stands_together_and_has_one_help() -> None:
    text, _ = exposition({f"api-0-{number}": [SENT, BY_SITE] for number in range(3)}, "")
    lines = text.decode().splitlines()
    assert [line for line in lines if line.startswith("# HELP")] == [
        "# HELP postray_queued Queued.",
        "# HELP postray_sent_total Sent.",
    ]
    assert len(lines) == 4 + 6 + 3


def test_a_name_that_would_break_a_line_is_quoted() -> None:
    hostile = 'a"b\\c\nd{}'
    reading = Reading(name="postray_queued", kind="gauge", help="Queued.", label="site", values={hostile: 1})
    for accept in ("", OPEN_METRICS):
        text, _ = exposition({"": [reading]}, accept)
        assert read(text, accept == OPEN_METRICS) == {("postray_queued", (("site", hostile),)): 1}


def test_what_cannot_be_told_is_no_number() -> None:
    text, _ = exposition(
        {"": [Reading(name="postray_free", kind="gauge", help="Free.", values={"": float("nan")})]}, ""
    )
    assert b"postray_free NaN\n" in text


def test_another_release_that_declares_a_name_otherwise_is_left_out() -> None:
    other = Reading(name="postray_queued", kind="counter", help="Other.", values={"": 9})
    text, _ = exposition({"a": [BY_SITE], "b": [other], "c": [BY_SITE]}, "")
    assert {labels for _, labels in read(text, False)} == {
        (("actor", actor), ("site", site)) for actor in "ac" for site in "ab"
    }


def test_nothing_is_a_text_too() -> None:
    assert exposition({}, "")[0] == b""
    assert exposition({}, OPEN_METRICS)[0] == b"# EOF\n"
