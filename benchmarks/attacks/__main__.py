"""An attack in its own process, so that it does not share an event loop with the clients whose waits are measured.

The process reads a ``Told`` from standard input and prints a line when the attack is prepared. It attacks until its
input ends, then prints the answers that it got.
"""

import asyncio
import sys
from collections import Counter

import msgspec
import uvloop

from benchmarks.attacks.attack import AttackAnswers
from benchmarks.attacks.attacking import Told
from benchmarks.attacks.table import ATTACKS


async def main() -> None:
    told = msgspec.json.decode(sys.stdin.buffer.readline(), type=Told)
    attack = ATTACKS[told.attack]()
    print("ready", flush=True)
    answers = AttackAnswers(Counter())
    attacking = asyncio.create_task(attack.run(told.target, answers))
    ended = asyncio.create_task(asyncio.to_thread(sys.stdin.buffer.read))
    done, _ = await asyncio.wait({attacking, ended}, return_when=asyncio.FIRST_COMPLETED)
    if attacking in done:
        attacking.result()  # raises its error, if any
    await ended
    attacking.cancel()
    await asyncio.wait({attacking})
    print(answers.told(), flush=True)


uvloop.run(main())
