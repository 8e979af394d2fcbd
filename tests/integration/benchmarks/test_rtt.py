"""The rtt scenario, short: the ways to send come out in the order that theory predicts."""

from io import StringIO

from rich.console import Console

from benchmarks.runner import Repeats, run
from benchmarks.scenarios.rtt import Options, Rtt


async def test_fewer_flights_are_faster() -> None:
    scenario = Rtt(Options(delay_ms=(20.0,), seconds=0.5))
    record = await run(scenario, Repeats(repeats=1, warm_up=0.0), Console(file=StringIO()))
    assert record.broken == ()
    rates = {figure.name: figure.median for figure in record.figures}
    assert rates["20 ms, CHUNKING / aiosmtplib"] > 2
    assert rates["20 ms, pipelined DATA / aiosmtplib"] > 1.3
    assert rates["20 ms, CHUNKING"] > rates["20 ms, pipelined DATA"] > rates["20 ms, one by one"]
    (repeat,) = record.repeats
    assert repeat.promised == repeat.counted > 20
