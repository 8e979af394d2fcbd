"""``postray tenants`` over a real API and a real journal."""

from tests.integration.journal.builders import a_message, a_request
from tests.integration.operating.conftest import Postray


async def test_from_the_first_tenant_to_its_removal(postray: Postray) -> None:
    assert "there is no tenant" in await postray.said("tenants", "list")
    made = await postray.json("tenants", "add", "acme [x]")
    assert "Another tenant has this name" in await postray.refused("tenants", "add", "acme [x]")
    for named in ("acme [x]", made["id"]):
        shown = await postray.json("tenants", "show", named)
        assert (shown["id"], shown["settings"]["time_zone"], shown["suspended_at"]) == (made["id"], "UTC", None)
    said = await postray.said("tenants", "list")
    assert "acme [x]" in said and made["id"] in said
    assert "not suspended" in await postray.said("tenants", "show", "acme [x]")

    limits = await postray.json("tenants", "limits", "acme [x]", "--messages-per-s", "50", "--messages-per-day", "0")
    assert (limits["messages_per_s"], limits["messages_per_day"]) == (50, 0)
    limits = await postray.json("tenants", "limits", "acme [x]", "--messages-per-s", "settings")
    assert (limits["messages_per_s"], limits["messages_per_day"]) == (None, 0)
    assert "none" in await postray.said("tenants", "limits", "acme [x]")
    assert "neither a number" in (await postray.run("tenants", "limits", "acme [x]", "--messages-per-s", "x")).output

    message = a_message()
    await postray.journal.intake.accept([a_request(made["id"], message)])
    assert "not suspended" in await postray.refused("tenants", "remove", "acme [x]", "--yes")
    assert await postray.said("tenants", "suspend", "acme [x]") == "acme [x] is suspended"
    assert postray.followed == 1
    assert "resumed by postray tenants" in await postray.said("suspend")
    assert await postray.said("tenants", "resume", "acme [x]") == "acme [x] is not suspended"
    assert (await postray.json("tenants", "suspend", made["id"]))["suspended_at"] is not None
    assert "not finished" in await postray.refused("tenants", "remove", "acme [x]", "--yes")
    await postray.said("bounce", "--tenant", made["id"])
    assert "Aborted" in (await postray.run("tenants", "remove", "acme [x]")).output
    assert await postray.said("tenants", "remove", "acme [x]", "--yes") == (
        "deleted acme [x]; its data is being erased"
    )
    for command in ("show", "suspend", "resume", "limits"):
        assert "no tenant has the name" in await postray.refused("tenants", command, "acme [x]")
        assert "does not exist" in await postray.refused("tenants", command, made["id"])
