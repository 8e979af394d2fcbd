import pytest

from actors.smtp.reply import MAX_LINE_BYTES, MAX_LINES, MAX_REPLY_BYTES, MalformedReply, Reply, ReplyParser

STREAM = b"220 mx ESMTP\r\n250-mx\r\n250-SIZE 1000\r\n250 CHUNKING\r\n550-5.1.1 no such\r\n550 5.1.1 user\r\n354\r\n"


def parse(*pieces: bytes) -> list[Reply]:
    parser = ReplyParser()
    return [reply for piece in pieces for reply in parser.feed(piece)]


def test_replies_are_cut_from_the_stream() -> None:
    greeting, ehlo, refusal, go_ahead = parse(STREAM)
    assert greeting == Reply(220, None, ("220 mx ESMTP",))
    assert ehlo.lines == ("250-mx", "250-SIZE 1000", "250 CHUNKING")
    assert refusal.text == "550-5.1.1 no such\n550 5.1.1 user"
    assert refusal.enhanced == "5.1.1"
    assert go_ahead == Reply(354, None, ("354",))


@pytest.mark.parametrize("split", range(len(STREAM)))
def test_a_split_at_any_byte_changes_nothing(split: int) -> None:
    assert parse(STREAM[:split], STREAM[split:]) == parse(STREAM)


def test_one_byte_at_a_time() -> None:
    assert parse(*(STREAM[i : i + 1] for i in range(len(STREAM)))) == parse(STREAM)


def test_a_lone_lf_ends_a_line() -> None:
    assert [reply.code for reply in parse(b"250-a\n250 b\n221 c\n")] == [250, 221]


def test_the_last_line_counts_when_codes_differ() -> None:
    assert parse(b"250-a\r\n550 b\r\n")[0].code == 550


@pytest.mark.parametrize(
    ("line", "enhanced"),
    [
        (b"250 2.1.5 ok", "2.1.5"),
        (b"450-4.7.650 busy", "4.7.650"),
        (b"550 5.7.1: refused", "5.7.1"),
        (b"550 5.7.1", "5.7.1"),
        (b"550 10.1.1 no", None),
        (b"550 5.1.1.1 no", None),
        (b"550 5.1 no", None),
        (b"550 no 5.1.1", None),
        (b"550", None),
    ],
)
def test_enhanced_codes(line: bytes, enhanced: str | None) -> None:
    reply = parse(line.replace(b"-", b" ") + b"\r\n")[0]
    assert reply.enhanced == enhanced


def test_lines_are_safe_to_print() -> None:
    reply = parse("550 a\tb\x1b[31m\x00 \x7f \x9b é ".encode() + b"\xff\rX\r\n")[0]
    assert reply.text == "550 a\\x09b\\x1b[31m\\x00 \\x7f \\x9b é \N{REPLACEMENT CHARACTER}\\x0dX"


@pytest.mark.parametrize(
    "data",
    [
        b"hello\r\n",
        b"\r\n",
        b"25 ok\r\n",
        b"2500 ok\r\n",
        b"150 ok\r\n",
        b"650 ok\r\n",
        b"250+ok\r\n",
        b"\x16\x03\x01\n",
    ],
)
def test_what_is_not_a_reply(data: bytes) -> None:
    with pytest.raises(MalformedReply):
        parse(data)


def test_the_replies_before_a_fault_are_delivered() -> None:
    parser = ReplyParser().feed(b"250 ok\r\nnonsense\r\n")
    assert next(parser).code == 250
    with pytest.raises(MalformedReply, match="nonsense"):
        next(parser)


def test_long_lines_are_cut() -> None:
    fits = b"250 ".ljust(MAX_LINE_BYTES, b"x")
    for line in (fits, fits + b"x", fits + b"x" * 5000, fits + b"\xff" * 100_000):
        for end in (b"\r\n", b"\n"):
            reply, following = parse(line + end + b"550 5.1.1 no\r\n")
            assert (reply.code, len(reply.text)) == (250, MAX_LINE_BYTES)
            assert (following.code, following.text) == (550, "550 5.1.1 no")


def test_lines_beyond_the_most_are_cut() -> None:
    for count in (MAX_LINES - 1, MAX_LINES, 5 * MAX_LINES):
        (reply,) = parse(b"250-x\r\n" * count + b"550 y\r\n")
        assert (reply.code, len(reply.lines), reply.lines[-1]) == (550, min(count + 1, MAX_LINES), "550 y")


@pytest.mark.parametrize("endless", [b"250 " + b"x" * MAX_REPLY_BYTES, b"250-x\r\n" * (MAX_REPLY_BYTES // 7 + 1)])
def test_a_reply_without_an_end_counts_as_it_is_and_is_the_last(endless: bytes) -> None:
    replies = ReplyParser().feed(endless + b"\r\n550 no\r\n")
    assert next(replies).code == 250
    with pytest.raises(MalformedReply, match="bytes"):
        next(replies)


def test_noise_without_a_line_end_is_no_reply() -> None:
    with pytest.raises(MalformedReply, match="not a reply"):
        parse(b"x" * (MAX_LINE_BYTES + 1))


def test_flow() -> None:
    flow = {
        reply.code: (reply.positive, reply.intermediate) for reply in parse(b"250 a\r\n354 b\r\n450 c\r\n550 d\r\n")
    }
    assert flow == {250: (True, False), 354: (False, True), 450: (False, False), 550: (False, False)}
