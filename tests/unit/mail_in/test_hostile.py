"""What a report may not do: raise, or take long, whatever is in it."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.mail_in.classification import classified
from cluster.mail_in.parts import MAX_BYTES, MAX_DEPTH, MAX_PARTS, read_parts
from cluster.mail_in.reading import read_report
from cluster.mail_in.report import LONGEST_DIAGNOSTIC, MOST_NAMES, MOST_RECIPIENTS, Kind, Report
from tests.growth import assert_in_proportion
from tests.unit.mail_in.test_corpus import FILES

SIZE = 65_536
ALLOWED_S = 0.05
"""On average, for a report of ``SIZE``."""
WORST_S = 0.5
"""For the worst report of any size, on a busy machine."""
FRAGMENTS = (
    b"\n\n",
    b"\n--=_b1\n",
    b"--=_b1--",
    b"Content-Type: multipart/report; boundary==_b1\n\n",
    b"Content-Type: message/rfc822\n\n",
    b"Content-Type: text/plain; charset*0*=\x00''%ff; charset=utf-7\n",
    b"Content-Transfer-Encoding: base64\n",
    b"Content-Transfer-Encoding: x-uuencode\n\nbegin 666 x\n",
    b"Final-Recipient: utf-8; \\x{110000}\\x{D800}@\n",
    b"Diagnostic-Code: smtp; 550-5.1.1 550 5.1.1\n",
    b"Status: 5.999.999\n",
    b"Will-Retry-Until: Tue, 99 Foo 99999999 99:99:99 +9999999\n",
    b"Date: 1 Jan 0001 00:00:00 +2400\n",
    b"=?utf-16?B?////?= =?x?q?=zz?=",
    b"Subject: failure notice\nFrom: MAILER-DAEMON\n",
    b"Feedback-Type: abuse\n",
    b"\x00\xff\xfe\x1b\r",
    b"<kim@example.org>:\n550 5.1.1 ",
)


def check(report: Report) -> None:
    assert len(report.recipients) <= MOST_RECIPIENTS
    for recipient in report.recipients:
        assert len(recipient.diagnostic) <= 2 * LONGEST_DIAGNOSTIC
        classified(recipient)
    for names in (getattr(report.returned_ids, name) for name in report.returned_ids.__struct_fields__):
        assert len(names) <= MOST_NAMES
    assert report.why
    repr(report).encode("utf-8", "surrogatepass")


@st.composite
def _mutated(draw: st.DrawFn) -> bytes:
    """A report of the corpus with pieces cut, repeated, overwritten and put in."""
    data = draw(st.sampled_from(sorted(FILES.values())))
    for _ in range(draw(st.integers(1, 6))):
        at = draw(st.integers(0, len(data)))
        length = draw(st.integers(0, 200))
        piece = draw(
            st.one_of(
                st.sampled_from(FRAGMENTS),
                st.binary(max_size=20),
                st.just(data[at : at + length] * draw(st.integers(1, 20))),
                st.just(b""),
            )
        )
        data = data[:at] + piece + data[at + draw(st.sampled_from((0, length))) :]
    return data


@given(_mutated())
def test_no_mutation_of_a_report_raises(data: bytes) -> None:
    check(read_report(data))


@given(st.lists(st.one_of(st.sampled_from(FRAGMENTS), st.binary(max_size=40)), max_size=40))
def test_no_octets_raise(pieces: list[bytes]) -> None:
    check(read_report(b"".join(pieces)))


@given(st.sampled_from(sorted(FILES.values())), st.integers(0, 3_000))
def test_a_report_that_is_cut_anywhere_is_read(data: bytes, length: int) -> None:
    check(read_report(data, length))


def test_a_large_report_takes_little_time() -> None:
    """Each report of the corpus, with its own text repeated to 64 KB."""
    began = time.thread_time()
    for data in FILES.values():
        middle = len(data) // 2
        check(read_report((data[:middle] + data * (SIZE // max(1, len(data))) + data[middle:])[:SIZE]))
    assert (time.thread_time() - began) / len(FILES) < ALLOWED_S


_QMAIL = b"From: MAILER-DAEMON@example.net\nSubject: failure notice\n\nHi. This is the qmail-send program\n\n"
HOSTILE = {
    "parts in parts": (b"", b"Content-Type: multipart/mixed; boundary=a\n\n--a\n"),
    "messages in messages": (b"", b"Content-Type: message/rfc822\n\n"),
    "parts": (b"Content-Type: multipart/mixed; boundary=a\n\n", b"--a\n\n"),
    "fields": (b"", b"a: b\n"),
    "folded lines": (b"Subject: a\n", b" b\n"),
    "encoded words": (b"Subject: ", b"=?a?q?"),
    "parameters": (b"Content-Type: text/plain", b';a="'),
    "blocks of fields": (b"Content-Type: message/delivery-status\n\n", b"Action: failed\nStatus: 5.1.1\n\n"),
    "replies": (_QMAIL, b"550 5.1.1 "),
    "lines of a reply": (_QMAIL, b"550-\n"),
    "addresses": (_QMAIL, b"<a@example.org>:\n"),
    "different addresses": (_QMAIL, b"<%d@example.org>:\nno\n"),
    "halves of addresses": (_QMAIL, b"a@"),
    "commas": (_QMAIL, b","),
    "commas and addresses": (_QMAIL, b",a@"),
    "brackets": (_QMAIL, b"<"),
    "blanks": (_QMAIL + b"(in ", b" "),
    "empty lines": (_QMAIL, b"\n"),
    "elements": (b"Content-Type: text/html\n\n", b"<div>"),
    "halves of elements": (b"Content-Type: text/html\n\n", b"<p "),
    "hidden elements": (b"Content-Type: text/html\n\n", b"<style><"),
    "names of messages": (_QMAIL, b"msg_01J9ZK4T7Q8W3N5R6V0X2Y4B6D@ "),
    "senders": (_QMAIL, b"b+01j9zk4t7q8w3n5r6v0x2y4b6d"),
}


def _filled(name: str, size: int) -> bytes:
    head, piece = HOSTILE[name]
    if b"%d" in piece:
        body = b"".join(piece % number for number in range(size // len(piece)))
    else:
        body = piece * (size // len(piece))
    return head + body


@pytest.mark.parametrize("name", HOSTILE)
def test_no_report_takes_long(name: str) -> None:
    check(read_report(_filled(name, SIZE)))
    assert min(_took_s(_filled(name, MAX_BYTES)) for _ in range(3)) < WORST_S
    assert_in_proportion(lambda size: read_report(_filled(name, size)), SIZE // 16, SIZE)


def _took_s(data: bytes) -> float:
    began = time.thread_time()
    read_report(data)
    return time.thread_time() - began


def test_parts_are_bounded_in_depth_and_number() -> None:
    deep = read_parts(_filled("messages in messages", SIZE))
    assert len(list(deep.walk())) == MAX_DEPTH + 1
    wide = read_parts(_filled("parts", SIZE))
    assert len(list(wide.walk())) == MAX_PARTS


def test_what_is_beyond_the_bound_is_not_read() -> None:
    report = read_report(b"Subject: x\n\n" + b"y" * MAX_BYTES + b"\nFinal-Recipient: rfc822; kim@example.org\n")
    assert report.kind is Kind.NOT_UNDERSTOOD
    assert report.why[-1] == f"Only the first {MAX_BYTES} bytes were read."
