"""Two compared turns, the messages for Postfix, and a machine without Postfix."""

from email import message_from_bytes, policy

import pytest
from click.testing import CliRunner

from benchmarks.everything import everything
from benchmarks.mail import Mail, Shape
from benchmarks.measuring import command
from benchmarks.records import Repeat, Sample, Usage
from benchmarks.scenarios import peers
from benchmarks.scenarios.peers import OUR_CPU, OURS, RATIO, THEIR_CPU, THEIRS, Options, Peers, and_before, pair
from benchmarks.submission import letters

ABSENT = "postfix is not installed here; on Debian: apt-get install postfix"


def usage(cpu_s: float) -> Usage:
    return Usage(cpu_s=cpu_s, peak_resident_mb=1.0, peak_proportional_mb=1.0, processes=1)


def turn(rate: float, cpu_us: float, lost: int = 0, **parts: Usage) -> Repeat:
    return Repeat(
        figures={"delivered": rate, "CPU": cpu_us, "accepted meanwhile": 7.0},
        seconds=2.0,
        promised=100,
        counted=100 - lost,
        copies=1,
        usage=parts,
        throughput=(Sample(0.0, rate), Sample(0.5, rate)),
    )


def test_a_pair_tells_both_and_their_ratio() -> None:
    found = pair(turn(2400.0, 600.0), turn(200.0, 5000.0, lost=2), apart_s=20.1)
    assert found.figures == {OURS: 2400.0, THEIRS: 200.0, RATIO: 12.0, OUR_CPU: 600.0, THEIR_CPU: 5000.0}
    assert (found.promised, found.counted, found.lost, found.copies) == (200, 198, 2, 2)
    assert found.throughput == (Sample(0.0, 2400.0), Sample(0.5, 2400.0), Sample(20.0, 200.0), Sample(20.5, 200.0))


def test_the_harness_is_told_apart_by_turn() -> None:
    ours = turn(1.0, 1.0, sink=usage(1.0), recorder=usage(2.0))
    theirs = turn(1.0, 1.0, sink=usage(3.0), opendkim=usage(4.0))
    found = pair(ours, theirs, apart_s=1.0).usage
    assert {part: took.cpu_s for part, took in found.items()} == {
        "sink": 1.0,
        "recorder": 2.0,
        "sink (Postfix's turn)": 3.0,
        "opendkim": 4.0,
    }


def test_there_is_no_ratio_to_nothing() -> None:
    assert RATIO not in pair(turn(2400.0, 600.0), turn(0.0, 0.0, lost=100), apart_s=1.0).figures


def test_what_a_warm_up_lost_is_not_forgotten() -> None:
    found = and_before(turn(1.0, 1.0, lost=3), turn(2000.0, 600.0))
    assert found.figures["delivered"] == 2000.0
    assert (found.promised, found.lost) == (200, 3)


@pytest.mark.parametrize(
    ("options", "target"),
    [
        (Options(), 10.0),
        (Options(postfix_messages=500), 10.0),
        (Options(connections=5), None),
        (Options(text_bytes=0), None),
    ],
)
def test_the_target_belongs_to_the_mail_and_the_connections_as_they_are_by_default(
    options: Options, target: float | None
) -> None:
    assert [measure.target for measure in Peers(options).measures if measure.name == RATIO] == [target]


def test_letters_are_the_messages_of_the_request() -> None:
    shape = Shape()
    one, other = letters(Mail(shape).body([7, 8]))
    (flight,) = one.flights
    commands, _, rest = flight.octets.partition(b" LAST\r\n")
    envelope = b"MAIL FROM:<bench@mail.example.com>\r\nRCPT TO:<reader7-0@example.org>\r\nBDAT %d" % len(rest)
    assert (commands, flight.replies) == (envelope, 3)
    message = message_from_bytes(rest, policy=policy.default)
    assert message["Message-ID"] == f"<{one.message_id}@mail.example.com>"
    assert message["DKIM-Signature"] is None
    assert [part.get_content_type() for part in message.iter_parts()] == ["text/plain", "text/html"]
    assert all("Dear Reader 7, " in part.get_content() for part in message.iter_parts())
    assert 4000 < len(rest) < 6000
    assert one.message_id != other.message_id


@pytest.fixture
def without_postfix(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers, "lacking", lambda: ABSENT)


@pytest.mark.usefixtures("without_postfix")
def test_all_goes_on_without_postfix_and_says_so() -> None:
    result = CliRunner().invoke(everything, ["--quick", "--only", "peers"])
    assert result.exit_code == 0
    assert f"peers is skipped: {ABSENT}" in " ".join(result.output.split())


@pytest.mark.usefixtures("without_postfix")
def test_peers_alone_without_postfix_has_nothing_to_tell() -> None:
    result = CliRunner().invoke(command("peers"), [])
    assert result.exit_code == 1
    assert f"peers is skipped: {ABSENT}" in " ".join(result.output.split())
