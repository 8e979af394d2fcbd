"""Programs that hand mail over by SMTP to a running postray: what each sends arrives as it would through the API.

Programs that are not installed here are skipped, each by its name: Debian's swaks, msmtp and postfix, npm's nodemailer.
"""

import asyncio
import email.utils
import json
import shutil
import smtplib
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import aiosmtplib
import pytest

from benchmarks.mail import Mail, Shape
from benchmarks.postfix import ALONE, Postfix, lacking
from benchmarks.postfix_files import PostfixPlan, relaying
from benchmarks.submission import Way, letters, submit, unverified
from cluster.installation.ports import ANY_PORT, HeldPort
from cluster.settings import host_port
from tests.acceptance.running import Client, RunningPostray
from tests.acceptance.test_main_job import key_records, parsed
from tests.dkim_verifier import verdicts

FROM = "hello@mail.example.com"
TEXT = "Hello, Ada: 1 = 1.\n.\nA dot, and an end."
SMTPAPI = {"category": ["welcome"], "unique_args": {"order": "7"}, "sub": {"-name-": ["Ada"]}}
PROGRAM_S = 30.0
NODE_MODULES = Path(sys.prefix) / "node" / "node_modules"
RELAYED = 1000


def needs(program: str) -> pytest.MarkDecorator:
    reason = f"{program} is not installed here; on Debian: apt-get install {program}"
    return pytest.mark.skipif(shutil.which(program) is None, reason=reason)


def _lacks_nodemailer() -> str:
    if shutil.which("node") is None:
        return "node is not installed here"
    if not (NODE_MODULES / "nodemailer").exists():
        return f"nodemailer is not installed here: npm install --prefix {NODE_MODULES.parent} nodemailer"
    return ""


def _lacks_postfix() -> str:
    if (reason := lacking(ALONE)) is not None:
        return reason
    if not list(Path("/usr/lib").glob("**/sasl2/libplain.so")):
        return "Postfix lacks AUTH PLAIN here; on Debian: apt-get install libsasl2-modules"
    return ""


class Submitting:
    """Where a program submits, and what becomes of its mail."""

    def __init__(self, postray: RunningPostray, client: Client) -> None:
        self.host, self.port = host_port(postray.run.submission)
        self.address = f"{self.host}:{self.port}"
        self.key = postray.key
        self.client = client

    async def run(self, *command: str, text: str | bytes = "", **environment: str) -> str:
        """The output of a program, which reads ``text`` and must succeed."""
        done = await asyncio.to_thread(
            subprocess.run,
            command,
            input=text.encode() if isinstance(text, str) else text,
            capture_output=True,
            timeout=PROGRAM_S,
            env={"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": "/nonexistent", **environment},
        )
        output = (done.stdout + done.stderr).decode("utf-8", "replace")
        assert done.returncode == 0, output
        return output

    async def told(self, recipient: str) -> dict[str, Any]:
        """What the API tells of the one message to a recipient, once it is delivered: without what names it."""
        listed = await self.client.until(f"/v3/messages?to_email={recipient}", lambda found: bool(found["messages"]))
        (summary,) = listed["messages"]
        message = await self.client.until(
            f"/v3/messages/{summary['id']}", lambda m: m["status"] == "delivered" and len(m["events"] or []) == 2
        )
        names = ("status", "from_email", "subject", "to_emails", "categories", "custom_args", "template_id", "batch_id")
        shown = {name: message[name] for name in names}
        shown["events"] = [(event["event_type"], sorted(event.get("metadata", {}))) for event in message["events"]]
        return shown

    async def arrived(self, recipient: str) -> EmailMessage:
        """The one message at the sink, both of whose signatures verify; its line ends are ``\\n``."""
        (raw,) = await self.client.captured(recipient)
        assert verdicts(raw, await key_records(self.client)) == [True, True]
        return parsed(raw.replace(b"\r\n", b"\n"))

    async def through_the_api(self, recipient: str, **fields: Any) -> dict[str, Any]:
        """What is told of the same mail that was sent over HTTP."""
        to = [{"to": [{"email": recipient}]} | fields.pop("own", {})]
        await self.client.send(personalizations=to, **{"from": {"email": FROM}}, **fields)
        return await self.told(recipient)


@pytest.fixture
def submitting(postray: RunningPostray, client: Client) -> Submitting:
    return Submitting(postray, client)


def as_of(told: dict[str, Any], recipient: str) -> dict[str, Any]:
    return told | {"to_emails": [recipient]}


def message_to(recipient: str) -> EmailMessage:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = FROM, recipient, "Grüße"
    message["Message-ID"] = email.utils.make_msgid(domain="client.example")
    message.set_content(TEXT)
    message.add_alternative(f"<p>{TEXT}</p>", subtype="html")
    return message


def content_of(message: EmailMessage) -> Sequence[str]:
    """What stays as it was sent: the html gets a pixel, as that of the API does."""
    text, html = (part.get_content() for part in message.iter_parts())
    return [message["Message-ID"], message["Subject"], text, html.partition("</p>")[0]]


async def test_smtplib(submitting: Submitting) -> None:
    message = message_to("smtplib@example.com")

    def send() -> None:
        with smtplib.SMTP(submitting.host, submitting.port) as server:
            server.starttls(context=unverified())
            server.login("apikey", submitting.key)
            assert server.send_message(message) == {}

    await asyncio.to_thread(send)
    told = await submitting.told("smtplib@example.com")
    assert (told["subject"], told["from_email"]) == ("Grüße", FROM)
    assert [event for event, _ in told["events"]] == ["processed", "delivered"]
    assert content_of(await submitting.arrived("smtplib@example.com")) == content_of(message)


async def test_aiosmtplib(submitting: Submitting) -> None:
    message = message_to("aiosmtplib@example.com")
    errors, reply = await aiosmtplib.send(
        message,
        hostname=submitting.host,
        port=submitting.port,
        start_tls=True,
        validate_certs=False,
        username="apikey",
        password=submitting.key,
    )
    assert errors == {} and reply.startswith("2.0.0 msg_")
    assert (await submitting.told("aiosmtplib@example.com"))["status"] == "delivered"
    assert content_of(await submitting.arrived("aiosmtplib@example.com")) == content_of(message)


def swaks(submitting: Submitting, recipient: str) -> list[str]:
    server = ["swaks", "--server", submitting.host, "--port", str(submitting.port), "--tls"]
    login = ["--auth", "PLAIN", "--auth-user", "apikey", "--auth-password", submitting.key]
    return [*server, *login, "--helo", "client.example", "--from", FROM, "--to", recipient]


@needs("swaks")
async def test_swaks(submitting: Submitting) -> None:
    output = await submitting.run(*swaks(submitting, "swaks@example.com"), "--h-Subject", "Hi", "--body", TEXT)
    assert " accepted" in output
    told = await submitting.told("swaks@example.com")
    content = [{"type": "text/plain", "value": TEXT}]
    same = await submitting.through_the_api("swaks.api@example.com", subject="Hi", content=content)
    assert told == as_of(same, "swaks@example.com")
    arrived = await submitting.arrived("swaks@example.com")
    assert arrived.get_content().rstrip("\n") == TEXT
    assert "swaks" in arrived["X-Mailer"]


@needs("swaks")
async def test_swaks_with_smtpapi(submitting: Submitting) -> None:
    said = json.dumps(SMTPAPI | {"to": ["smtpapi@example.com"]})
    command = swaks(submitting, "unused@example.com")
    await submitting.run(*command, "--h-Subject", "Hi -name-", "--h-X-SMTPAPI", said, "--body", "Dear -name-")
    told = await submitting.told("smtpapi@example.com")
    same = await submitting.through_the_api(
        "smtpapi.api@example.com",
        subject="Hi -name-",
        content=[{"type": "text/plain", "value": "Dear -name-"}],
        categories=["welcome"],
        custom_args={"order": "7"},
        own={"substitutions": {"-name-": "Ada"}},
    )
    assert told == as_of(same, "smtpapi@example.com")
    assert (told["subject"], told["categories"], told["custom_args"]) == ("Hi Ada", ["welcome"], {"order": "7"})
    arrived = await submitting.arrived("smtpapi@example.com")
    assert (arrived["Subject"], arrived["To"], arrived["X-SMTPAPI"]) == ("Hi Ada", "smtpapi@example.com", None)
    assert arrived.get_content().rstrip("\n") == "Dear Ada"
    assert await submitting.client.captured("unused@example.com") == []


@needs("msmtp")
async def test_msmtp(submitting: Submitting, tmp_path: Path) -> None:
    settings = tmp_path / "msmtprc"
    settings.touch(0o600)
    settings.write_text(
        f"account default\nhost {submitting.host}\nport {submitting.port}\nfrom {FROM}\nauth plain\nuser apikey\n"
        f"password {submitting.key}\ntls on\ntls_starttls on\ntls_certcheck off\n"
    )
    text = f"From: {FROM}\nTo: msmtp@example.com\nBcc: blind@example.com\nSubject: Hi\n\n{TEXT}\n"
    await submitting.run("msmtp", f"--file={settings}", "--read-recipients", text=text)
    listed = await submitting.client.until("/v3/messages?to_email=blind@example.com", lambda m: bool(m["messages"]))
    assert listed["messages"][0]["to_emails"] == ["msmtp@example.com", "blind@example.com"]
    for recipient in ("msmtp@example.com", "blind@example.com"):
        await submitting.client.until(
            f"/v3/messages/{listed['messages'][0]['id']}", lambda m: m["status"] == "delivered"
        )
        arrived = await submitting.arrived(recipient)
        assert (arrived["To"], arrived["Bcc"]) == ("msmtp@example.com", None)
        assert arrived.get_content().rstrip("\n") == TEXT


NODE = """
const nodemailer = require("nodemailer")
const [host, port, pass] = process.argv.slice(1)
const transport = nodemailer.createTransport({
  host, port: Number(port), requireTLS: true, auth: { user: "apikey", pass }, tls: { rejectUnauthorized: false },
})
const attachments = [{ filename: "one.txt", content: "attached" }]
transport.sendMail({
  from: "Acme <hello@mail.example.com>", to: "nodemailer@example.com", subject: "Grüße", text: "Text", html: "<p>Ä</p>",
  headers: { "X-SMTPAPI": JSON.stringify({ category: "welcome" }) }, attachments,
}).then((sent) => console.log(JSON.stringify(sent)), (error) => { console.error(error); process.exit(1) })
"""


@pytest.mark.skipif(bool(_lacks_nodemailer()), reason=_lacks_nodemailer())
async def test_nodemailer(submitting: Submitting) -> None:
    command = ("node", "-e", NODE, submitting.host, str(submitting.port), submitting.key)
    sent = json.loads(await submitting.run(*command, NODE_PATH=str(NODE_MODULES)))
    assert sent["accepted"] == ["nodemailer@example.com"] and sent["response"].endswith(" accepted")
    told = await submitting.told("nodemailer@example.com")
    assert (told["subject"], told["categories"]) == ("Grüße", ["welcome"])
    arrived = await submitting.arrived("nodemailer@example.com")
    assert arrived["Message-ID"] == sent["messageId"]
    texts = {part.get_content_type(): part.get_content() for part in arrived.walk() if not part.is_multipart()}
    assert texts["text/html"].startswith("<p>Ä</p>")
    (attached,) = arrived.iter_attachments()
    assert (attached.get_filename(), attached.get_payload(decode=True)) == ("one.txt", b"attached")


@pytest.fixture
def postfix(submitting: Submitting) -> Iterator[Postfix]:
    """A Postfix whose mail all goes to postray, over TLS and with AUTH."""
    directory = Path(tempfile.mkdtemp(prefix="pr-test-"))
    directory.chmod(0o755)  # for the users that its processes become
    port = HeldPort(ANY_PORT)
    login = {
        "smtp_sasl_auth_enable": "yes",
        "smtp_sasl_password_maps": f"static:apikey:{submitting.key}",
        "smtp_sasl_security_options": "noanonymous",
    }
    work = {**relaying(submitting.address, connections=10, clients=5), **login}
    found = Postfix(PostfixPlan(directory=directory / "postfix", port=port.number, work=work))
    try:
        found.start()
        yield found
    finally:
        found.stop()
        shutil.rmtree(directory)


@pytest.mark.skipif(bool(_lacks_postfix()), reason=_lacks_postfix())
async def test_postfix_relays_a_thousand(submitting: Submitting, postfix: Postfix) -> None:
    client = submitting.client
    batch_id = (await client.api.post("/v3/mail/batch")).json()["batch_id"]
    off = {"settings": {"enable": 0}}
    said = {"batch_id": batch_id, "filters": {"opentrack": off, "clicktrack": off}}
    more = f"X-SMTPAPI: {json.dumps(said)}\r\n".encode()
    shape = Shape(text_bytes=300, html_bytes=300)
    mail = letters(Mail(shape, lambda _: "relayed.example").body(range(RELAYED)), Way.PIPELINING, more)
    accepted = (await submit(postfix.address, mail, clients=5)).message_ids
    assert len(set(accepted)) == RELAYED
    assert await asyncio.to_thread(postfix.wait_until_empty, PROGRAM_S), postfix.said()
    batch = await client.until(f"/v3/mail/batch/{batch_id}", lambda b: b["is_complete"])
    assert batch["total_messages"] == batch["status_counts"]["delivered"] == RELAYED
    recipients: Counter[str] = Counter()
    for page in range(1, RELAYED // 100 + 1):
        params: dict[str, str | int] = {"search": "relayed.example", "page": page, "page_size": 100}
        listed = (await client.page.get("/api/messages", params=params)).json()
        assert listed["total"] == RELAYED
        recipients.update(one for message in listed["messages"] for one in message["rcpt_to"])
    assert recipients == Counter(f"reader{number}-0@relayed.example" for number in range(RELAYED))
    for letter, number in ((mail[0], 0), (mail[-1], RELAYED - 1)):
        recipient = f"reader{number}-0@relayed.example"
        arrived = await submitting.arrived(recipient)
        assert letter.message_id in arrived["Message-ID"] and "bench.example.com" in arrived["Received"]
        (raw,) = await client.captured(recipient)
        body = raw.partition(b"\r\n\r\n")[2]
        assert letter.flights[1].octets.endswith(body + b".\r\n")
