"""Mail of past days in the chaos scenario: whose day it is of, what its copies must have, and how the days pass."""

from datetime import UTC, date, datetime, timedelta
from email.message import EmailMessage
from email.policy import SMTP
from random import Random

import dkim
import pytest

from benchmarks.chaos import mail
from benchmarks.chaos.carried import SHARED_EVERY, file_of, key_of, lacking
from benchmarks.chaos.days import Days
from benchmarks.chaos.past import SPAN_DAYS, days_until, past_request
from benchmarks.client import Client
from cluster.dkim_keys import generate_rsa_key, load_private_key, public_value, record_text
from cluster.ids import made_at
from cluster.journal.records import decode_content

TODAY = date(2026, 11, 30)
NUMBER = mail.FIRST_OF_PAST + 1
NAME = "s1._domainkey.mail.example.com"


@pytest.fixture(scope="module")
def private_key() -> bytes:
    return generate_rsa_key()[0]


def a_copy(private_key: bytes, *, name: str = "", file: bytes | None = None) -> bytes:
    message = EmailMessage(policy=SMTP)
    message["From"], message["To"], message["Subject"] = "chaos@mail.example.com", "ada@example.com", "Message"
    message.set_content("Hello\n")
    key = key_of(NUMBER)
    content = file_of(key) if file is None else file
    message.add_attachment(content, "application", "octet-stream", filename=name or f"{key}.bin")
    copy = message.as_bytes()
    return bytes(dkim.sign(copy, b"s1", b"mail.example.com", private_key)) + copy


def records(private_key: bytes) -> dict[str, str]:
    return {NAME: record_text(public_value(load_private_key(private_key)))}


def test_a_copy_has_its_file_and_its_signature(private_key: bytes) -> None:
    copy, known = a_copy(private_key), records(private_key)
    assert lacking(copy, NUMBER, known) == ""
    assert lacking(copy, NUMBER + 1, known) == f"its file {key_of(NUMBER + 1)}"
    assert lacking(b"", NUMBER, known) == f"its file {key_of(NUMBER)}"
    assert lacking(a_copy(private_key, file=b"another"), NUMBER, known) == f"its file {key_of(NUMBER)}"
    assert lacking(a_copy(private_key, name="other.bin"), NUMBER, known) == f"its file {key_of(NUMBER)}"
    for damaged in (copy.replace(b"Hello", b"Hallo"), copy.replace(b"Subject: Message", b"Subject: Massage")):
        assert lacking(damaged, NUMBER, known) == "a signature that verifies"
    assert lacking(copy, NUMBER, {}) == "a signature that verifies"
    assert lacking(copy[copy.index(b"From: ") :], NUMBER, known) == "a signature that verifies"


def test_some_requests_share_a_file() -> None:
    keys = [key_of(number) for number in range(NUMBER, NUMBER + 4 * SHARED_EVERY)]
    assert keys.count("shared") == 4 and len(set(keys)) == 3 * SHARED_EVERY + 1


def test_a_request_is_of_its_day_with_all_that_it_has() -> None:
    day = TODAY - timedelta(days=35)
    request = past_request("tnt_1", day, NUMBER, [["a@x.example"], ["b@x.example"]], 20.0)
    for id in (request.id, *(message.id for message in request.messages)):
        assert made_at(id) == request.created_at == datetime(day.year, day.month, day.day, 12, tzinfo=UTC)
    assert len({message.id for message in request.messages}) == 2
    [file] = decode_content(request.content).attachments
    assert request.attachments[file.sha256] == file_of(key_of(NUMBER))
    in_s = {(message.send_at - datetime.now(UTC)).total_seconds() for message in request.messages if message.send_at}
    assert all(15 < left <= 20 for left in in_s) and in_s
    assert mail.number_of(list(request.categories)) == NUMBER


def test_addresses_tell_mail_of_past_days() -> None:
    draft = mail.draw_past(Random(1), (3, 3))
    for [address] in mail.recipients(draft, NUMBER):
        assert mail.past_number(address) == NUMBER
    for address in ("r12-0-0.ok@one.example.org", "s12.ok@one.example.org", "ada@example.com", "ada-1@example.com"):
        assert mail.past_number(address) is None


@pytest.mark.parametrize("steps", [1, 5, 33, 100])
def test_all_past_days_pass_in_order_and_none_that_is_not_past(steps: int) -> None:
    past = days_until(TODAY)
    assert len(past) == SPAN_DAYS and past[-1] == TODAY - timedelta(days=1)
    days = Days(Client("http://127.0.0.1:1", ""), "", past, steps)
    before = [days.next_before() for _ in range(steps + 3)]
    assert before == sorted(before)
    assert before[0] > past[0] and before[steps - 1] == before[-1] == TODAY
