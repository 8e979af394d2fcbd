"""A tenant's defaults in its mail: the footer acts, and tracking that it switched on is named until it does."""

from typing import Any

import msgspec
import pytest

from api.send.defaults import apply_defaults
from api.send.notes import Notes
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
    apply_defaults(request, settings, Notes())
    assert [fault.field for fault in check(request, limits).faults] == ["content[0].value"]


@pytest.mark.parametrize(
    ("settings", "own", "named"),
    [
        (TenantSettings(open=OpenTracking(enabled=False)), None, None),
        (TenantSettings(click=ClickTracking(enabled=False, enable_text=True)), None, None),
        (TenantSettings(click=ClickTracking(enable_text=True)), None, "tracking_settings.click_tracking.enable_text"),
        (TenantSettings(click=ClickTracking(enable_text=True)), {"click_tracking": {"enable": False}}, None),
        (TenantSettings(click=ClickTracking(enable_text=True)), {"click_tracking": {"enable_text": False}}, None),
        (
            TenantSettings(
                subscription=SubscriptionTracking(enabled=True), google_analytics=GoogleAnalytics(enabled=True)
            ),
            {"open_tracking": {"enable": False}},
            "tracking_settings.subscription_tracking,tracking_settings.ganalytics",
        ),
        (
            TenantSettings(subscription=SubscriptionTracking(enabled=True)),
            {"subscription_tracking": {"enable": False}},
            None,
        ),
    ],
)
async def test_tracking_that_would_apply_is_named(
    world: World, settings: TenantSettings, own: dict[str, Any] | None, named: str | None
) -> None:
    world.journal.settings["tnt_acme"] = settings
    response = await world.send(mail() if own is None else mail(tracking_settings=own))
    assert (response.status_code, response.headers.get("x-postray-ignored")) == (202, named)


async def test_tracking_that_the_tenant_has_switched_off_is_off_in_the_message(world: World) -> None:
    world.journal.settings["tnt_acme"] = TenantSettings(
        open=OpenTracking(enabled=False), click=ClickTracking(enabled=False)
    )
    own = {"open_tracking": {"substitution_tag": "%open%"}, "ganalytics": {"enable": False}}
    assert (await world.send(mail(tracking_settings=own))).status_code == 202
    assert decode_content(world.journal.requests[-1].content).tracking_settings == {
        "open_tracking": {"enable": False, "substitution_tag": "%open%"},
        "click_tracking": {"enable": False},
        "ganalytics": {"enable": False},
    }
    assert await world.fields(mail(tracking_settings={"open_tracking": {"enable": True}})) == [
        "tracking_settings.open_tracking"
    ]
