"""A tenant's defaults in its mail: the footer, and how it is tracked."""

from typing import Any

import msgspec
import pytest
from msgspec import structs

from api.send.defaults import apply_defaults
from api.send.sending import DECODER
from api.send.validation import check
from cluster.journal.records import Footer, decode_content
from cluster.settings import MessageSettings
from cluster.tenancy.settings import (
    ClickTracking,
    DefaultFooter,
    GoogleAnalytics,
    OpenTracking,
    SubscriptionTracking,
    TenantSettings,
)
from cluster.tracking.choices import Analytics, Tracking, UnsubscribeText
from tests.unit.api.bodies import mail
from tests.unit.api.conftest import World

ACME = DefaultFooter(enabled=True, plain_content="Acme", html_content="<p>Acme</p>")
OFF = DefaultFooter(enabled=False, plain_content="Acme", html_content="<p>Acme</p>")


@pytest.mark.parametrize(
    ("default", "own", "expected"),
    [
        (ACME, None, Footer("Acme", "<p>Acme</p>")),
        (ACME, {}, Footer("Acme", "<p>Acme</p>")),
        (ACME, {"enable": False}, None),
        (ACME, {"enable": True, "text": "Own"}, Footer("Own", "<p>Acme</p>")),
        (ACME, {"html": ""}, Footer("Acme", "")),
        (OFF, None, None),
        (OFF, {"enable": True}, Footer("Acme", "<p>Acme</p>")),
        (OFF, {"enable": True, "text": "Own", "html": "<p>Own</p>"}, Footer("Own", "<p>Own</p>")),
    ],
)
async def test_the_footer(
    world: World, default: DefaultFooter, own: dict[str, Any] | None, expected: Footer | None
) -> None:
    world.journal.settings["tnt_acme"] = TenantSettings(footer=default)
    body = mail() if own is None else mail(mail_settings={"footer": own})
    response = await world.send(body)
    assert (response.status_code, response.headers.get("x-postray-ignored")) == (202, None)
    assert decode_content(world.journal.requests[-1].content).footer == expected


async def test_a_footer_that_was_changed_here_is_in_the_next_message(world: World) -> None:
    assert (await world.send(mail())).status_code == 202  # the tenant is in the cache
    headers = {"Authorization": f"Bearer {world.journal.issue_key('admin.settings')}"}
    body = {"enabled": True, "plain_content": "Acme"}
    changed = await world.client.patch("/v3/mail_settings/footer", json=body, headers=headers)
    assert changed.status_code == 200
    assert (await world.send(mail())).status_code == 202
    assert decode_content(world.journal.requests[-1].content).footer == Footer("Acme", "")


def test_a_default_footer_counts_for_the_size_of_a_message() -> None:
    limits = MessageSettings(max_part_bytes=20_000)
    settings = TenantSettings(footer=DefaultFooter(enabled=True, plain_content="\u20ac" * 10_000))
    request = DECODER.decode(msgspec.json.encode(mail()))
    assert check(request, limits).faults == []
    apply_defaults(request, settings)
    assert [fault.field for fault in check(request, limits).faults] == ["content[0].value"]


USUAL = Tracking(base_url="http://127.0.0.1:8080", tenant_number=7, opens=True, clicks=True)


@pytest.mark.parametrize(
    ("settings", "own", "expected"),
    [
        (TenantSettings(), {}, USUAL),
        (TenantSettings(), {"tracking_settings": {"open_tracking": {"substitution_tag": "%o%"}}}, {"open_tag": "%o%"}),
        (TenantSettings(open=OpenTracking(enabled=False)), {}, {"opens": False}),
        (
            TenantSettings(open=OpenTracking(enabled=False)),
            {"tracking_settings": {"open_tracking": {"enable": True}}},
            USUAL,
        ),
        (
            TenantSettings(open=OpenTracking(enabled=False), click=ClickTracking(enabled=False, enable_text=True)),
            {"tracking_settings": {"ganalytics": {"enable": False}}},
            None,
        ),
        (TenantSettings(click=ClickTracking(enable_text=True)), {}, {"text_clicks": True}),
        (
            TenantSettings(click=ClickTracking(enable_text=True)),
            {"tracking_settings": {"click_tracking": {"enable_text": False}}},
            USUAL,
        ),
        (
            TenantSettings(subscription=SubscriptionTracking(enabled=True, plain_content="Go: <% %>", replace="[u]")),
            {"tracking_settings": {"subscription_tracking": {"html": "<% go %>"}}},
            {"subscription": UnsubscribeText("Go: <% %>", "<% go %>", "[u]")},
        ),
        (
            TenantSettings(google_analytics=GoogleAnalytics(enabled=True, utm_source="a", utm_medium="b")),
            {"tracking_settings": {"ganalytics": {"utm_medium": "c"}}},
            {"analytics": Analytics("a", "c")},
        ),
    ],
)
async def test_a_requests_tracking_goes_over_its_tenants(
    world: World, settings: TenantSettings, own: dict[str, Any], expected: Tracking | dict[str, Any] | None
) -> None:
    world.journal.settings["tnt_acme"] = settings
    response = await world.send(mail(**own))
    assert (response.status_code, response.headers.get("x-postray-ignored")) == (202, None)
    found = decode_content(world.journal.requests[-1].content).tracking
    assert found == (structs.replace(USUAL, **expected) if isinstance(expected, dict) else expected)


async def test_a_tenants_own_host_begins_its_urls(world: World) -> None:
    world.journal.link_hosts["tnt_acme"] = "links.acme.example"
    assert (await world.send(mail())).status_code == 202
    tracking = decode_content(world.journal.requests[-1].content).tracking
    assert tracking is not None and tracking.base_url == "http://links.acme.example"


@pytest.mark.parametrize("tag", ["  ", "x" * 201, "a\0b"])
async def test_a_tag_must_be_findable(world: World, tag: str) -> None:
    settings = {"open_tracking": {"substitution_tag": tag}}
    assert await world.fields(mail(tracking_settings=settings)) == ["tracking_settings.open_tracking.substitution_tag"]
