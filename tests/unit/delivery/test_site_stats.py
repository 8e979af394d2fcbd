"""What a site's statistics tell of its last replies."""

import pytest

from actors.delivery.site_stats import SiteStats
from cluster.policy.replies.verdict import Judgement


def test_acceptances_in_a_row_are_one_reply_with_the_time_and_text_of_the_last(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("actors.delivery.site_stats.time.time", lambda: now)
    stats = SiteStats(lambda: now)
    assert stats.last_replies() == ()
    stats.add(Judgement.ACCEPTED, "mx1", "250 first")
    now = 160.0
    stats.add(Judgement.ACCEPTED, "mx1", "250 second")
    assert [(one.at, one.text) for one in stats.last_replies()] == [(160.0, "250 second")]
    now = 170.0
    stats.add(Judgement.DEFERRED, "mx1", "451 later")
    now = 180.0
    stats.add(Judgement.ACCEPTED, "mx1", "250 third")
    assert [one.at for one in stats.last_replies()] == [180.0, 170.0, 100.0]
    assert [one.text for one in stats.last_replies()][:2] == ["250 third", "451 later"]
    assert stats.counts[Judgement.ACCEPTED] == 3
