"""The limits of a site, a message and a tenant: the first rule that holds and sets a key gives it.

The operator's rules (shaping.toml) lie over the shipped ones (``shaping_defaults.toml``), and these over the settings
(postray.toml), key by key. The shipped ones hold for sites of the DNS only, never for a relay or the capture sink; they
are for hosts, and stay so for a domain that an operator's rule makes a site of its own. Looked
up when a site is made and when the rules change; whoever needs a limit for every message keeps it.
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
    Key,
    Origin,
    Rule,
    ShapingError,
    may_be_separate,
    parse_rules,
)
from cluster.policy.replies.onward import NextHost
from cluster.policy.replies.triggers import Trigger, parse_triggers
from cluster.policy.routes.sites import known_site
from cluster.policy.tls.level import TlsLevel


class Limits(Struct, frozen=True, kw_only=True):
    """Of one source at one site, over the whole cluster."""

    connections: int
    """Open at once; at least 1."""
    connections_per_ip: int
    """Open at once to one address of the site; 0 sets no limit."""
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
    """When the next host is tried after a 4yz, at the earliest."""

    # These hold for a message, and may differ between the domains of a site.
    recipients_per_transaction: int
    retry_schedule_s: tuple[float, ...]
    """Waits between attempts; the last repeats."""
    lifetime_s: float
    tls: TlsLevel


class TenantLimits(Struct, frozen=True, kw_only=True):
    """Of one tenant at one site, within the site's limits."""

    message_rate: Rate | None = None
    connections: int = 0
    """That carry this tenant's mail at once; 0 sets no limit."""


class Setting(Struct, frozen=True, kw_only=True):
    """One value in force, and why: for people."""

    key: str
    """As in shaping.toml; a tenant's begin with "tenant "."""
    value: str
    rule: str
    """The name of the rule that gave it; "" when none did."""
    origin: str
    """"shaping.toml", "shipped defaults", "settings" (postray.toml or a variable), "routing.toml" (a relay's TLS) or
    "default"."""
    reference: str = ""
    """The public source of a shipped value, or what the operator noted."""


NO_TENANT_LIMITS = TenantLimits()


def _parse_file(text: str, origin: Origin) -> tuple[tuple[Rule, ...], tuple[Trigger, ...]]:
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
    """What is in force: immutable, made anew when the file changes."""

    def __init__(self, rules: Sequence[Rule], triggers: Sequence[Trigger], base: Limits, default: Limits) -> None:
        self._rules = tuple(rule for rule in rules if not rule.is_for_tenants)
        self._tenant_rules = tuple(rule for rule in rules if rule.is_for_tenants)
        self._triggers = tuple(triggers)
        self._base = base
        self._default = default

    @classmethod
    def parse(cls, text: str, *, base: Limits, default: Limits) -> "Shaping":
        """``text``: of shaping.toml, which may be empty. ``base``: what holds where no rule says anything; ``default``:
        what that would be if nothing was set.

        Raises ShapingError, naming the rule and the key.
        """
        rules, triggers = _parse_file(text, Origin.OPERATOR)
        return cls((*rules, *_SHIPPED_RULES), (*triggers, *_SHIPPED_TRIGGERS), base, default)

    def limits(self, site: str, *, source: str = "", domain: str = "", hosts: str = "") -> Limits:
        """``source``: "" is the default one. ``domain``: the recipient's, for what holds for a message. ``hosts``: the
        site of the hosts, where ``site`` is a domain set apart from it; "" is what is known of well-known domains."""
        return structs.replace(self._base, **_values(self._holding(site, source, domain, hosts)))

    def tenant_limits(self, site: str, tenant_id: str, *, source: str = "") -> TenantLimits:
        if not self._tenant_rules:
            return NO_TENANT_LIMITS
        return structs.replace(NO_TENANT_LIMITS, **_values(self._holding_for_tenant(site, source, tenant_id)))

    def is_separate(self, domain: str) -> bool:
        """Whether this domain is a site of its own, named like it, whichever hosts serve it: a rule, of whatever
        source, sets limits of a site for it by ``domain``. What holds for the hosts' site does not hold for it."""
        return may_be_separate(domain) and any(rule.separates(domain) for rule in self._rules)

    def triggers(self, site: str, *, source: str = "", hosts: str = "") -> tuple[Trigger, ...]:
        """What automation looks for in this site's replies, in the order of looking. ``hosts``: as for ``limits``."""
        hosts = hosts or known_site(site)
        return tuple(trigger for trigger in self._triggers if trigger.watches(site, source, hosts))

    def explain(
        self, site: str, *, source: str = "", domain: str = "", tenant_id: str = "", hosts: str = ""
    ) -> list[Setting]:
        """Every limit in force, in the order of the documentation, with the rule that gave it. ``hosts``: as for
        ``limits``."""
        settings = _explained("", KEYS, self._holding(site, source, domain, hosts), self._base, self._default)
        if tenant_id:
            given = self._holding_for_tenant(site, source, tenant_id)
            settings += _explained("tenant ", TENANT_KEYS, given, NO_TENANT_LIMITS, NO_TENANT_LIMITS)
        return settings

    def _holding(self, site: str, source: str, domain: str, hosts: str) -> dict[str, Rule]:
        given: dict[str, Rule] = {}
        hosts = hosts or known_site(site)
        for rule in self._rules:
            for level in rule.levels(site, source, domain, hosts):
                for field in rule.fields[level]:
                    given.setdefault(field, rule)
        return given

    def _holding_for_tenant(self, site: str, source: str, tenant_id: str) -> dict[str, Rule]:
        given: dict[str, Rule] = {}
        for rule in self._tenant_rules:
            if rule.holds_for_tenant(site, source, tenant_id):
                for field in rule.values:
                    given.setdefault(field, rule)
        return given


def _values(given: dict[str, Rule]) -> dict[str, Any]:
    return {field: rule.values[field] for field, rule in given.items()}


def _explained(
    prefix: str,
    keys: Sequence[Key],
    given: dict[str, Rule],
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
