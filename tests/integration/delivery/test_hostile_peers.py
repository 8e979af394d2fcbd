"""Hosts that hang up, refuse, babble or drip at every stage: what RFC 5321 asks for becomes of the mail.

What the engine makes of such a host is tested beside it (smtp/test_broken_peers.py); here it is the verdict, the
event and the time of the next attempt that count.
"""

from collections.abc import Iterator

import pytest
from msgspec.structs import replace

from cluster.journal.journal import Journal
from cluster.settings import SmtpSettings
from tests.integration.delivery.hostile import (
    CHUNKS,
    DELIVERED,
    IN_CHUNKS,
    LOST,
    ONE_BY_ONE,
    PIPELINED,
    SILENT,
    SMTP,
    Case,
    Ending,
    bounced,
    deferred,
    hosts,
    judged,
)
from tests.integration.smtp.peer import DRIP_S, Answer, Peer, Step, each_byte

LIMIT_S = 1.0
AT_HANDSHAKE = replace(SMTP, greeting_timeout_s=LIMIT_S)
AFTER_HANDSHAKE = replace(
    SMTP,
    mail_timeout_s=LIMIT_S,
    rcpt_timeout_s=LIMIT_S,
    data_initiation_timeout_s=LIMIT_S,
    data_block_timeout_s=LIMIT_S,
    data_termination_timeout_s=LIMIT_S,
)
WITHIN_LIMITS = pytest.mark.parametrize("smtp", [AT_HANDSHAKE, AFTER_HANDSHAKE], ids=["at handshake", "after it"])
HANDSHAKE = ("chunks-greeting", "chunks-ehlo")
STAGES = [
    ("chunks", CHUNKS, "GREETING"),
    ("chunks", CHUNKS, "EHLO"),
    ("chunks", CHUNKS, "MAIL"),
    ("chunks", CHUNKS, "RCPT"),
    ("chunks", CHUNKS, "BDAT"),
    ("pipelined", PIPELINED, "MAIL"),
    ("pipelined", PIPELINED, "RCPT"),
    ("pipelined", PIPELINED, "DATA"),
    ("pipelined", PIPELINED, "END"),
    ("one-by-one", ONE_BY_ONE, "MAIL"),
    ("one-by-one", ONE_BY_ONE, "RCPT"),
    ("one-by-one", ONE_BY_ONE, "DATA"),
    ("one-by-one", ONE_BY_ONE, "END"),
]
BABBLE: dict[str, Answer] = {
    "line": (b"endless line", Step.FLOOD),
    "binary": (b"\x00\x01\xff\xfe\r\n",),
    "nul": (b"250", b"\x00 ok\r\n"),
}


def at_every_stage(answer: Answer, ends: Ending) -> Iterator[tuple[str, Case]]:
    for mode, extensions, verb in STAGES:
        yield f"{mode}-{verb.lower()}", Case(script={verb: answer}, extensions=extensions, ends=ends)


def silent_at_greeting(cases: dict[str, Case]) -> dict[str, Case]:
    """Before a greeting no server has answered: the host may be down."""
    cases["chunks-greeting"].ends = SILENT
    return cases


async def judged_within_limits(journal: Journal, answer: Answer, smtp: SmtpSettings) -> dict[str, Peer]:
    """The same for hosts that answer for longer than a stage may take. The limit of the handshake is short only where
    it is tested: a host that does not end it in time counts as down, and this machine may be slow."""
    cases = silent_at_greeting(dict(at_every_stage(answer, LOST)))
    async with hosts(journal, smtp=smtp) as there:
        return await judged(
            there, {name: case for name, case in cases.items() if (name in HANDSHAKE) is (smtp is AT_HANDSHAKE)}
        )


async def test_421_defers_at_every_stage(journal: Journal) -> None:
    """RFC 5321 §3.8, §4.2.3: the connection is over, and the reply is about the host, not about the message."""
    said = "421-4.3.2 going down\n421 4.3.2 bye"
    answer = (said.replace("\n", "\r\n").encode() + b"\r\n",)
    async with hosts(journal) as there:
        peers = await judged(there, dict(at_every_stage(answer, deferred("system_failure", 60, said))))
        assert {peer.connections for peer in peers.values()} == {1}


async def test_a_lost_connection_defers_at_every_stage(journal: Journal) -> None:
    async with hosts(journal) as there:
        peers = await judged(there, silent_at_greeting(dict(at_every_stage((Step.DROP,), LOST))))
        assert {peer.connections for peer in peers.values()} == {1}


async def test_babble_defers_at_every_stage(journal: Journal) -> None:
    """RFC 5321 §4.2: a line that is not a reply is no answer about the message, and ends the session."""
    async with hosts(journal) as there:
        cases = {}
        for kind, answer in BABBLE.items():
            for name, case in silent_at_greeting(dict(at_every_stage(answer, LOST))).items():
                cases[f"{kind}-{name}"] = case
        for stage in ("greeting", "ehlo"):
            del cases[f"nul-chunks-{stage}"]  # only a code is needed there, and there is one
        await judged(there, cases)


@WITHIN_LIMITS
async def test_silence_ends_with_the_time_limit_of_its_stage(journal: Journal, smtp: SmtpSettings) -> None:
    """RFC 5321 §4.5.3.2."""
    await judged_within_limits(journal, (Step.STALL,), smtp)


@WITHIN_LIMITS
async def test_a_reply_that_comes_byte_by_byte_is_bound_by_the_same_limit(journal: Journal, smtp: SmtpSettings) -> None:
    """However steadily it comes: a limit for each byte would let a host hold connections for as long as it likes."""
    line = b"250-" + b"slowly " * 100
    assert DRIP_S < LIMIT_S < len(line) * DRIP_S / 10
    for peer in (await judged_within_limits(journal, (Step.DRIP, line), smtp)).values():
        assert 0 < peer.dripped < len(line) / 2


async def test_a_reply_may_be_split_at_any_byte(journal: Journal) -> None:
    replies = {
        "GREETING": b"220-peer\r\n220 test\r\n",
        "MAIL": b"250 2.1.0 sender ok\r\n",
        "RCPT": b"250-2.1.5 recipient\r\n250 2.1.5 ok\r\n",
        "DATA": b"354 go ahead\r\n",
        "END": b"250 2.0.0 accepted\r\n",
        "BDAT": b"250 2.0.0 accepted chunk\r\n",
    }
    script = {verb: each_byte(reply) for verb, reply in replies.items()}
    refusal = {"RCPT": each_byte(b"550-5.1.1 no such\r\n550 5.1.1 user\r\n")}
    async with hosts(journal) as there:
        cases = {
            "chunks": Case(script=script, extensions=CHUNKS, ends=IN_CHUNKS),
            "pipelined": Case(script=script, extensions=PIPELINED, ends=DELIVERED),
            "one-by-one": Case(script=script, extensions=ONE_BY_ONE, ends=DELIVERED),
            "refused": Case(script=refusal, ends=bounced("bad_mailbox", "550-5.1.1 no such\n550 5.1.1 user")),
        }
        await judged(there, cases)
