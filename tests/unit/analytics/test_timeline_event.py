import msgspec
import pytest

from analytics.queries import TimelineEvent
from cluster.times import iso


def test_what_does_not_apply_is_absent_from_json() -> None:
    event = TimelineEvent(event_type="processed", recipient_email="a@b.example", timestamp=iso(0))
    assert msgspec.json.decode(msgspec.json.encode(event)) == {
        "event_type": "processed",
        "recipient_email": "a@b.example",
        "timestamp": "1970-01-01T00:00:00.000Z",
    }


@pytest.mark.parametrize(
    ("milliseconds", "text"),
    [(1_776_938_402_120, "2026-04-23T10:00:02.120Z"), (1_776_938_402_000, "2026-04-23T10:00:02.000Z")],
)
def test_times_are_iso_8601_in_utc(milliseconds: int, text: str) -> None:
    assert iso(milliseconds) == text
