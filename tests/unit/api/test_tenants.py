"""What a tenant may set itself, and what operators may: access, checks, limits."""

from typing import Any

import pytest
from msgspec.structs import replace

from cluster.journal.tenants import GivenLimits, TenantRecord
from cluster.tenancy.limits import DEFAULTS as NO_LIMITS
from cluster.tenancy.limits import RequestLimits, lower_of
from cluster.tenancy.settings import DEFAULTS, TenantSettings
from cluster.tenancy.tenant import Tenant
from tests.unit.api.bodies import mail
from tests.unit.api.conftest import World
from tests.unit.api.operating import TENANT, TOKEN, Operating

OTHER = "tnt_01KQ7B2XWJ5T0E8M3N6R9VA4CE"
PARTS = ("tracking", "settings", "limits")


class Stored:
    """The settings and limits of one tenant."""

    def __init__(self, operating: Operating) -> None:
        self.settings = DEFAULTS
        self.given = GivenLimits(by_operator=NO_LIMITS, own=NO_LIMITS)
        self.operating = operating
        tenants = operating.journal.tenants
        tenants.find, tenants.change_settings = self._find, self._change
        tenants.given_limits, tenants.limit, tenants.limit_itself = self._given, self._limit, self._limit_itself

    async def _find(self, id: str) -> Tenant | None:
        return Tenant(id=id, name="acme", settings=self.settings) if id == TENANT.id else None

    async def _change(self, id: str, change: Any) -> TenantSettings | None:
        if id != TENANT.id:
            return None
        self.settings = change(self.settings)
        return self.settings

    async def _given(self, id: str) -> GivenLimits | None:
        return self.given if id == TENANT.id else None

    async def _limit(self, id: str, limits: RequestLimits) -> GivenLimits | None:
        self.given = replace(self.given, by_operator=limits)
        return await self._given(id)

    async def _limit_itself(self, id: str, limits: RequestLimits) -> GivenLimits | None:
        self.given = replace(self.given, own=limits)
        return await self._given(id)

    async def put(self, part: str, body: Any, token: str = TOKEN, id: str = TENANT.id) -> Any:
        headers = {"Authorization": f"Bearer {token}"}
        return await self.operating.client.put(f"/api/admin/tenants/{id}/{part}", json=body, headers=headers)


@pytest.fixture
def stored(operating: Operating) -> Stored:
    return Stored(operating)


@pytest.mark.parametrize("part", PARTS)
async def test_a_key_opens_its_own_tenant_only(operating: Operating, stored: Stored, part: str) -> None:
    issue = operating.journal.issue_key
    own = issue("admin.settings", tenant_id=TENANT.id)
    callers = {
        TOKEN: 200,
        own: 200,
        issue("mail.send", tenant_id=TENANT.id): 403,
        issue("admin.settings", tenant_id=OTHER): 404,
        issue("mail.send", tenant_id=OTHER): 403,
        "sg_live_" + "0" * 32: 401,
        TOKEN + "x": 401,
    }
    for token, status in callers.items():
        headers = {"Authorization": f"Bearer {token}"}
        read = await operating.client.get(f"/api/admin/tenants/{TENANT.id}/{part}", headers=headers)
        assert (read.status_code, (await stored.put(part, {}, token)).status_code) == (status, status), token
    # What the key may not see looks like what does not exist, and a tenant's other routes are the operator's.
    there = await stored.put(part, {}, own, OTHER)
    missing = await stored.put(part, {}, TOKEN, "tnt_none")
    assert (there.status_code, there.json()) == (404, missing.json())
    headers = {"Authorization": f"Bearer {own}"}
    assert (await operating.client.get(f"/api/admin/tenants/{TENANT.id}", headers=headers)).status_code == 401


@pytest.mark.parametrize("part", PARTS)
async def test_a_key_names_its_tenant_me(operating: Operating, stored: Stored, part: str) -> None:
    issue = operating.journal.issue_key
    own, other = issue("admin.settings", tenant_id=TENANT.id), issue("admin.settings", tenant_id=OTHER)
    headers = {"Authorization": f"Bearer {own}"}
    by_id = await operating.client.get(f"/api/admin/tenants/{TENANT.id}/{part}", headers=headers)
    mine = await operating.client.get(f"/api/admin/tenants/me/{part}", headers=headers)
    assert (mine.status_code, mine.json()) == (200, by_id.json())
    body = {"messages_per_s": 5} if part == "limits" else {"image_embed_mode": "cid"}
    changed = await stored.put(part, body, own, "me")
    assert (changed.status_code, changed.json() != by_id.json()) == (200, True)
    # Another's key means another tenant by it, and an operator none.
    assert (await stored.put(part, {}, other, "me")).status_code == 404
    assert (await stored.put(part, {}, TOKEN, "me")).status_code == 404
    assert (await stored.put(part, {}, issue("mail.send", tenant_id=TENANT.id), "me")).status_code == 403


async def test_a_sandbox_key_reads_and_changes_nothing(operating: Operating, stored: Stored) -> None:
    key = operating.journal.issue_key("admin.settings", tenant_id=TENANT.id, sandbox=True)
    assert (await stored.put("settings", {"require_tls": True}, key)).status_code == 403
    assert stored.settings == DEFAULTS


async def test_what_a_body_leaves_out_stays(stored: Stored) -> None:
    assert (await stored.put("tracking", {"image_embed_mode": "cid"})).json()["image_embed_mode"] == "cid"
    changed = await stored.put("tracking", {"click": {"enabled": False}, "image_embed_mode": None})
    assert changed.json()["click"] == {"enabled": False, "enable_text": False}
    assert (await stored.put("settings", {"time_zone": "Europe/Berlin", "tls_version": 1.1})).status_code == 200
    found = (await stored.put("settings", {})).json()
    assert (found["image_embed_mode"], found["time_zone"], found["tls_version"]) == ("cid", "Europe/Berlin", 1.2)
    assert set(found) == set(TenantSettings.__struct_fields__)


async def test_what_a_part_leaves_out_stays(stored: Stored) -> None:
    await stored.put("tracking", {"subscription": {"enabled": True}, "unsubscribe_page": {"text": "Acme"}})
    change = {"subscription": {"landing": "Goodbye"}, "unsubscribe_page": {"text": None, "colour": "#112233"}}
    changed = (await stored.put("tracking", change)).json()
    assert (changed["subscription"]["enabled"], changed["subscription"]["landing"]) == (True, "Goodbye")
    assert changed["unsubscribe_page"] == {"text": "Acme", "colour": "#112233"}
    await stored.put("settings", {"bounce_purge": {"enabled": True, "soft_bounces": 5, "hard_bounces": 7}})
    purge = (await stored.put("settings", {"bounce_purge": {"soft_bounces": None}})).json()["bounce_purge"]
    assert purge == {"enabled": True, "soft_bounces": None, "hard_bounces": 7}


@pytest.mark.parametrize(
    ("part", "body", "field"),
    [
        ("settings", {"time_zone": "Europe/Atlantis"}, "time_zone"),
        ("settings", {"time_zone": "../../etc/passwd"}, "time_zone"),
        ("settings", {"time_zone": "localtime"}, "time_zone"),
        ("settings", {"tls_version": 1.4}, "tls_version"),
        ("settings", {"bodies_days": 8}, "bodies_days"),
        ("settings", {"bodies_days": -1}, "bodies_days"),
        ("settings", {"tls_version": 0.9}, "tls_version"),
        ("settings", {"footer": {"plain_content": "a\0b"}}, "footer.plain_content"),
        ("settings", {"address_whitelist": {"list": ["a"] * 1001}}, "address_whitelist.list"),
        ("settings", {"bounce_purge": {"soft_bounces": 0}}, "bounce_purge.soft_bounces"),
        ("tracking", {"google_analytics": {"utm_term": "x" * 10_001}}, "google_analytics.utm_term"),
        ("limits", {"messages_per_s": -1}, "messages_per_s"),
        ("limits", {"messages_per_day": 10**16}, "messages_per_day"),
    ],
)
async def test_a_fault_names_its_field(stored: Stored, part: str, body: Any, field: str) -> None:
    response = await stored.put(part, body)
    assert (response.status_code, response.json()["errors"][0]["field"]) == (400, field)
    assert stored.settings == DEFAULTS


@pytest.mark.parametrize(
    ("part", "body"),
    [
        ("tracking", {"image_embed_mode": "attached"}),
        ("settings", {"require_tls": "yes"}),
        ("settings", {"tls_version": "1.3"}),
        ("settings", {"bodies_days": 1.5}),
        ("limits", {"messages_per_day": 1.5}),
        ("limits", []),
    ],
)
async def test_a_wrong_type_is_a_422(stored: Stored, part: str, body: Any) -> None:
    assert (await stored.put(part, body)).status_code == 422


async def test_a_value_that_is_not_of_a_list_is_answered_with_the_list(stored: Stored) -> None:
    refused = (await stored.put("tracking", {"image_embed_mode": "attached"})).json()
    assert [(one["field"], one["message"]) for one in refused["errors"]] == [
        ("image_embed_mode", "Must be cid or proxy")
    ]


async def test_a_tenant_lowers_its_limits_and_never_raises_them_above_the_operators(
    operating: Operating, stored: Stored
) -> None:
    own = operating.journal.issue_key("admin.settings", tenant_id=TENANT.id)
    await stored.put("limits", {"messages_per_s": 100})
    for above in (100.5, 0):
        refused = await stored.put("limits", {"messages_per_s": above}, own)
        assert (refused.status_code, refused.json()["errors"][0]["field"]) == (403, "messages_per_s")
        assert "operator" in refused.json()["errors"][0]["help"]
    lowered = (await stored.put("limits", {"messages_per_s": 10}, own)).json()
    assert (lowered["messages_per_s"], lowered["by_operator"]["messages_per_s"]) == (10, 100)
    raised = (await stored.put("limits", {"messages_per_s": 100}, own)).json()
    assert raised["messages_per_s"] == 100
    # The operator's later change holds at once, also below what the tenant chose.
    assert (await stored.put("limits", {"messages_per_s": 5})).json()["messages_per_s"] == 5


@pytest.mark.parametrize(
    ("operators", "own", "lower"),
    [(None, None, None), (None, 5, 5), (5, None, 5), (5, 3, 3), (3, 5, 3), (0, 5, 5), (5, 0, 5), (0, 0, 0)],
)
def test_the_lower_limit_applies(operators: float | None, own: float | None, lower: float | None) -> None:
    found = lower_of(RequestLimits(messages_per_s=operators), RequestLimits(messages_per_s=own))
    assert found == RequestLimits(messages_per_s=lower)


@pytest.mark.parametrize(
    "name", ["", "  ", "a\0b", "a\nb", "\x1b[31m", "x" * 101, TENANT.id], ids=["empty", *"blnec", "id"]
)
async def test_a_name_that_operators_cannot_use_is_refused(operating: Operating, name: str) -> None:
    for method, path in (("POST", "/api/admin/tenants"), ("PATCH", f"/api/admin/tenants/{TENANT.id}")):
        response = await operating.client.request(method, path, json={"name": name})
        assert (response.status_code, response.json()["errors"][0]["field"]) == (400, "name")


async def test_a_suspended_tenant_reads_and_does_not_send(world: World) -> None:
    world.journal.suspended = {"tnt_acme": ""}
    for body in (mail(), mail(mail_settings={"sandbox_mode": {"enable": True}})):
        response = await world.send(body)
        assert (response.status_code, response.json()["detail"]) == (403, "The tenant is suspended")
        assert "operator" in response.json()["errors"][0]["help"]
    assert world.journal.commits == []
    reader = world.journal.issue_key("messages.read")
    assert (await world.request("GET", "/v3/messages", reader)).status_code == 200


async def test_a_tenant_that_is_suspended_for_its_bounces_is_told_so(world: World) -> None:
    world.journal.suspended = {"tnt_acme": "25 % of the last 100 recipients bounced hard"}
    response = await world.send(mail())
    detail = "The tenant is suspended: 25 % of the last 100 recipients bounced hard"
    assert (response.status_code, response.json()["detail"]) == (403, detail)


async def test_what_a_change_of_a_tenant_names_is_changed(operating: Operating) -> None:
    done: list[tuple[str, object]] = []

    async def rename(id: str, name: str) -> TenantRecord:
        done.append((id, name))
        return TENANT

    async def set_pausing(id: str, pause: bool | None) -> TenantRecord:
        done.append((id, pause))
        return TENANT

    operating.journal.tenants.rename, operating.journal.tenants.set_pausing = rename, set_pausing
    path = f"/api/admin/tenants/{TENANT.id}"
    for body, wanted in (
        ({"name": "acme-europe"}, ["acme-europe"]),
        ({"pause_over_rates": None}, [None]),
        ({"name": "acme-europe", "pause_over_rates": True}, ["acme-europe", True]),
    ):
        done.clear()
        assert (await operating.client.patch(path, json=body)).status_code == 200
        assert done == [(TENANT.id, one) for one in wanted]
    done.clear()
    for body, code, field in (
        ({}, 400, None),
        ({"pause_over_rates": "yes"}, 422, "pause_over_rates"),
        ({"name": "", "pause_over_rates": True}, 400, "name"),
    ):
        refused = await operating.client.patch(path, json=body)
        assert (refused.status_code, refused.json()["errors"][0]["field"]) == (code, field), body
    assert done == []
