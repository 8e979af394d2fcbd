"""Hosts that send unexpected replies, or refuse a part: the outcome of each recipient.

A 2yz where another reply is due is no acceptance, a 5yz about the session is no bounce, and recipients beyond a
host's limit are sent later (RFC 5321 §4.2.1, §3.1, §4.5.3.1.10).
"""

import asyncio

import pytest

from cluster.journal.journal import Journal
from tests.integration.delivery.hostile import (
    CHUNKS,
    DELIVERED,
    IN_CHUNKS,
    LOST,
    MAX_WAIT_S,
    ONE_BY_ONE,
    PIPELINED,
    Case,
    Ending,
    addressed,
    bounced,
    deferred,
    hosts,
    judged,
)
from tests.integration.smtp.peer import Answer, Step

MODES = {"chunks": CHUNKS, "pipelined": PIPELINED, "one-by-one": ONE_BY_ONE}
COMMANDS = ("MAIL", "RCPT", "DATA", "END", "BDAT", "RSET")


def line(reply: str) -> Answer:
    return (f"{reply}\r\n".encode(),)


async def test_a_greeting_that_refuses_defers(journal: Journal) -> None:
    """RFC 5321 §3.1: 554 is this host's refusal of a session. It says nothing about an address, and may pass."""
    said, who = "554 5.7.1 no service for you", "550 5.7.1 who?"
    async with hosts(journal) as there:
        cases = {
            "stays": Case(script={"GREETING": line(said)}, ends=deferred("policy", 60, said)),
            "closes": Case(script={"GREETING": (*line(said), Step.DROP)}, ends=deferred("policy", 60, said)),
            "bare": Case(script={"GREETING": line("550 no")}, ends=deferred("bad_mailbox", 60, "550 no")),
            "strange": Case(script={"GREETING": line("354 go on")}, ends=deferred("no_answer", 120, "354 go on")),
            "ehlo": Case(script=dict.fromkeys(("EHLO", "HELO"), line(who)), ends=deferred("policy", 60, who)),
        }
        peers = await judged(there, cases)
        assert not any("MAIL" in peer.verbs for peer in peers.values())


@pytest.mark.parametrize("verbs", [COMMANDS, ("DATA",)], ids=["to everything", "to DATA"])
async def test_250_to_data_is_no_acceptance(journal: Journal, verbs: tuple[str, ...]) -> None:
    """The host has not seen the message (RFC 5321 §4.3.2: to DATA only 354 goes on)."""
    script = dict.fromkeys(verbs, line("250 yes"))
    ends = deferred("protocol_error", 60, "250 yes")
    async with hosts(journal) as there:
        cases = {name: Case(script=script, extensions=MODES[name], ends=ends) for name in ("pipelined", "one-by-one")}
        peers = await judged(there, cases)
        assert not any(peer.messages for peer in peers.values())


async def test_bdat_that_is_announced_and_refused(journal: Journal) -> None:
    """Refused at once, the message goes by DATA in the same session. A host that refuses it only with the message has
    perhaps obeyed that: it gets no more in this session, and none by BDAT in the next."""
    no = line("502 5.5.1 command not implemented")
    async with hosts(journal) as there:
        cases = {
            "at-once": Case(script={"CHUNK": no, "BDAT": no}, ends=DELIVERED),
            "with-the-message": Case(script={"BDAT": no}, ends=LOST),
        }
        peers = await judged(there, cases)
        assert peers["with-the-message"].verbs[-1] == "BDAT"
        await there.world.accept(addressed("with-the-message.test"), addressed("at-once.test"))
        async with asyncio.timeout(MAX_WAIT_S):
            while not all("DATA" in peer.verbs and peer.verbs.count("MAIL") > 1 for peer in peers.values()):
                await there.world.scheduler.paging.round()
        assert peers["with-the-message"].verbs.count("BDAT") == 2
        assert peers["at-once"].verbs.count("BDAT") == 1


async def test_354_to_everything_defers(journal: Journal) -> None:
    script = dict.fromkeys(COMMANDS, line("354 go on"))
    ends = deferred("protocol_error", 60, "354 go on")
    async with hosts(journal) as there:
        await judged(there, {name: Case(script=script, extensions=MODES[name], ends=ends) for name in MODES})


@pytest.mark.parametrize("mode", MODES)
async def test_each_recipient_has_the_reply_that_was_meant_for_it(journal: Journal, mode: str) -> None:
    delivered = IN_CHUNKS if mode == "chunks" else DELIVERED
    unknown, busy = "550 5.1.1 user unknown", "451 4.3.0 busy"
    mixed = [line("250 ok"), line(unknown), line(busy), line("251 will forward")]
    final = "BDAT" if mode == "chunks" else "END"
    async with hosts(journal) as there:
        cases = {
            "partly": Case(
                script={"RCPT": mixed},
                ends=(delivered, bounced("bad_mailbox", unknown), deferred("system_failure", 60, busy), delivered),
            ),
            "refused-then": Case(
                script={"RCPT": mixed, final: line("554 5.6.0 bad content")},
                ends=(
                    bounced("bad_content", "554 5.6.0 bad content"),
                    bounced("bad_mailbox", unknown),
                    deferred("system_failure", 60, busy),
                    bounced("bad_content", "554 5.6.0 bad content"),
                ),
            ),
            "nobody": Case(
                script={"RCPT": line(unknown), "DATA": line("554 5.5.1 no valid recipients")},
                ends=(bounced("bad_mailbox", unknown),) * 2,
            ),
            "lost-then": Case(
                script={"RCPT": mixed, final: (Step.DROP,)},
                ends=(LOST, bounced("bad_mailbox", unknown), deferred("system_failure", 60, busy), LOST),
            ),
        }
        for case in cases.values():
            case.extensions = MODES[mode]
        await judged(there, cases)


@pytest.mark.parametrize(
    "reply",
    [
        "452 4.5.3 too many recipients",
        "452 too many recipients",
        "550 5.5.3 too many recipients",
        "552 too many recipients",
        "552 5.5.3 enough",
        "451 4.5.3 enough",
    ],
)
async def test_too_many_recipients_are_sent_later_whatever_the_code(journal: Journal, reply: str) -> None:
    """RFC 5321 §4.5.3.1.10."""
    later = deferred("too_many_recipients", 1, reply)
    script: dict[str, Answer | list[Answer]] = {"RCPT": [line("250 ok"), line("250 ok"), line(reply)]}
    async with hosts(journal) as there:
        cases = {}
        for mode, extensions in MODES.items():
            taken = IN_CHUNKS if mode == "chunks" else DELIVERED
            cases[mode] = Case(script=script, extensions=extensions, ends=(taken, taken, later, later))
        await judged(there, cases)


async def test_what_is_refused_with_the_data_bounces_and_what_is_put_off_does_not(journal: Journal) -> None:
    no, later = "554 5.7.1 we do not want this", "451 4.7.1 try again later"
    ends: dict[str, Ending] = {no: bounced("policy", no), later: deferred("system_failure", 60, later)}
    async with hosts(journal) as there:
        cases = {}
        for i, (reply, end) in enumerate(ends.items()):
            for verb, mode in (("BDAT", "chunks"), ("DATA", "pipelined"), ("END", "pipelined"), ("END", "one-by-one")):
                cases[f"{mode}-{verb}-{i}".lower()] = Case(
                    script={verb: line(reply)}, extensions=MODES[mode], ends=(end, end)
                )
        await judged(there, cases)


async def test_a_huge_answer_to_ehlo(journal: Journal) -> None:
    async with hosts(journal) as there:
        cases = {
            str(count): Case(
                script={
                    "EHLO": tuple(b"250-X%d %s\r\n" % (i, b"y" * 200) for i in range(count)) + line("250 CHUNKING")
                },
                ends=ends,
            )
            for count, ends in ((100, DELIVERED), (20_000, LOST))
        }
        await judged(there, cases)
