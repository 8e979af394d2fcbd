"""X-SMTPAPI as libraries write it."""

import json
from email import policy
from email.message import EmailMessage

import pytest

from api.send.notes import Notes
from api.submission.reading import read_submission
from api.submission.smtpapi import BadSmtpApi, read_smtpapi

BY_NODEMAILER = (
    "=?UTF-8?Q?=7B=22category=22=3A=22welcome=22=2C=22t?= "
    "=?UTF-8?Q?o=22=3A=5B=22a=40example=2Ecom=22=2C=22b?= =?UTF-8?Q?=40example=2Ecom=22=5D=7D?="
)


def test_all_of_it_in_encoded_words() -> None:
    said = read_smtpapi(BY_NODEMAILER)
    assert (said.category, said.to) == ("welcome", ["a@example.com", "b@example.com"])


def test_words_that_fit_on_no_line_are_encoded_by_python() -> None:
    message = EmailMessage(policy=policy.SMTP)
    message["From"] = "a@mail.example.com"
    said = {"category": "Grüße", "unique_args": {"order": "7" * 200}}
    message["X-SMTPAPI"] = json.dumps(said, ensure_ascii=False)
    octets = message.as_bytes()
    assert b"=?" in octets
    draft = read_submission(["b@example.com"], octets, Notes())
    assert not draft.faults
    assert draft.mail.categories == ["Grüße"] and draft.mail.custom_args == said["unique_args"]


def test_a_nul_in_an_encoded_word_is_no_text() -> None:
    """Text with a NUL cannot be stored. The field itself is ASCII, and stays as it came."""
    octets = b'From: "=?utf-8?q?a=00?=" <a@example.com>\r\nSubject: =?utf-8?q?a=00b?=\r\n\r\nx\r\n'
    draft = read_submission(["b@example.com"], octets, Notes())
    assert (draft.mail.subject, draft.mail.from_ and draft.mail.from_.name, draft.original) == ("", None, octets)


def test_what_is_json_is_not_decoded() -> None:
    assert read_smtpapi('{"category": "=?utf-8?q?a?="}').category == "=?utf-8?q?a?="


@pytest.mark.parametrize("text", ["=?utf-8?q?=7B?=", "=?x?q?a?=", "{=?", "=?utf-8?q?" + "a" * 9000 + "?="])
def test_encoded_words_without_json_are_a_fault(text: str) -> None:
    with pytest.raises(BadSmtpApi, match=r"malformed|truncated"):
        read_smtpapi(text)
