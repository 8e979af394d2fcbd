"""The commands in the documents, run like a reader runs them, against a postray on loopback."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.running import Client, RunningPostray
from tests.documents import API, Block, blocks, commands, lines, walk
from tests.images import png

MAX_WAIT_S = 60.0

NOT_RUN = {
    ("make",): "builds an environment, or runs this suite",
    ("postray", "up"): "is how the postray of these tests was started",
    ("postray", "down"): "would stop the postray of these tests",
    ("postray", "backup"): "writes to a folder that the reader has",
    ("postray", "restore"): "needs a backup, and an empty data directory",
    ("postray", "drain"): "would take its only node out of delivery",
    ("postray", "undrain"): "no node drains",
    ("postray", "bench"): "measures for minutes",
    ("python", "-m", "benchmarks"): "measures for minutes",
    ("curl", "http://127.0.0.1:8123/"): "asks at a fixed port, which the postray of these tests has not",
    ("postray", "tls-report"): "needs the setting tls_reports.sender",
    ("postray", "domains", "verify"): "asks the internet",
    ("postray", "shaping", "diff"): "reads a file that the reader has changed",
    ("postray", "inbound", "explain"): "reads a report that the reader has",
    ("postray", "doctor", "--port25"): "asks the internet",
    ("dig",): "asks the internet",
    ("nc",): "asks the internet",
    ("git",): "changes the code",
}
"""The beginnings of commands that are only parsed (tests/unit/test_docs.py), and the reasons."""


def script(block: Block) -> str:
    """The part of a block that is run."""
    return "".join(line for line in lines(block) if not any(map(_is_not_run, commands(line))))


def _is_not_run(words: list[str]) -> bool:
    return any(tuple(words[: len(start)]) == start for start in NOT_RUN)


NEEDS_CURL = pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")

RUN = [
    pytest.param(block, id=str(block), marks=[NEEDS_CURL] if "curl " in script(block) else [])
    for block in blocks("sh")
    if script(block) and block not in walk()  # these are run by test_first_mail.py
]


@pytest.fixture(scope="module")
def folder(postray: RunningPostray, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with the data of a running postray, as ``make run`` leaves it."""
    folder = tmp_path_factory.mktemp("reader")
    (folder / "postray-data").symlink_to(postray.data_dir)
    (folder / "logo.png").write_bytes(png())
    (folder / "former-customers.txt").write_text("former.customer@example.com\n", encoding="ascii")
    (folder / ".curlrc").write_text("fail\nnoproxy = *\n", encoding="ascii")  # an HTTP error fails the command
    yield folder


def environment(postray: RunningPostray, folder: Path) -> dict[str, str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**postray.environ, "PATH": path, "CURL_HOME": str(folder)}


def run(arguments: list[str], postray: RunningPostray, folder: Path) -> str:
    ended = subprocess.run(
        arguments,
        env=environment(postray, folder),
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=MAX_WAIT_S,
        check=False,
    )
    assert ended.returncode == 0, f"{ended.stdout}\n{ended.stderr}"
    return ended.stdout


async def test_there_is_mail_to_look_at(client: Client) -> None:
    (message_id,) = await client.send()
    await client.until(f"/v3/messages/{message_id}", lambda m: m["status"] == "delivered")


@pytest.mark.parametrize("block", RUN)
def test_the_commands_of_a_block_succeed(block: Block, postray: RunningPostray, folder: Path) -> None:
    text = script(block).replace(API, postray.run.url)
    assert run(["bash", "-euo", "pipefail", "-c", text], postray, folder)


def test_the_sendgrid_client_sends(postray: RunningPostray, folder: Path) -> None:
    (block,) = (block for block in blocks("python") if block.page == "docs/sending.md")
    text = block.text.replace(API, postray.run.url)
    assert run([sys.executable, "-c", text], postray, folder).startswith("202 msg_")


def test_the_sendgrid_client_has_events_posted(postray: RunningPostray, folder: Path) -> None:
    (block,) = (
        block for block in blocks("python") if block.page == "docs/webhooks.md" and "import sendgrid" in block.text
    )
    assert run([sys.executable, "-c", block.text.replace(API, postray.run.url)], postray, folder).startswith("wh_")


def test_what_is_not_run_is_there() -> None:
    started = [words for block in blocks("sh") for line in lines(block) for words in commands(line)]
    for start in NOT_RUN:
        assert any(tuple(words[: len(start)]) == start for words in started), start
