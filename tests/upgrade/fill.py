"""Fills a data directory: mail that was delivered, mail that is due, and mail for later. ``store.py`` runs it with the
tree of an earlier release before this one in PYTHONPATH, so all that is imported here is of that release."""

import asyncio
import json
import sys
import time
from pathlib import Path
from typing import Any

from tests.acceptance.running import Client, RunningPostray

EACH = 12
DUE_IN_S = 6
LATER_S = 3600
START_S = 240.0
"""On any machine."""
KEPT_DAYS = "3650"
KEPT = {f"POSTRAY_RETENTION_{name}_DAYS": KEPT_DAYS for name in ("BODIES", "MESSAGES", "EVENTS", "STATISTICS")}
"""What is stored is not to be removed for its age when it is brought back, in years perhaps."""


async def fill(data_dir: Path) -> dict[str, Any]:
    """Returns what was put in: ids by recipient, of each kind, and what the API told of the delivered ones."""
    postray = RunningPostray(data_dir, **KEPT)
    postray.start_s = START_S
    await asyncio.to_thread(postray.start)
    client = Client(postray)
    facts: dict[str, Any] = {}
    delivered = await put(client, "delivered", {})
    facts["shown"] = [
        await client.until(f"/v3/messages/{one}", lambda m: m["status"] == "delivered" and len(m["events"] or ()) == 2)
        for one in delivered.values()
    ]
    day = time.strftime("%Y-%m-%d", time.gmtime())
    facts["day"] = day
    facts["delivered"] = delivered
    facts["later"] = await put(client, "later", {"send_at": int(time.time()) + LATER_S})
    facts["due"] = await put(client, "due", {"send_at": int(time.time()) + DUE_IN_S})
    await client.close()
    await asyncio.to_thread(postray.stop)
    facts["stored_at"] = time.time()
    return facts


async def put(client: Client, kind: str, fields: dict[str, Any]) -> dict[str, str]:
    people = [f"{kind}{number}@example.com" for number in range(EACH)]
    ids = await client.send(personalizations=[{"to": [{"email": one}]} for one in people], **fields)
    return dict(zip(people, ids, strict=True))


if __name__ == "__main__":
    Path(sys.argv[2]).write_text(json.dumps(asyncio.run(fill(Path(sys.argv[1])))), encoding="utf-8")
