"""``postray operator-token`` over a real API and a real journal."""

import httpx

from cluster.installation import running
from tests.integration.operating.conftest import Postray


async def test_making_listing_using_and_revoking(postray: Postray) -> None:
    assert "no token was made" in await postray.said("operator-token", "list")
    made = await postray.json("operator-token", "add", "night shift [x]")
    assert "in use" in await postray.refused("operator-token", "add", "night shift [x]")
    run = running.read_run(postray.data_dir)
    assert run is not None
    async with httpx.AsyncClient(base_url=run.url, headers={"Authorization": f"Bearer {made['token']}"}) as program:
        assert (await program.get("/api/admin/suspensions")).status_code == 200
        (listed,) = (await postray.json("operator-token", "list"))["tokens"]
        assert listed["last_used_at"].endswith(":00Z") and "token" not in listed
        assert (await program.post("/v3/mail/send", json={})).status_code == 401
        said = await postray.said("operator-token", "list")
        assert "night shift [x]" in said and made["prefix"] in said and made["token"] not in said
        assert await postray.said("operator-token", "revoke", "night shift [x]") == "revoked night shift [x]"
        assert (await program.get("/api/admin/suspensions")).status_code == 401
    assert "No token" in await postray.refused("operator-token", "revoke", "night shift [x]")
    assert "No token" in await postray.refused("operator-token", "revoke", "a\0b")
    again = await postray.json("operator-token", "add", "night shift [x]")
    tokens = (await postray.json("operator-token", "list"))["tokens"]
    assert [token["revoked_at"] is None for token in tokens] == [True, False]
    assert (await postray.json("operator-token", "revoke", again["id"]))["id"] == again["id"]
