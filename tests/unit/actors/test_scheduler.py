"""The scheduler's own decisions."""

from actors.scheduler import LANES_AT_MOST_S, LANES_S, bury, lanes_pause_s
from analytics.events import Bounced, Dropped, decode_batch
from cluster.journal.paging import Due
from cluster.policy.lifecycle import Status


def test_a_slow_listing_never_leaves_lanes_alone_for_long() -> None:
    assert lanes_pause_s(0.001) == LANES_S
    assert lanes_pause_s(0.1) == 2.0
    assert lanes_pause_s(30.0) == LANES_AT_MOST_S


def test_what_was_tried_bounces_at_its_end_and_what_was_not_fails() -> None:
    tried = Due("msg_1", 0, "tnt_1", "example.com", "a@example.com", "bat_1", 3, True, True, "450 later")
    untried = Due("msg_2", 1, "tnt_1", "example.com", "b@example.com", None, 0, False, True, None)
    outcomes, encoded = bury([tried, untried])
    assert [(o.status, o.alone, o.error_message) for o in outcomes] == [
        (Status.BOUNCED, True, "expired after 3 attempts: 450 later"),
        (Status.FAILED, False, "expired before it could be sent"),
    ]
    bounced, dropped = decode_batch(encoded)
    assert isinstance(bounced, Bounced) and isinstance(dropped, Dropped)
    assert (bounced.bounce_type, bounced.attempt, bounced.batch_id) == ("soft", 3, "bat_1")
