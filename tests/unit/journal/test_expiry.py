"""How deliveries expire when their lifetime ends."""

from datetime import UTC, datetime

import pytest

from cluster.events import Bounced, Dropped
from cluster.journal.scheduling import Due, expire
from cluster.policy.lifecycle import ImpossibleTransition, Status

NOW = datetime.now(UTC)
TRIED = Due("msg_1", 0, "tnt_1", "example.com", "a@example.com", "bat_1", 3, True, True, "queued", "450 later", "")
UNTRIED = Due("msg_2", 1, "tnt_1", "example.com", "b@example.com", None, 0, False, True, "processing", None, "")


def test_what_was_tried_bounces_at_its_end_and_what_was_not_fails() -> None:
    (ended, bounced), (failed, dropped) = expire(TRIED, NOW), expire(UNTRIED, NOW)
    assert [(o.status, o.sole_recipient, o.error_message) for o in (ended, failed)] == [
        (Status.BOUNCED, True, "expired after 3 attempts: 450 later"),
        (Status.FAILED, False, "expired before it could be sent"),
    ]
    assert isinstance(bounced, Bounced) and isinstance(dropped, Dropped)
    assert (bounced.bounce_type, bounced.attempt, bounced.batch_id) == ("soft", 3, "bat_1")
    assert (dropped.message_id, dropped.recipient, dropped.at) == ("msg_2", "b@example.com", NOW.timestamp())


def test_what_has_ended_cannot_expire() -> None:
    done = Due("msg_3", 0, "tnt_1", "example.com", "a@example.com", None, 1, True, True, "delivered", None, "")
    with pytest.raises(ImpossibleTransition):
        expire(done, NOW)
