"""``postray inbound explain``: what it prints, for people and for programs."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cluster.cli import main
from cluster.mail_in.report import Kind

CORPUS = Path(__file__).parent / "corpus"


def explain(*arguments: str, given: bytes | None = None) -> Result:
    answer = CliRunner().invoke(main, ["inbound", "explain", *arguments], input=given)
    assert answer.exit_code == 0, answer.output
    return answer


def test_it_says_what_a_report_is_and_why() -> None:
    said = explain(str(CORPUS / "qmail-two-recipients.eml")).output
    assert said.startswith("failed\n")
    assert 'The subject says "failure notice" (rule failed-subject): failed.' in said
    rows = [line.split() for line in said.splitlines()]
    assert ["kim@example.org", "failed", "5.1.1", "bad_mailbox", "hard", "550", "5.1.1", "User", "unknown"] in rows
    assert "msg_01J9ZK4T7Q8W3N5R6V0X2Y4B6D" in said


def test_a_complaint_has_its_type() -> None:
    assert explain(str(CORPUS / "arf-fraud.eml")).output.startswith("complaint (fraud)\n")


def test_for_programs_it_is_json_with_the_verdict() -> None:
    report = json.loads(explain("--json", str(CORPUS / "postfix-user-unknown.eml")).output)
    assert (report["kind"], report["reported_at"]) == ("failed", "2026-03-03T10:12:00Z")
    (recipient,) = report["recipients"]
    assert recipient["final_recipient"] == recipient["original_recipient"] == "kim@example.org"
    assert (recipient["judgement"], recipient["bounce_class"]) == ("bounced", "bad_mailbox")
    assert (recipient["bounce_type"], recipient["rule"]) == ("hard", "bad-mailbox-status")
    assert report["returned_ids"]["message_ids"] == ["msg_01J9ZK4T7Q8W3N5R6V0X2Y4B6D"]


def test_it_reads_standard_input_and_what_is_no_report() -> None:
    said = explain("-", given=b"Subject: hello\n\nHello.\n").output
    assert said.startswith("not understood\n")
    assert "It names no message of ours." in said


def test_what_a_report_says_cannot_control_the_terminal() -> None:
    report = (
        b"From: MAILER-DAEMON@example.net\nSubject: failure notice\n\n<kim@example.org>:\n550 5.1.1 \x1b]0;no\x07\n"
    )
    said = explain("-", given=report).output
    assert "\x1b" not in said
    assert "\\x1b]0;no" in said


def test_a_kind_that_there_is_not_is_an_error_that_names_the_kinds() -> None:
    answer = CliRunner().invoke(main, ["inbound", "list", "--kind", "nonsense"])
    assert answer.exit_code == 2
    assert "nonsense" in answer.output and all(f"'{kind}'" in answer.output for kind in Kind)


@pytest.mark.parametrize("file", ["/proc/self/mem", "/", "/nowhere/report.eml"])
def test_a_file_that_cannot_be_read_is_an_error_in_words(file: str) -> None:
    answer = CliRunner().invoke(main, ["inbound", "explain", file])
    assert answer.exit_code != 0 and isinstance(answer.exception, SystemExit)
    assert file in answer.output
