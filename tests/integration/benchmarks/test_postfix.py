"""A real Postfix with OpenDKIM, where Debian's packages are: it signs, sends over TLS, and leaves nothing behind."""

import asyncio
import base64
import shutil
import socket
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from io import StringIO
from pathlib import Path

import dkim as dkimpy
import psutil
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from rich.console import Console

from benchmarks.mail import Mail, Shape
from benchmarks.postfix import ALONE, Postfix, PostfixDidNotStart, lacking
from benchmarks.postfix_files import PostfixPlan, relaying
from benchmarks.runner import Repeats, run
from benchmarks.scenarios import submission
from benchmarks.scenarios.peers import RATIO, Options, Peers
from benchmarks.submission import letters, submit
from cluster.dkim_keys import load_private_key, record_text
from cluster.installation.ports import ANY_PORT, HeldPort
from cluster.smtpd.certificate import server_context
from cluster.smtpd.envelope import ReceivedMessage
from cluster.smtpd.server import SmtpServer

REASON, REASON_ALONE = lacking(), lacking(ALONE)
signing = pytest.mark.skipif(REASON is not None, reason=f"{REASON}")
ARRIVED_S = 30.0


@pytest.fixture
def directory() -> Iterator[Path]:
    """Unlike tmp_path, open to the users that Postfix's processes become."""
    found = Path(tempfile.mkdtemp(prefix="pr-test-"))
    found.chmod(0o755)
    yield found
    shutil.rmtree(found)


def planned(directory: Path, port: int, sink: str) -> PostfixPlan:
    return PostfixPlan(
        directory=directory / "postfix", port=port, work=relaying(sink, connections=5, clients=2), signs=True
    )


def processes_in(directory: Path) -> list[str]:
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if Path(process.cwd()).is_relative_to(directory) or str(directory) in " ".join(process.cmdline()):
                found.append(process.name())
    return found


def public_value(plan: PostfixPlan) -> str:
    """The public key that the signer's domain would publish, in base64."""
    key = load_private_key(plan.key.read_bytes()).public_key()
    return base64.b64encode(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).decode("ascii")


@signing
async def test_mail_arrives_signed_over_tls_and_nothing_is_left(directory: Path) -> None:
    arrived: asyncio.Queue[ReceivedMessage] = asyncio.Queue()
    server = SmtpServer(arrived.put_nowait, tls=server_context("127.0.0.1", directory / "tls"))
    host, port = await server.start()
    held = HeldPort(ANY_PORT)
    plan = planned(directory, held.number, f"{host}:{port}")
    postfix = Postfix(plan)
    mail = letters(Mail(Shape()).body(range(1, 21)))
    try:
        await asyncio.to_thread(postfix.start)
        accepted = (await submit(postfix.address, mail, clients=2)).message_ids
        async with asyncio.timeout(ARRIVED_S):
            envelopes = [await arrived.get() for _ in mail]
        # Some of its processes are there only when there was something to do.
        assert {"postfix master", "postfix qmgr", "opendkim"} <= set(postfix.parts())
        assert await asyncio.to_thread(postfix.wait_until_empty, ARRIVED_S), postfix.said()
        record = record_text(public_value(plan)).encode()
    finally:
        await asyncio.to_thread(postfix.stop)
        await server.stop()
    assert sorted(accepted) == sorted(letter.message_id for letter in mail)
    assert arrived.empty()
    assert {envelope.rcpt_to for envelope in envelopes} == {(f"reader{n}-0@example.org",) for n in range(1, 21)}
    assert all(envelope.tls_version for envelope in envelopes)
    assert all(dkimpy.verify(envelope.content, dnsfunc=lambda _, timeout=5: record) for envelope in envelopes)
    assert processes_in(directory) == []


@signing
def test_one_that_cannot_start_says_why_and_leaves_nothing(directory: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        postfix = Postfix(planned(directory, taken.getsockname()[1], "127.0.0.1:1"))
        with pytest.raises(PostfixDidNotStart, match="Address already in use"):
            postfix.start()
    assert processes_in(directory) == []


@signing
async def test_peers_short() -> None:
    options = Options(messages=100, per_request=50, postfix_messages=50, postfix_clients=4, connections=4, actors=1)
    record = await run(Peers(options), Repeats(repeats=1, warm_up=0.0), Console(file=StringIO()))
    assert record.broken == ()
    assert RATIO in {figure.name for figure in record.figures}
    (repeat,) = record.repeats
    assert repeat.promised == repeat.counted == 100 + 50 + (50 + 10)
    assert {"opendkim", "postfix smtp", "delivery-0-0", "sink", "sink (Postfix's turn)"} <= set(repeat.usage)


@pytest.mark.skipif(REASON_ALONE is not None, reason=f"{REASON_ALONE}")
async def test_submission_short() -> None:
    options = submission.Options(messages=100, postfix_messages=60, clients=5)
    record = await run(submission.Submission(options), Repeats(repeats=1, warm_up=0.0), Console(file=StringIO()))
    assert record.broken == ()
    assert submission.RATIO in {figure.name for figure in record.figures}
    (repeat,) = record.repeats
    assert repeat.promised == repeat.counted == (20 + 100 + 50) + (12 + 60 + 30)
    assert {"api-0-0", "postfix smtpd", "postfix cleanup", "harness (Postfix's turn)"} <= set(repeat.usage)
