"""/api/admin/tenants/{id}/tracking, /settings and /limits: what is set for one tenant.

An operator may call these for any tenant, a key with ``admin.settings`` for its own. A tenant may lower its limits, and
raise them again up to what the operator gave it.
"""

import math
from collections.abc import Callable
from typing import Any, TypeVar
from zoneinfo import available_timezones

import msgspec
from litestar import get
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath, JSONBody
from msgspec import Struct
from msgspec.structs import asdict, replace

from api.admin.changing import put
from api.http import help_texts
from api.http.body import ApiRequest, TypedBody
from api.http.changes import change_of, given_in
from api.http.errors import answers
from api.http.examples import TENANT_ID, Example
from api.http.existing import TENANT, existing
from api.http.refusals import Fault, Forbidden, Invalid
from api.http.setting_rules import normalised
from cluster.journal.journal import Journal
from cluster.journal.tenants import GivenLimits
from cluster.tenancy.directory import TenantDirectory
from cluster.tenancy.limits import HIGHEST_QUOTA, HIGHEST_RATE, RequestLimits, lower_of
from cluster.tenancy.settings import (
    AddressWhitelist,
    BouncePurge,
    ClickTracking,
    DefaultFooter,
    Forwarding,
    GoogleAnalytics,
    ImageMode,
    OpenTracking,
    SubscriptionTracking,
    TenantSettings,
    UnsubscribePage,
)

LOWEST_TLS, HIGHEST_TLS = 1.2, 1.3
NOT_ZONES = {"localtime", "Factory"}
"""Names in the database of time zones that are no zones."""

T = TypeVar("T", bound=Struct)


class Tracking(Struct, frozen=True, kw_only=True):
    """What is tracked in mail whose request does not say it, and how images are embedded."""

    image_embed_mode: ImageMode
    open: OpenTracking
    click: ClickTracking
    subscription: SubscriptionTracking
    unsubscribe_page: UnsubscribePage
    google_analytics: GoogleAnalytics


class AllSettings(Tracking, frozen=True, kw_only=True):
    """All settings of a tenant."""

    require_tls: bool
    """Mail goes over TLS only."""
    require_valid_certificate: bool
    """Mail goes to hosts with a valid certificate only."""
    tls_version: float
    """The lowest version of TLS, where one of both is set: 1.2 or 1.3; a lower one counts as 1.2."""
    time_zone: str
    """The zone of the days of statistics: a name of the IANA database, such as Europe/Berlin."""
    bodies_days: int | None
    """Days after which the bodies of finished messages go, with their attachments: not more than the settings of the
    installation say, which null stands for; 0: as soon as they are finished."""
    submission_idempotency: bool
    """A message that is submitted over SMTP again, with its Message-ID and its recipients, within 24 h is not sent
    again."""
    footer: DefaultFooter
    address_whitelist: AddressWhitelist
    bounce_purge: BouncePurge
    forward_bounce: Forwarding
    forward_spam: Forwarding


class LimitsChange(Struct, frozen=True, kw_only=True):
    """All limits. One that is left out is that of the settings, for a tenant's own that of the operator; 0 sets
    none."""

    messages_per_s: float | None = None
    """Messages of mail/send."""
    reads_per_s: float | None = None
    """Requests of GET /v3/messages."""
    creations_per_min: float | None = None
    """New keys and webhooks."""
    requests_per_s: float | None = None
    """All other requests."""
    messages_per_day: int | None = None
    """Messages accepted in a day (UTC)."""


class LimitsInForce(LimitsChange, frozen=True, kw_only=True):
    """The limits in force: for each the lower of the operator's and the tenant's own. Null is that of the settings."""

    by_operator: LimitsChange
    own: LimitsChange


TrackingChange = change_of(Tracking)
SettingsChange = change_of(AllSettings)


class TrackingBody(TypedBody[Any]):
    decoder = msgspec.json.Decoder(TrackingChange)


class SettingsBody(TypedBody[Any]):
    decoder = msgspec.json.Decoder(SettingsChange)


class LimitsBody(TypedBody[LimitsChange]):
    decoder = msgspec.json.Decoder(LimitsChange)


class TenantSettingsCalls:
    """The routes of this module."""

    def __init__(
        self, journal: Journal, directory: TenantDirectory, default_limits: RequestLimits, bodies_days: int
    ) -> None:
        """``default_limits`` and ``bodies_days``: those of the settings."""
        self._bodies_days = bodies_days
        self._tenants = journal.tenants
        self._directory = directory
        self._default_limits = default_limits

    def handlers(self) -> list[HTTPRouteHandler]:
        read, with_body = answers(401, 403, 404, 503), answers(400, 401, 403, 404, 408, 413, 415, 422, 503)
        named = {"id": TENANT_ID}
        tracking, settings, limits = [f"/tenants/{{id:str}}/{part}" for part in ("tracking", "settings", "limits")]

        def reading(path: str, summary: str) -> Callable[[Any], HTTPRouteHandler]:
            return get(path, example=Example(path=named), responses=read, summary=summary)

        def change(
            path: str, body: type[TypedBody[Any]], example: dict[str, Any], summary: str
        ) -> Callable[[Any], HTTPRouteHandler]:
            shown = Example(path=named, body=example)
            return put(path, dto=body, return_dto=None, example=shown, responses=with_body, summary=summary)

        images, tls, few = {"image_embed_mode": "cid"}, {"require_tls": True}, {"messages_per_s": 50}
        return [
            reading(tracking, "A tenant's defaults for tracking and images")(self.tracking),
            change(tracking, TrackingBody, images, "Change a tenant's defaults for tracking and images")(self.track),
            reading(settings, "All settings of a tenant")(self.settings),
            change(settings, SettingsBody, tls, "Change settings of a tenant")(self.set),
            reading(limits, "A tenant's limits")(self.limits),
            change(limits, LimitsBody, few, "Replace a tenant's limits")(self.limit),
        ]

    async def tracking(self, id: FromPath[str]) -> Tracking:
        return _shown(Tracking, await self._stored(id))

    async def track(self, id: FromPath[str], data: JSONBody[TrackingChange]) -> Tracking:  # type: ignore[valid-type]
        return _shown(Tracking, await self._change(id, data))

    async def settings(self, id: FromPath[str]) -> AllSettings:
        return shown_settings(await self._stored(id))

    async def set(self, id: FromPath[str], data: JSONBody[SettingsChange]) -> AllSettings:  # type: ignore[valid-type]
        return shown_settings(await self._change(id, data))

    async def limits(self, id: FromPath[str]) -> LimitsInForce:
        return in_force(await existing(TENANT, id, self._tenants.given_limits))

    async def limit(self, request: ApiRequest, id: FromPath[str], data: JSONBody[LimitsChange]) -> LimitsInForce:
        if faults := _limit_faults(data):
            raise Invalid(faults)
        asked = RequestLimits(**asdict(data))
        if request.scope["auth"] is None:
            given = await existing(TENANT, id, lambda id: self._tenants.limit(id, asked))
        else:
            known = await existing(TENANT, id, self._tenants.given_limits)
            self._check_own(asked, known.by_operator)
            given = await existing(TENANT, id, lambda id: self._tenants.limit_itself(id, asked))
        self._directory.changed_here(id)
        return in_force(given)

    async def _stored(self, id: str) -> TenantSettings:
        # Not from the cache, which may be a second old: what was set is answered.
        return (await existing(TENANT, id, self._tenants.find)).settings

    async def _change(self, id: str, change: Struct) -> TenantSettings:
        given = given_in(change)

        def changed(settings: TenantSettings) -> TenantSettings:
            faults: list[Fault] = []
            values = {name: _checked(name, value, getattr(settings, name), faults) for name, value in given.items()}
            days = values.get("bodies_days")
            if days is not None and not 0 <= days <= self._bodies_days:
                faults.append(Fault(f"A number of days from 0 to {self._bodies_days}; null means this", "bodies_days"))
            if faults:
                raise Invalid(faults)
            return replace(settings, **values)

        stored = await existing(TENANT, id, lambda id: self._tenants.change_settings(id, changed))
        self._directory.changed_here(id)
        return stored

    def _check_own(self, asked: RequestLimits, by_operator: RequestLimits) -> None:
        """Raises Forbidden when a limit that a tenant gives itself is above the operator's."""
        for name, own in _fields(asked):
            most = getattr(by_operator, name)
            most = getattr(self._default_limits, name) if most is None else most
            if own is not None and most and (own or math.inf) > most:
                raise Forbidden(f"The limit may not be above {most:g}", name, help_texts.OWN_LIMIT)


def _fields(struct: Struct) -> list[tuple[str, Any]]:
    return [(name, getattr(struct, name)) for name in struct.__struct_fields__]


def shown_settings(settings: TenantSettings) -> AllSettings:
    """All settings of a tenant as answers show them."""
    return _shown(AllSettings, settings)


def _shown(kind: type[T], settings: TenantSettings) -> T:
    return kind(**{name: getattr(settings, name) for name in kind.__struct_fields__})


def in_force(given: GivenLimits) -> LimitsInForce:
    """The limits of a tenant as answers show them."""
    lower = lower_of(given.by_operator, given.own)
    by_operator, own = LimitsChange(**asdict(given.by_operator)), LimitsChange(**asdict(given.own))
    return LimitsInForce(**asdict(lower), by_operator=by_operator, own=own)


def _limit_faults(limits: LimitsChange) -> list[Fault]:
    faults = []
    for name, value in _fields(limits):
        most = HIGHEST_QUOTA if name == "messages_per_day" else HIGHEST_RATE
        if value is not None and not 0 <= value <= most:
            faults.append(Fault(f"A limit is from 0, which sets none, to {most:.0f}", name))
    return faults


def _checked(name: str, value: Any, present: Any, faults: list[Fault]) -> Any:
    """A setting, or a part of the settings with what is given of it, as it is stored. ``present``: what it is now."""
    if isinstance(value, Struct):
        of_part: list[Fault] = []
        value = normalised(name, replace(present, **given_in(value)), of_part)
        faults += [replace(fault, field=f"{name}.{fault.field}") for fault in of_part]
    elif name == "time_zone" and (value in NOT_ZONES or value not in available_timezones()):
        faults.append(Fault("No time zone has this name", name, help_texts.TIME_ZONE))
    elif name == "tls_version":
        value = max(value, LOWEST_TLS) if value >= 1 else value
        if value not in (LOWEST_TLS, HIGHEST_TLS):
            faults.append(Fault(f"The version is {LOWEST_TLS} or {HIGHEST_TLS}", name))
    return value
