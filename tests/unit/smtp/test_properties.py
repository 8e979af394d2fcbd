"""Arbitrary input from remote hosts: SMTP replies, policies and records.

Parsers return a value or raise their own exception; splits, repetitions and unusual characters change nothing else.
"""

import itertools
from datetime import UTC, datetime

import pytest
from aiosmtplib.esmtp import parse_esmtp_extensions
from hypothesis import example, given
from hypothesis import strategies as st

from actors.smtp.commands import Envelope, check_lines, dot_stuffed, is_too_large, transaction_commands
from actors.smtp.reply import (
    MAX_LINE_BYTES,
    MAX_LINES,
    MAX_REPLY_BYTES,
    MalformedReply,
    Reply,
    ReplyParser,
    make_reply,
)
from actors.smtp.transaction import Replies
from cluster.policy.replies.stage import Stage
from cluster.policy.replies.verdict import Judgement, judge, judge_parting, judge_silence
from cluster.policy.tls.dane import Tlsa, check, usable
from cluster.policy.tls.failure import TlsFault
from cluster.policy.tls.mta_sts import InvalidPolicy, StsMode, StsPolicy, allows, parse_policy, record_id
from tests.certificates import Authority

# Streams that look like replies are parsed further than random bytes.
CODES = st.integers(0, 999).map(lambda code: b"%03d" % code) | st.sampled_from([b"250", b"354", b"421", b"550"])
TEXTS = st.binary(max_size=40) | st.sampled_from([b"5.1.1 no", b"2.0.0 ok", b"\xff\x00", b"", b"x" * MAX_LINE_BYTES])
LINES = st.builds(
    lambda code, mark, text, end: code + mark + text + end,
    CODES,
    st.sampled_from([b" ", b"-", b""]),
    TEXTS,
    st.sampled_from([b"\r\n", b"\n", b"\r", b""]),
)
STREAMS = st.binary(max_size=300) | st.lists(LINES, max_size=20).map(b"".join)


def parsed(pieces: list[bytes]) -> tuple[list[Reply], str]:
    """The parsed replies, and the reason for the end of parsing."""
    parser, replies = ReplyParser(), []
    try:
        for piece in pieces:
            for reply in parser.feed(piece):
                replies.append(reply)
    except MalformedReply as malformed:
        return replies, malformed.reason
    assert len(parser.partial) <= MAX_LINE_BYTES
    assert len(parser.lines) <= MAX_LINES
    assert parser.size <= MAX_REPLY_BYTES
    return replies, ""


@given(STREAMS, st.lists(st.integers(0, 300)))
@example(b"250-" + b"x" * 5000, [4100])
@example(b"250-" + b"x" * 300_000 + b"\n250 ok\r\n", [4100, 262_100, 262_200])
@example(b"250-x\r\n" * 40_000, [5, 262_139, 262_147])
def test_a_split_of_a_stream_of_replies_changes_nothing(stream: bytes, cuts: list[int]) -> None:
    ends = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    replies, reason = parsed([stream[a:b] for a, b in itertools.pairwise(ends)])
    whole, whole_reason = parsed([stream])
    assert replies == whole
    assert bool(reason) == bool(whole_reason)
    for reply in replies:
        assert 200 <= reply.code <= 599
        assert 1 <= len(reply.lines) <= MAX_LINES
        assert "\n" not in reply.lines[0]


@given(st.binary(max_size=200).map(lambda raw: raw.replace(b"\n", b"")), st.integers(200, 599), st.sampled_from(Stage))
def test_every_reply_has_a_verdict(raw: bytes, code: int, stage: Stage) -> None:
    (reply,) = ReplyParser().feed(b"%d %b\r\n" % (code, raw))
    verdict = judge(reply.code, reply.enhanced, reply.text, stage)
    assert (verdict.judgement is Judgement.ACCEPTED) == (code < 300 and stage is not Stage.DATA)
    if verdict.judgement is Judgement.BOUNCED:
        assert 500 <= code <= 599
        assert verdict.bounce_class is not None
    assert judge_parting(reply.code, reply.enhanced, reply.text, stage).judgement is Judgement.DEFERRED
    assert judge_silence(stage).judgement is Judgement.DEFERRED


REPLIES = st.lists(st.builds(lambda code: make_reply(code, [f"{code} said"]), st.integers(200, 599)), max_size=6)


@given(REPLIES, st.integers(1, 4), st.booleans())
def test_a_flight_that_ends_anywhere_accepts_no_recipient_unasked(
    received: list[Reply], recipients: int, reset_sent: bool
) -> None:
    envelope = Envelope("a@b.test", tuple(f"{number}@c.test" for number in range(recipients)))
    replies = Replies()
    last = replies.take(received, 1 + recipients, reset_sent=reset_sent)
    assert last is None or last is received[1 + recipients + reset_sent]
    if last is not None and replies.accepted:
        replies.final = last
        outcomes = replies.result(0.0).outcomes(envelope)
        assert [outcome.recipient for outcome in outcomes] == list(envelope.recipients)
        for outcome, reply in zip(outcomes, replies.recipients, strict=True):
            assert outcome.reply is (last if reply.positive else reply)


@given(
    st.text() | st.lists(st.sampled_from(["SIZE", "AUTH=", "auth", "CHUNKING", "\t", "é", "=", "x y z"])).map("\n".join)
)
def test_any_answer_to_ehlo_is_read(message: str) -> None:
    extensions, _ = parse_esmtp_extensions(message)
    keywords = {keyword.upper(): value for keyword, value in extensions.items()}
    assert transaction_commands(Envelope("a@b.test", ("c@d.test",), envelope_id="x"), b"\r\n", keywords)
    assert is_too_large(b"\r\n", keywords) in (True, False)


@given(st.text(), st.text(), st.text(), st.booleans())
def test_no_address_ends_its_command_or_adds_to_it(sender: str, recipient: str, identity: str, utf8: bool) -> None:
    capabilities = dict.fromkeys(("SIZE", "DSN", "8BITMIME", "SMTPUTF8"), "")
    try:
        commands = transaction_commands(Envelope(sender, (recipient,), utf8, identity), b"\r\n", capabilities)
    except ValueError:
        return
    assert isinstance(commands, list)
    assert len(commands) == 2
    for command in commands:
        assert command.endswith(b"\r\n")
        assert not any(octet < 0x20 or octet == 0x7F for octet in command[:-2])


@given(st.lists(st.sampled_from([b"\r\n", b"\n", b"\r", b".", b"..", b"a", b"MAIL FROM:<x>", b"\0"])).map(b"".join))
def test_no_body_ends_its_message(body: bytes) -> None:
    """No line is a single dot, with any line end that a host may accept (CVE-2023-51764 to 51766)."""
    try:
        check_lines(body)
    except ValueError:
        return
    wire = b"\r\n" + dot_stuffed(body) + b".\r\n"
    assert wire.index(b"\r\n.\r\n") == len(wire) - 5
    lone = wire.replace(b"\r\n", b"")
    assert b"\r" not in lone
    assert b"\n" not in lone


FIELDS = st.sampled_from(["version", "mode", "mx", "max_age", "VERSION", ""])
VALUES = st.sampled_from(["STSv1", "enforce", "none", "86400", "*.a.test", "mx.a.test", "*", "²", "9" * 11]) | st.text()
POLICY_LINES = st.builds(
    lambda field, space, value: f"{field}:{space}{value}", FIELDS, st.sampled_from(["", " "]), VALUES
)


@given(st.text() | st.lists(POLICY_LINES | st.text(max_size=9), max_size=9).map("\r\n".join), st.text())
@example("version: STSv1\nmode: enforce\nmx: *.a.test\nmax_age: 9999999999\n", "b.a.test")
def test_any_policy_is_read_or_refused(text: str, host: str) -> None:
    policy = parse_policy(text)
    if isinstance(policy, InvalidPolicy):
        assert policy.reason
        return
    assert isinstance(policy, StsPolicy)
    assert policy.mx or policy.mode is StsMode.NONE
    assert 0 <= policy.max_age_s <= 31_557_600
    assert parse_policy("\n".join(policy.lines())) == policy
    assert allows(policy.mx, host) in (True, False)


@given(
    st.lists(st.text() | st.lists(st.sampled_from(["v=STSv1", "id=1", "id=", ";", " ", "x=y", "=", "é"])).map("".join))
)
def test_any_record_announces_a_policy_or_none(texts: list[str]) -> None:
    found = record_id(texts)
    assert found is None or (found.isascii() and found.isalnum() and 1 <= len(found) <= 32)


NOW = datetime(2026, 3, 1, tzinfo=UTC)


@given(
    st.lists(st.builds(Tlsa, st.integers(0, 255), st.integers(0, 255), st.integers(0, 255), st.binary(max_size=80))),
    st.lists(st.binary(max_size=80), max_size=3),
)
def test_any_tlsa_records_and_any_chain(records: list[Tlsa], chain: list[bytes]) -> None:
    assert isinstance(check(usable(records), chain, ["mx.peer.test"], NOW), TlsFault)


ROOT = Authority.root()
SENT = ROOT.issue("mx.peer.test").chain
SOUND = [ROOT.tlsa(2, 0, 0)]


VERSION_AT = SENT[0].index(bytes.fromhex("a003020102")) + 4


@pytest.mark.filterwarnings("ignore:Parsed a serial number")
@example(0, VERSION_AT, b"\x05", 3)
@example(1, VERSION_AT, b"\x05", 2)
@given(st.integers(0, 1), st.integers(0, 2000), st.binary(min_size=1, max_size=4), st.sampled_from([2, 3]))
def test_a_damaged_certificate_is_a_fault(which: int, place: int, octets: bytes, usage: int) -> None:
    chain = list(SENT)
    place %= len(chain[which])
    chain[which] = chain[which][:place] + octets + chain[which][place + len(octets) :]
    records = [*SOUND, Tlsa(usage, 0, 0, chain[which]), Tlsa(usage, 1, 1, b"x" * 32)]
    assert isinstance(check(records, chain, ["mx.peer.test"], NOW), TlsFault | None)
