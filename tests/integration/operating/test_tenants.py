"""``postray tenants`` over a real API and a real journal."""

from cluster.policy.lifecycle import Status
from cluster.tenancy.rates import RateLimits
from tests.integration.journal.builders import a_message, a_request, an_outcome, some_messages, waiting
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


async def test_the_rates_of_a_tenant_and_its_pause(postray: Postray) -> None:
    made = await postray.json("tenants", "add", "acme")
    assert await postray.said("tenants", "rates", "acme") == (
        "hard bounces too few, complaints too few; paused over a limit: as the settings say"
    )
    for answer, stored, words in (("yes", True, "yes"), ("no", False, "no"), ("settings", None, "as the settings say")):
        assert f"paused over a limit: {words}" in await postray.said("tenants", "rates", "acme", "--pause", answer)
        assert (await postray.json("tenants", "rates", made["id"]))["pause_over_rates"] is stored
    await postray.said("tenants", "rates", "acme", "--pause", "yes")

    messages = some_messages(100)
    await postray.journal.intake.accept([a_request(made["id"], *messages)])
    due = [one for message in messages for one in waiting(made["id"], message)]
    await postray.journal.queue.claim(due, owner=1, lease_s=60)
    ends = [an_outcome(one, Status.BOUNCED if i < 25 else Status.DELIVERED) for i, one in enumerate(due)]
    await postray.journal.queue.commit(ends, owner=1)
    limits = RateLimits(bounces=0.1, complaints=0.003)
    assert [one.is_paused for one in await postray.journal.tenant_rates.count(limits, pause=False)] == [True]

    why = "25 % of the last 100 recipients bounced hard, more than the 10 % that is allowed"
    assert f"suspended, for {why}" in await postray.said("tenants", "show", "acme")
    assert "25.00 %" in await postray.said("tenants", "list")
    shown = await postray.json("tenants", "show", "acme")
    assert (shown["suspended_for"], shown["bounce_rate"]) == (why, 0.25)
    assert [(one["action"], one["detail"]) for one in (await postray.json("actions"))["actions"]] == [
        ("suspended", why),
        ("bounce rate", why),
    ]
    assert "bounce rate" in await postray.said("actions")
    assert await postray.said("tenants", "resume", "acme") == "acme is not suspended"
    resumed = await postray.json("tenants", "rates", "acme")
    assert (resumed["bounce_rate"], resumed["suspended_for"], resumed["pause_over_rates"]) == (None, "", True)


async def test_how_long_bodies_of_a_tenant_are_kept(postray: Postray) -> None:
    await postray.json("tenants", "add", "acme")
    assert await postray.said("tenants", "retention", "acme") == (
        "bodies of messages are kept as long as the settings say"
    )
    for days, words in (("2", "2 days"), ("0", "until they are finished"), ("settings", "as long as the settings say")):
        said = await postray.said("tenants", "retention", "acme", "--bodies-days", days)
        assert said == f"bodies of messages are kept {words}"
    assert await postray.json("tenants", "retention", "acme", "--bodies-days", "0") == {"bodies_days": 0}
    for wrong in ("8", "-1", "1.5"):
        assert "bodies_days" in await postray.refused("tenants", "retention", "acme", "--bodies-days", wrong)
    assert (await postray.json("tenants", "show", "acme"))["settings"]["bodies_days"] == 0
