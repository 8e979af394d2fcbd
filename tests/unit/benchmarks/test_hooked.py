"""What the endpoint of a chaos run was promised: each broken promise is found, and no other."""

from msgspec.structs import replace

from benchmarks.chaos.hooked import contradictions, missing
from benchmarks.chaos.records import StoredEvent
from benchmarks.hook_log import HookedEvent, Post

ADDRESS = "r0-0-0.ok@one.example.org"
EVENTS = [
    StoredEvent("evt_1", "processed", "msg_1", ADDRESS),
    StoredEvent("evt_2", "deferred", "msg_1", ADDRESS),
    StoredEvent("evt_3", "delivered", "msg_1", ADDRESS),
]
HEARD = [
    HookedEvent(
        event_id=one.event_id,
        event_type=one.event,
        message_id=one.message_id,
        recipient_email=one.recipient,
        sequence=number * 100_000,
    )
    for number, one in enumerate(EVENTS, 1)
]


def post(*events: HookedEvent, taken: bool = True, status: int = 200) -> Post:
    return Post(at=1.0, path="/", taken=taken, status=status, count=len(events), events=list(events))


def test_all_is_well_in_any_order_and_more_than_once() -> None:
    posts = [post(HEARD[2]), post(HEARD[0], HEARD[1]), post(HEARD[2])]
    assert list(missing(posts, EVENTS)) == []
    assert list(contradictions(posts, EVENTS)) == []


def test_an_event_counts_only_where_its_post_was_answered() -> None:
    posts = [post(*HEARD[:2]), post(HEARD[2], taken=False, status=500), post(HEARD[2], status=0)]
    (found,) = missing(posts, EVENTS)
    assert found.startswith("evt_3 (delivered of msg_1")


def test_an_event_under_another_id_is_not_in_clickhouse() -> None:
    (found,) = contradictions([post(*HEARD, replace(HEARD[2], event_id="evt_9", sequence=400_000))], EVENTS)
    assert found.startswith("evt_9 (delivered of msg_1): at the endpoint, not in ClickHouse")


def test_what_changes_between_two_posts() -> None:
    (found,) = contradictions([post(*HEARD), post(replace(HEARD[0], event_type="open"))], EVENTS)
    assert found.startswith("evt_1: posted once as")


def test_an_event_that_was_logged_again_has_its_lower_number() -> None:
    posts = [post(replace(HEARD[0], sequence=900_000)), post(*HEARD)]
    assert list(contradictions(posts, EVENTS)) == []


def test_other_facts_than_those_of_clickhouse() -> None:
    (found,) = contradictions([post(*HEARD)], [*EVENTS[:2], StoredEvent("evt_3", "bounce", "msg_1", ADDRESS)])
    assert found.startswith("evt_3: posted as")


def test_an_order_that_cannot_be() -> None:
    late = replace(HEARD[0], sequence=900_000)
    (found,) = contradictions([post(late, *HEARD[1:])], EVENTS)
    assert found.endswith("out of order by sequence: [1, 2, 0]")


def test_sequence_numbers_that_repeat_or_are_missing() -> None:
    same = replace(HEARD[1], sequence=HEARD[2].sequence)
    assert any("that repeat" in found for found in contradictions([post(HEARD[0], same, HEARD[2])], EVENTS))
    none = replace(HEARD[0], sequence=0)
    assert any(found == "evt_1: without a sequence" for found in contradictions([post(none)], EVENTS))
