"""Running an attack in its own process (``__main__``), and collecting its answers."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
from msgspec import Struct

from benchmarks.attacks.attack import Target

READY_S = 120.0
END_S = 10.0


class Told(Struct, frozen=True):
    """The instructions to the process."""

    attack: str
    target: Target


class DidNotAttack(Exception):
    """The attacker's process ended, or was not ready in time."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)


class Attacking:
    """A running attack. ``answers`` is set when it has ended."""

    answers = ""


@asynccontextmanager
async def attacking(told: Told) -> AsyncIterator[Attacking]:
    """Attack during the context. Raises DidNotAttack when the attack fails."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "benchmarks.attacks",
        cwd=Path(__file__).parents[2],
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None and process.stdout is not None
    running = Attacking()
    try:
        process.stdin.write(msgspec.json.encode(told) + b"\n")
        async with asyncio.timeout(READY_S):
            if not await process.stdout.readline():
                raise DidNotAttack(f"the attacker ended before it began: {told.attack}")
        yield running
        process.stdin.close()
        async with asyncio.timeout(END_S):
            running.answers = (await process.stdout.read()).decode().strip()
        if await process.wait():
            raise DidNotAttack(f"the attacker failed: {told.attack}")
    except TimeoutError as error:
        raise DidNotAttack(f"the attacker does not answer: {told.attack}") from error
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
