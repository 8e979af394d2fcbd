"""Operating a real cluster: a site is suspended, its waiting mail is explained and bounced, and the site is resumed."""

import asyncio
import json
from typing import Any

from tests.acceptance.running import Client, RunningPostray


def said(postray: RunningPostray, *arguments: str) -> Any:
    """The JSON output of a command."""
    answer = postray.command(*arguments, "--json")
    assert answer.returncode == 0, answer.stderr
    return json.loads(answer.stdout)


async def test_an_operator_halts_a_site_looks_ends_and_goes_on(postray: RunningPostray, client: Client) -> None:
    said(postray, "suspend", "--site", "capture", "--reason", "maintenance")
    (waits,) = await client.send(personalizations=[{"to": [{"email": "ada@example.com"}]}])
    (ends,) = await client.send(personalizations=[{"to": [{"email": "bob@example.org"}]}])
    explained = said(postray, "explain", waits)
    assert explained["status"] in ("queued", "processing")
    assert any("suspended for all tenants by operator" in s for s in explained["recipients"][0]["sentences"])
    (site,) = said(postray, "sites")["sites"]
    assert site["site"] == "capture" and "maintenance" in site["suspended"][0]

    refused = postray.command("suspend", "--site", "example.com")
    assert refused.returncode == 1 and "goes to the site capture" in " ".join(refused.stderr.split())
    held = said(postray, "send-now", "--message", waits)
    assert (held["matched"], held["suspended"], held["being_sent"]) == (1, 1, 0)
    moving = ("reroute", "--message", waits, "--to-route")
    assert said(postray, *moving, "direct") == {"matched": 1, "moved": 1, "being_sent": 0}
    explained = said(postray, "explain", waits)
    assert any("moved it to the route direct" in s for s in explained["recipients"][0]["sentences"])
    assert said(postray, *moving, "default")["moved"] == 1

    assert said(postray, "bounce", "--domain", "example.org") == {"matched": 1, "ended": 1, "being_sent": 0}
    assert (await client.until(f"/v3/messages/{ends}", lambda m: m["status"] == "failed"))["status"]

    said(postray, "resume", "--site", "capture")
    await client.until(f"/v3/messages/{waits}", lambda m: m["status"] == "delivered")
    tracing = asyncio.create_task(asyncio.to_thread(postray.command, "trace", "capture", "--seconds", "3", "--json"))
    while not tracing.done():  # a trace shows no past lines, so mail is sent until it has begun
        await client.send()
        await asyncio.sleep(0.2)
    lines = [json.loads(line) for line in (await tracing).stdout.splitlines()]
    assert any(line["text"].startswith("MAIL FROM:") for line in lines)
    assert not any("Subject:" in line["text"] for line in lines)
    assert [action["action"] for action in said(postray, "actions")["actions"][:5]] == [
        "resumed",
        "bounced",
        "rerouted",
        "rerouted",
        "suspended",
    ]
    assert said(postray, "explain", waits)["sentences"][1].startswith("Delivered ")
    assert said(postray, "route", "example.com")["site"] == "capture"
