"""Untrusted text in terminals, logs and printed JSON."""

import json
import logging
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from cluster.commands.output import plain, print_json, table
from cluster.logs import LineFormatter
from cluster.printable import printable, printable_json, printable_lines

BAD = "550 \x1b[2Jgone \u202egnp.exe\u202c \u2066x\u2069 z\u200bw\ufeff \x9b31m \x7f \u2028 \U000e0041"
BIDI = [*range(0x202A, 0x202F), *range(0x2066, 0x206A), 0x200E, 0x200F, 0x061C]
STEERING = {
    chr(code) for code in (*range(0x20), *range(0x7F, 0xA0), *BIDI, *range(0x200B, 0x2010), 0x2028, 0x2029, 0xFEFF)
}
ANYTHING = st.text(st.characters(exclude_categories=())) | st.text(st.sampled_from(sorted(STEERING)))


def is_safe(text: str) -> bool:
    return not any(c in STEERING or unicodedata.category(c) in {"Cc", "Cf", "Cs", "Zl", "Zp"} for c in text)


def test_what_steers_a_terminal_is_shown_by_its_number() -> None:
    said = printable(BAD)
    assert said.startswith("550 \\x1b[2Jgone \\u202egnp.exe\\u202c \\u2066x\\u2069 z\\u200bw\\ufeff \\x9b31m")
    assert said.endswith("\\x7f \\u2028 \\U000e0041")
    assert printable("Grüße, 世界 \u00a0\u3000🎉") == "Grüße, 世界 \u00a0\u3000🎉"


@given(ANYTHING)
def test_no_text_steers_a_terminal(text: str) -> None:
    assert is_safe(printable(text))


@given(ANYTHING)
def test_no_text_turns_a_page(text: str) -> None:
    shown = printable_lines(text)
    assert is_safe(shown.translate(dict.fromkeys(map(ord, "\n\t\u200c\u200d"))))


def test_what_a_page_keeps() -> None:
    text = "a\tb\r\nc\n\u0645\u06cc\u200c\u062e \U0001f469\u200d\U0001f4bb"
    assert printable_lines(text) == text.replace("\r", "")
    assert printable_lines("a\rb \u202ec") == "a\\x0db \\u202ec"


@given(
    st.recursive(ANYTHING | st.integers() | st.none(), lambda inner: st.dictionaries(ANYTHING, inner) | st.lists(inner))
)
def test_json_steers_no_terminal_and_keeps_its_value(value: object) -> None:
    text = printable_json(value)
    assert is_safe(text)
    assert json.loads(text) == value


@given(ANYTHING)
def test_a_log_line_is_one_line_and_steers_no_terminal(text: str) -> None:
    record = logging.LogRecord("actors", logging.INFO, "", 0, "lost reply=%s", (text,), None)
    line = LineFormatter("%(message)s").format(record)
    assert is_safe(line)
    assert line.startswith("lost reply=")


def test_commands_print_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"text": BAD})
    line = capsys.readouterr().out
    assert "\\u202e" in line
    assert is_safe(line.removesuffix("\n"))
    assert json.loads(line) == {"text": BAD}
    shown = table("said")
    shown.add_row(plain(f"[red]{BAD}\n250 ok"))
    console = Console(width=500, force_terminal=False)
    console.print(shown)
    rows = capsys.readouterr().out.splitlines()
    assert all(is_safe(row) for row in rows)
    assert "[red]550" in rows[1]
    assert rows[1].rstrip().endswith("250 ok")
