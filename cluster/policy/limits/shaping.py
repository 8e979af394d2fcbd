"""The limits of a site, a message and a tenant: the first rule that applies and sets a key gives its value.

Key by key, the operator's rules (shaping.toml) come before the shipped ones (``shaping_defaults.toml``), and these
before the settings (postray.toml). Shipped rules apply to sites of the DNS only, never to a relay or the capture sink.
They are for hosts, so they still apply to a domain that an operator's rule makes a site of its own. Limits are looked
up when a site is made and when the rules change; code that needs a limit for every message keeps it.
"""

import tomllib
from collections.abc import Sequence
from importlib import resources
from typing import Any

from msgspec import Struct, structs

from cluster.policy.limits.quantities import Rate
from cluster.policy.limits.rules import (
    KEYS,
    TENANT_KEYS,
    Origin,
    RuleKey,
    ShapingError,
    ShapingRule,
    may_be_separate,
    parse_rules,
)
from cluster.policy.replies.onward import NextHost
from cluster.policy.replies.triggers import Trigger, parse_triggers
from cluster.policy.routes.sites import known_site
from cluster.policy.tls.level import TlsLevel


class Limits(Struct, frozen=True, kw_only=True):
    """The limits of one source at one site, over the whole cluster."""

    connections: int
    """Open at the same time; at least 1."""
    connections_per_ip: int
    """Open at the same time to one address of the site; 0 sets no limit."""
    messages_per_connection: int
    """Transactions before a connection is closed; at least 1."""
    connection_idle_s: float
    """An unused connection is closed after this."""
    connection_age_s: float
    """A connection is closed after this, however busy."""
    message_rate: Rate | None
    connection_rate: Rate | None
    """New connections."""
    next_host: NextHost
    """When the next host may be tried after a 4yz, at the earliest."""

    # These apply to a message, and may differ between the domains of a site.
    recipients_per_transaction: int
    retry_schedule_s: tuple[float, ...]
    """Waits between attempts, in seconds; the last repeats."""
    lifetime_s: float
    tls: TlsLevel


class TenantLimits(Struct, frozen=True, kw_only=True):
    """The limits of one tenant at one site, within the site's limits."""

    message_rate: Rate | None = None
    connections: int = 0
    """Connections that carry this tenant's mail at the same time; 0 sets no limit."""


class Setting(Struct, frozen=True, kw_only=True):
    """One effective value and its origin, for operators."""

    key: str
    """The key in shaping.toml; a tenant's begins with "tenant "."""
    value: str
    rule: str
    """The name of the rule that gave the value; "" when none did."""
    origin: str
    """"shaping.toml", "shipped defaults", "settings" (postray.toml or a variable), "routing.toml" (a relay's TLS) or
    "default"."""
    reference: str = ""
    """The public source of a shipped value, or the operator's note."""


NO_TENANT_LIMITS = TenantLimits()


def _parse_file(text: str, origin: Origin) -> tuple[tuple[ShapingRule, ...], tuple[Trigger, ...]]:
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ShapingError(f"is not TOML: {error}") from error
    for key, value in tables.items():
        if key not in ("rule", "automation"):
            raise ShapingError(f"unknown key {key}: there are [[rule]] and [[automation]]")
        if not isinstance(value, list):
            raise ShapingError(f"{key}: must be written [[{key}]]")
    rules = parse_rules(tables.get("rule", []), origin)
    return rules, parse_triggers(tables.get("automation", []), origin)


SHIPPED_TEXT = resources.files("cluster.policy.limits").joinpath("shaping_defaults.toml").read_text(encoding="utf-8")
_SHIPPED_RULES, _SHIPPED_TRIGGERS = _parse_file(SHIPPED_TEXT, Origin.SHIPPED)


class Shaping:
    """The active shaping: immutable, replaced when the file changes."""

    def __init__(
        self, rules: Sequence[ShapingRule], triggers: Sequence[Trigger], base: Limits, default: Limits
    ) -> None:
        self._rules = tuple(rule for rule in rules if not rule.is_for_tenants)
        self._tenant_rules = tuple(rule for rule in rules if rule.is_for_tenants)
        self._triggers = tuple(triggers)
        self._base = base
        self._default = default

    @classmethod
    def parse(cls, text: str, *, base: Limits, default: Limits) -> "Shaping":
        """Parse ``text``, the content of shaping.toml, which may be empty. ``base``: the limits where no rule applies;
        ``default``: the limits of settings that were never changed.

        Raises ShapingError, which names the rule and the key, when the text is invalid.
        """
        rules, triggers = _parse_file(text, Origin.OPERATOR)
        return cls((*rules, *_SHIPPED_RULES), (*triggers, *_SHIPPED_TRIGGERS), base, default)

    def limits(self, site: str, *, source: str = "", domain: str = "", hosts: str = "") -> Limits:
        """The limits at a site. ``source``: "" is the default one. ``domain``: the recipient's, for the limits of a
        message. ``hosts``: the site of the hosts, when ``site`` is a domain separated from it; "" takes the site of
        well-known domains."""
        return structs.replace(self._base, **_values(self._holding(site, source, domain, hosts)))

    def tenant_limits(self, site: str, tenant_id: str, *, source: str = "") -> TenantLimits:
        if not self._tenant_rules:
            return NO_TENANT_LIMITS
        return structs.replace(NO_TENANT_LIMITS, **_values(self._holding_for_tenant(site, source, tenant_id)))

    def is_separate(self, domain: str) -> bool:
        """Whether this domain is a site of its own, with its own name, whichever hosts serve it: a rule of any source
        sets limits of a site for it by ``domain``. The limits of the hosts' site do not apply to it."""
        return may_be_separate(domain) and any(rule.separates(domain) for rule in self._rules)

    def triggers(self, site: str, *, source: str = "", hosts: str = "") -> tuple[Trigger, ...]:
        """The automation triggers for this site's replies, in the order of checking. ``hosts``: as for ``limits``."""
        hosts = hosts or known_site(site)
        return tuple(trigger for trigger in self._triggers if trigger.watches(site, source, hosts))

    def explain(
        self, site: str, *, source: str = "", domain: str = "", tenant_id: str = "", hosts: str = ""
    ) -> list[Setting]:
        """Every effective limit, in the order of the documentation, with the rule that gave it. ``hosts``: as for
        ``limits``."""
        settings = _explained("", KEYS, self._holding(site, source, domain, hosts), self._base, self._default)
        if tenant_id:
            given = self._holding_for_tenant(site, source, tenant_id)
            settings += _explained("tenant ", TENANT_KEYS, given, NO_TENANT_LIMITS, NO_TENANT_LIMITS)
        return settings

    def _holding(self, site: str, source: str, domain: str, hosts: str) -> dict[str, ShapingRule]:
        given: dict[str, ShapingRule] = {}
        hosts = hosts or known_site(site)
        for rule in self._rules:
            for level in rule.levels(site, source, domain, hosts):
                for field in rule.fields[level]:
                    given.setdefault(field, rule)
        return given

    def _holding_for_tenant(self, site: str, source: str, tenant_id: str) -> dict[str, ShapingRule]:
        given: dict[str, ShapingRule] = {}
        for rule in self._tenant_rules:
            if rule.holds_for_tenant(site, source, tenant_id):
                for field in rule.values:
                    given.setdefault(field, rule)
        return given


def _values(given: dict[str, ShapingRule]) -> dict[str, Any]:
    return {field: rule.values[field] for field, rule in given.items()}


def _explained(
    prefix: str,
    keys: Sequence[RuleKey],
    given: dict[str, ShapingRule],
    otherwise: Limits | TenantLimits,
    default: Limits | TenantLimits,
) -> list[Setting]:
    settings = []
    for key in keys:
        rule = given.get(key.field)
        value = rule.values[key.field] if rule else getattr(otherwise, key.field)
        unruled = Origin.DEFAULT if value == getattr(default, key.field) else Origin.SETTINGS
        settings.append(
            Setting(
                key=prefix + key.name,
                value=key.show(value),
                rule=rule.name if rule else "",
                origin=(rule.origin if rule else unruled).value,
                reference=rule.reference if rule else "",
            )
        )
    return settings
