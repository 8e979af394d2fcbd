"""From nothing to a delivered mail without the demo: the commands of docs/going-live.md, as they are written, in an
empty folder with an empty HOME, against a DNS server on loopback."""

import asyncio
import os
import shutil
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from dnslib import QTYPE, RR

from cluster.installation import running
from tests.acceptance.running import ANY_PORTS, is_alive
from tests.dkim_verifier import verdicts
from tests.documents import API, walk
from tests.integration.dns_server import DnsServer

MAX_WAIT_S = 60.0
END = "the command has ended"
DATA_DIR = "postray-data"


class Shell:
    """A shell in which commands are given one after the other, as a reader does."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    async def begin(cls, folder: Path, environment: dict[str, str]) -> "Shell":
        process = await asyncio.create_subprocess_exec(
            "bash",
            "-euo",
            "pipefail",
            cwd=folder,
            env=environment,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        return cls(process)

    async def run(self, commands: str) -> str:
        """The output of commands. Fails when one of them does."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(f"{commands}\necho {END}\n".encode())
        said = ""
        async with asyncio.timeout(MAX_WAIT_S):
            while not said.endswith(f"{END}\n"):
                line = await self._process.stdout.readline()
                assert line, f"{commands}\nended the shell:\n{said}"
                said += line.decode()
        return said.removesuffix(f"{END}\n")

    async def end(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        async with asyncio.timeout(MAX_WAIT_S):
            await self._process.wait()


@pytest.fixture
async def dns() -> AsyncIterator[DnsServer]:
    loop = asyncio.get_running_loop()
    transport, server = await loop.create_datagram_endpoint(DnsServer, local_addr=("127.0.0.1", 0))
    yield server
    transport.close()


@pytest.fixture
async def shell(tmp_path: Path, dns: DnsServer) -> AsyncIterator[Shell]:
    """A shell in an empty folder. What runs there is stopped at the end."""
    home, folder = tmp_path / "home", tmp_path / "empty"
    for place in (home, folder):
        place.mkdir(mode=0o700)
    (home / ".curlrc").write_text("fail\nnoproxy = *\n", encoding="ascii")  # an HTTP error fails the command
    environment = {name: value for name, value in os.environ.items() if not name.startswith("POSTRAY_")}
    environment |= ANY_PORTS | {
        "HOME": str(home),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "POSTRAY_DNS_NAMESERVERS": f"127.0.0.1:{dns.port}",
    }
    shell = await Shell.begin(folder, environment)
    yield shell
    run = running.read_run(folder / DATA_DIR)
    await shell.end()
    if run is not None:
        down = await Shell.begin(folder, environment)
        await down.run("postray down")
        await down.end()
        assert not [mark for mark in run.processes if is_alive(mark)]


def publish(zone: str, dns: DnsServer) -> dict[str, str]:
    """Publish the lines of a zone file; returns the texts of the TXT records by name."""
    texts = {}
    for record in RR.fromZone(zone):
        name, kind = str(record.rname).removesuffix("."), QTYPE[record.rtype]
        dns.zone.setdefault((name, kind), []).append(record.rdata)
        if kind == "TXT":
            texts[name] = b"".join(record.rdata.data).decode()
    return texts


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
async def test_from_nothing_to_a_mail_with_two_signatures(tmp_path: Path, shell: Shell, dns: DnsServer) -> None:
    folder = tmp_path / "empty"
    settings, *blocks = walk()
    (folder / "postray.toml").write_text(settings.text, encoding="utf-8")
    texts: dict[str, str] = {}
    url, said = API, ""
    for block in blocks:
        said += await shell.run(block.text.replace(API, url))
        if (run := running.read_run(folder / DATA_DIR)) is not None:
            url = run.url
        zone = "\n".join(line for line in said.splitlines() if " IN " in line)
        if zone and not texts:
            texts = publish(zone, dns)
    assert "There is no tenant yet" in said
    assert '"message_id"' in said
    assert run is not None and not (folder / DATA_DIR / "demo.key").exists()
    async with httpx.AsyncClient(base_url=run.page, trust_env=False) as page:
        deadline = asyncio.get_running_loop().time() + MAX_WAIT_S
        while not (listed := (await page.get("/api/messages")).json()["messages"]):
            assert asyncio.get_running_loop().time() < deadline, "no mail arrived"
            await asyncio.sleep(0.05)
        raw = (await page.get(f"/messages/{listed[0]['id']}/raw")).content
    assert verdicts(raw, texts) == [True, True]
    assert b"a=rsa-sha256" in raw and b"a=ed25519-sha256" in raw
