"""Reports in the shapes of many programs and providers, and what each is: corpus/*.eml, and corpus/reports.toml."""

import tomllib
from pathlib import Path
from typing import Any

import pytest

from cluster.mail_in.classification import classified
from cluster.mail_in.parts import read_parts
from cluster.mail_in.phrases import REASONS, RULES, Place
from cluster.mail_in.prose import text_of
from cluster.mail_in.reading import read_report
from cluster.mail_in.report import RecipientReport, Report

FOLDER = Path(__file__).parent / "corpus"
REPORTS: list[dict[str, Any]] = tomllib.loads((FOLDER / "reports.toml").read_text(encoding="utf-8"))["report"]
FILES = {path.stem: path.read_bytes() for path in sorted(FOLDER.glob("*.eml"))}
MESSAGE = "msg_01J9ZK4T7Q8W3N5R6V0X2Y4B6D"
SENDER = f"b+{MESSAGE[4:].lower()}abcdefghijklmnopqrstuvwxyz234567@bounces.example.com"
"""The message that they are about, and its envelope sender."""


def read(file: str) -> Report:
    return read_report(FILES[file])


def in_words(recipient: RecipientReport) -> str:
    verdict = classified(recipient)
    parts = (recipient.action, verdict.bounce_type, verdict.bounce_class)
    return " ".join(part for part in parts if part is not None)


def names(report: Report) -> list[str]:
    """Which kinds of names of our message it returns."""
    returned = report.returned_ids
    return [name for name in returned.__struct_fields__ if getattr(returned, name)]


@pytest.mark.parametrize("expected", REPORTS, ids=[report["file"] for report in REPORTS])
def test_a_report_is_what_it_is(expected: dict[str, Any]) -> None:
    report = read(expected["file"])
    assert (report.kind, report.feedback_type) == (expected["is"], expected.get("feedback_type", "")), report.why
    found = [
        {
            "final": recipient.final_recipient,
            "original": recipient.original_recipient,
            "status": recipient.status,
            "says": recipient.diagnostic,
            "is": in_words(recipient),
        }
        for recipient in report.recipients
    ]
    assert found == [{"final": "", "original": "", "status": "", "says": "", **one} for one in expected["recipients"]]
    assert names(report) == expected["names"]
    assert set(report.returned_ids.senders) <= {SENDER}
    assert set(report.returned_ids.message_ids) <= {MESSAGE}
    assert report.why


def test_every_file_is_in_the_table_once() -> None:
    assert sorted(report["file"] for report in REPORTS) == sorted(FILES)


def test_every_rule_and_reason_of_prose_is_met() -> None:
    wholes = [read_parts(data) for data in FILES.values()]
    places = {
        Place.SUBJECT: [whole.field("subject").lower() for whole in wholes],
        Place.TEXT: [" ".join(text_of(whole).lower().split()) for whole in wholes],
    }
    for rule in RULES:
        assert any(phrase.lstrip("^") in text for phrase in rule.says for text in places[rule.where]), rule.name
    for reason in REASONS:
        assert any(phrase in text for phrase in reason.says for text in places[Place.TEXT]), reason.status
