"""The turns of postray and Postfix that take mail by SMTP, and a machine without Postfix."""

import pytest

from benchmarks.records import Usage
from benchmarks.scenarios import submission
from benchmarks.scenarios.submission import (
    OURS,
    RATIO,
    THEIRS,
    UNPIPELINED,
    Options,
    Submission,
    SubmissionTurn,
    repeat_of,
)
from benchmarks.submission import Submitted, Way


def usage(cpu_s: float) -> Usage:
    return Usage(cpu_s=cpu_s, peak_resident_mb=1.0, peak_proportional_mb=1.0, processes=1)


def turn(name: str, took_s: float, lost: int = 0, **parts: Usage) -> SubmissionTurn:
    """400 messages with PIPELINING and 100 without, in as many seconds each, and 20 to warm up."""
    return SubmissionTurn(
        name=name,
        submitted={
            Way.PIPELINING: (Submitted(["x"] * 400, [0.01] * 396 + [0.05] * 4), took_s),
            Way.ONE_BY_ONE: (Submitted(["x"] * 100, [0.02] * 100), took_s),
        },
        promised=520,
        counted=520 - lost,
        usage=parts,
    )


def test_both_turns_and_their_ratio() -> None:
    ours = turn(OURS, 0.25, api=usage(0.2), sink=usage(9.0), harness=usage(1.0))
    theirs = turn(THEIRS, 0.5, lost=2, smtpd=usage(0.4), harness=usage(1.5))
    found = repeat_of([ours, theirs])
    assert (found.figures[OURS], found.figures[THEIRS], found.figures[RATIO]) == (1600.0, 800.0, 2.0)
    assert (found.figures[OURS + UNPIPELINED], found.figures[THEIRS + UNPIPELINED]) == (400.0, 200.0)
    assert (found.figures["p50, postray"], found.figures["p99, postray"]) == (10.0, 10.0)
    assert found.figures["CPU, postray"] == pytest.approx(400.0)
    assert found.figures["CPU, Postfix"] == pytest.approx(800.0)
    assert (found.promised, found.counted, found.lost) == (1040, 1038, 2)
    assert {"api", "smtpd", "harness (postray's turn)", "harness (Postfix's turn)"} <= set(found.usage)


def test_one_turn_has_no_ratio() -> None:
    figures = repeat_of([turn(OURS, 0.25)]).figures
    assert RATIO not in figures and THEIRS not in figures


@pytest.mark.parametrize(("options", "has_targets"), [(Options(), True), (Options(clients=3), False)])
def test_the_targets_belong_to_the_mail_and_the_connections_as_they_are_by_default(
    options: Options, has_targets: bool
) -> None:
    targets = {measure.name: measure.target for measure in Submission(options).measures if measure.target}
    assert targets == ({OURS: 1500.0, RATIO: 1.5} if has_targets else {})


def test_where_postfix_is_not_installed_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(submission, "lacking", lambda packages: f"{packages[0]} is not installed here")
    assert Submission(Options()).notes[-1] == "Postfix is skipped: postfix is not installed here"


def test_the_mail_has_4_kb_and_is_sent_later() -> None:
    letters = Submission(Options()).letters(3, Way.PIPELINING)
    assert len({letter.message_id for letter in letters}) == 3
    for letter in letters:
        envelope, message = letter.flights
        assert (envelope.octets[-6:], envelope.replies, message.replies) == (b"DATA\r\n", 3, 1)
        assert message.octets.startswith(b'X-SMTPAPI: {"send_at": ')
        assert 3900 < len(message.octets) < 4300
