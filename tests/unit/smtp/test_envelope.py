import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.smtp import commands as writing
from actors.smtp.commands import Envelope, Unsendable, check_lines, dot_stuffed, transaction_commands
from cluster.message import line_ends

ALL = {"SIZE": "1000", "8BITMIME": "", "SMTPUTF8": ""}


def test_commands_without_extensions() -> None:
    envelope = Envelope("a@example.org", ("b@example.org", "c@example.org"))
    assert transaction_commands(envelope, b"caf\xc3\xa9\r\n", {}) == [
        b"MAIL FROM:<a@example.org>\r\n",
        b"RCPT TO:<b@example.org>\r\n",
        b"RCPT TO:<c@example.org>\r\n",
    ]


@pytest.mark.parametrize(
    ("envelope", "data", "mail"),
    [
        (Envelope("", ("b@x.org",)), b"x\r\n", b"MAIL FROM:<> SIZE=3\r\n"),
        (Envelope("a@x.org", ("b@x.org",)), b"\xe9\r\n", b"MAIL FROM:<a@x.org> SIZE=3 BODY=8BITMIME\r\n"),
        (Envelope("a@x.org", ("b@x.org",), True), b"x\r\n", b"MAIL FROM:<a@x.org> SIZE=3 SMTPUTF8\r\n"),
        (Envelope("a@x.org", ("é@x.org",)), b"x\r\n", b"MAIL FROM:<a@x.org> SIZE=3 SMTPUTF8\r\n"),
        (Envelope("é@x.org", ("b@x.org",)), b"x\r\n", b"MAIL FROM:<\xc3\xa9@x.org> SIZE=3 SMTPUTF8\r\n"),
    ],
)
def test_parameters_of_mail(envelope: Envelope, data: bytes, mail: bytes) -> None:
    commands = transaction_commands(envelope, data, ALL)
    assert not isinstance(commands, Unsendable)
    assert commands[0] == mail


@pytest.mark.parametrize(
    "envelope",
    [Envelope("a@x.org", ("b@x.org",), True), Envelope("a@x.org", ("é@x.org",)), Envelope("é@x.org", ("b@x.org",))],
)
def test_smtputf8_not_offered(envelope: Envelope) -> None:
    assert transaction_commands(envelope, b"x\r\n", {"SIZE": ""}) is Unsendable.SMTPUTF8_NOT_OFFERED


@pytest.mark.parametrize("cause", Unsendable)
def test_why_it_cannot_be_sent_is_a_sentence_with_its_code(cause: Unsendable) -> None:
    assert re.match(r"5\.\d\.\d+ [A-Z]\w+ \w+ ", cause.reason)
    assert cause.value not in cause.reason


@pytest.mark.parametrize(
    "address", ["postmaster", '"a b"@x.org', '"a>b\\"<"@x.org', "o'brien+tag@x.org", "é@x.org", "a@[192.0.2.1]"]
)
def test_addresses_that_can_be_written(address: str) -> None:
    commands = transaction_commands(Envelope("", (address,)), b"x\r\n", ALL)
    assert not isinstance(commands, Unsendable)
    assert commands[1] == f"RCPT TO:<{address}>\r\n".encode()


@pytest.mark.parametrize(
    "address",
    [
        "",
        "a@x.org\r\nRSET",
        "a@x.org\n",
        "a\x00@x.org",
        "a@x.org\x7f",
        "a@x.org> NOTIFY=NEVER",
        "a@x.org>",
        "<a@x.org",
        "a b@x.org",
        "a@x.org ",
        '"a\r\n"@x.org',
        '"a"@x.org> SIZE=1',
        '"a\\',
        "a\ud800@x.org",
    ],
)
def test_addresses_that_could_inject(address: str) -> None:
    with pytest.raises(ValueError, match=r"cannot be written|surrogates"):
        transaction_commands(Envelope("", (address,)), b"x\r\n", ALL)
    if address:
        with pytest.raises(ValueError, match=r"cannot be written|surrogates"):
            transaction_commands(Envelope(address, ("a@x.org",)), b"x\r\n", ALL)


def test_an_envelope_needs_a_recipient() -> None:
    with pytest.raises(ValueError, match="recipients"):
        transaction_commands(Envelope("a@x.org", ()), b"x\r\n", ALL)


@pytest.mark.parametrize(
    "data",
    [
        *(b"", b"x", b"x\n", b"x\r", b"a\nb\r\n", b"a\rb\r\n", b"a\n.\nb\r\n", b"a\r\r\n", b"a\n\r\n"),
        *(b"\n", b"\na\r\n", b"\ra\r\n", b"a\rb\nc\r\n", b"a\nb\rc\r\n", b"a\r\nb\n\r\r\n"),
    ],
)
def test_every_line_must_end_in_crlf(data: bytes) -> None:
    with pytest.raises(ValueError, match="CRLF"):
        check_lines(data)


def test_lines_that_do() -> None:
    check_lines(b"a\r\n\r\n.\r\nb\r\n")


@pytest.mark.parametrize(
    ("data", "stuffed"),
    [
        (b"a\r\nb.\r\n", b"a\r\nb.\r\n"),
        (b".\r\n", b"..\r\n"),
        (b"a\r\n.\r\n..b\r\n", b"a\r\n..\r\n...b\r\n"),
        (b".a\r\n.b\r\n", b"..a\r\n..b\r\n"),
    ],
)
def test_dot_stuffing(data: bytes, stuffed: bytes) -> None:
    assert dot_stuffed(data) == stuffed


def test_what_needs_no_stuffing_is_not_copied() -> None:
    data = b"a\r\nb\r\n"
    assert dot_stuffed(data) is data


def test_notifications_are_asked_for_where_the_host_knows_them() -> None:
    envelope = Envelope("a@x.org", ("b+c@x.org", "é@x.org"), envelope_id="msg_1=2")
    assert transaction_commands(envelope, b"x\r\n", {"DSN": "", "SMTPUTF8": ""}) == [
        b"MAIL FROM:<a@x.org> RET=HDRS ENVID=msg_1+3D2 SMTPUTF8\r\n",
        b"RCPT TO:<b+c@x.org> NOTIFY=FAILURE ORCPT=rfc822;b+2Bc@x.org\r\n",
        "RCPT TO:<é@x.org> NOTIFY=FAILURE\r\n".encode(),
    ]


def test_what_a_submitter_said_of_a_recipient_is_passed_on() -> None:
    originals = ("rfc822;old+2Baddress@x.org", "")
    envelope = Envelope("a@x.org", ("b@x.org", "c@x.org"), envelope_id="QQ 3", original_recipients=originals)
    assert transaction_commands(envelope, b"x\r\n", {"DSN": ""}) == [
        b"MAIL FROM:<a@x.org> RET=HDRS ENVID=QQ+203\r\n",
        b"RCPT TO:<b@x.org> NOTIFY=FAILURE ORCPT=rfc822;old+2Baddress@x.org\r\n",
        b"RCPT TO:<c@x.org> NOTIFY=FAILURE ORCPT=rfc822;c@x.org\r\n",
    ]
    part = transaction_commands(envelope.part([1]), b"x\r\n", {"DSN": ""})
    assert not isinstance(part, Unsendable) and part[1:] == [
        b"RCPT TO:<c@x.org> NOTIFY=FAILURE ORCPT=rfc822;c@x.org\r\n"
    ]
    without = transaction_commands(envelope, b"x\r\n", {})
    assert not isinstance(without, Unsendable) and b"ORCPT" not in b"".join(without)


def test_a_message_without_a_name_of_its_own_asks_for_no_notification() -> None:
    assert transaction_commands(Envelope("a@x.org", ("b@x.org",)), b"x\r\n", {"DSN": ""}) == [
        b"MAIL FROM:<a@x.org>\r\n",
        b"RCPT TO:<b@x.org>\r\n",
    ]


PIECES = [b"a", b".", b"\r\n", b"\n", b"\r", b"b.c\r\n", b"\r\n."]


@given(st.lists(st.sampled_from(PIECES), max_size=40), st.integers(1, 9))
def test_large_messages_are_looked_through_piece_by_piece(pieces: list[bytes], size: int) -> None:
    data = b"".join(pieces)
    meant = re.sub(rb"(\A|\r\n)\.", rb"\1..", data)
    is_sound = data.endswith(b"\r\n") and not re.search(rb"(?<!\r)\n|\r(?!\n)", data)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(writing, "PIECE", size)
        patch.setattr(line_ends, "PIECE", size)
        assert dot_stuffed(data) == meant
        if is_sound:
            check_lines(data)
        else:
            with pytest.raises(ValueError):
                check_lines(data)
