"""Composing a large message lets other threads run, and gives the same result."""

import asyncio
from base64 import b64encode
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.compose import dkim, relaxed
from actors.compose.message import draft_message, finish
from actors.compose.mime import compile_content
from cluster.settings import MessageSettings
from tests.unit.compose.reading import DATE, MESSAGE_ID, attachment, content, html, personalization, plain

MB = 1024 * 1024


def plainly_hashed(body: bytes) -> bytes:
    """RFC 6376 §3.4.4, line by line."""
    lines = [b" ".join(line.replace(b"\t", b" ").split(b" ")) for line in body.split(b"\r\n")]
    for index, line in enumerate(lines):
        while b"  " in line:
            line = line.replace(b"  ", b" ")
        lines[index] = line.rstrip(b" ")
    while lines and not lines[-1]:
        lines.pop()
    return b64encode(sha256(b"".join(line + b"\r\n" for line in lines)).digest())


@given(
    st.lists(st.sampled_from([b"a", b" ", b"\t", b"  ", b"\r\n", b"\r\n\r\n", b"b c"]), max_size=80), st.integers(1, 9)
)
def test_a_body_is_hashed_the_same_by_slices(pieces: list[bytes], size: int) -> None:
    body = b"".join(pieces) + b"\r\n"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(relaxed, "SLICE", size)
        assert dkim.body_hash(body) == plainly_hashed(body)


@pytest.mark.parametrize(
    ("text", "markup", "file"),
    [
        ("\n" * 2 * MB, "-name-", b"x"),
        (" " * 2 * MB, "é -name- " + "<p>\n" * (MB // 2), b"x"),
        ("é" * 2 * MB + "-name-", "</" * (MB // 2), b"x"),
        ("-name-" * (MB // 4) + "x" * 2 * MB, "x", b"x"),
        ("x", "-name-", b"x" * 4 * MB),
    ],
    ids=["line ends", "spaces", "one line", "keys", "file"],
)
async def test_the_event_loop_has_its_turns_while_a_thread_composes(text: str, markup: str, file: bytes) -> None:
    """A single call into C that held the interpreter for all of a text would let no other thread run. How long a turn
    takes depends on the machine; the least number of turns does not."""
    shared = content(plain(text), html(markup), attachments=(named := attachment(file),))
    limits = MessageSettings(max_part_bytes=64 * MB, max_bytes=64 * MB)

    def compose() -> int:
        skeleton = compile_content(shared, {named.sha256: file}, limits)
        own = personalization(substitutions={"-name-": "Ada"})
        draft = draft_message(skeleton, own, None, message_id=MESSAGE_ID, date=DATE, signed_at=DATE)
        skeleton.body_hash(draft.pieces[-1])
        [made] = finish([draft])
        return len(made.data)

    composing = asyncio.create_task(asyncio.to_thread(compose))
    turns = 0
    while not composing.done():
        await asyncio.sleep(0.001)
        turns += 1
    assert await composing > 2 * MB
    assert turns >= 10
