"""One rule of shaping.toml: where it applies, and which keys it sets to which values.

This module owns the table of keys (``KEYS``), how each is read and shown, and the errors, which name the rule and the
key. ``shaping`` decides which of several rules applies.
"""

from collections.abc import Callable, Mapping, Sequence
from enum import Enum, StrEnum
from typing import Any, TypeVar

from msgspec import Struct

from cluster.policy.limits.patterns import NameKind, Patterns
from cluster.policy.limits.quantities import Rate, duration, duration_text, rate
from cluster.policy.replies.onward import NextHost
from cluster.policy.routes.sites import FAMILY_NAMES, is_route
from cluster.policy.tls.level import TlsLevel

E = TypeVar("E", bound=StrEnum)

NONE = "none"
"""Stands for "no limit" where a rate is expected."""


class ShapingError(Exception):
    """A shaping file is invalid; the message names the rule and the key."""

    def __init__(self, message: str) -> None:
        super().__init__(message)


class Origin(Enum):
    """The origin of a value, in the order of precedence."""

    OPERATOR = "shaping.toml"
    SHIPPED = "shipped defaults"
    SETTINGS = "settings"
    """postray.toml or an environment variable."""
    DEFAULT = "default"


class Level(Enum):
    """What a key limits, and so by which name it is looked up."""

    SITE = "site"
    MESSAGE = "message"
    """Looked up by the recipient's domain as well."""


LEVELS = tuple(Level)


def text(value: Any) -> str:
    """The value, if it is a text. Raises ValueError otherwise."""
    if not isinstance(value, str):
        raise ValueError(f"must be a text in quotes, not {value!r}")
    return value


def _count(least: int) -> Callable[[Any], int]:
    def read(value: Any) -> int:
        if not isinstance(value, int) or isinstance(value, bool):
            raise ValueError(f"must be a whole number, not {value!r}")
        if value < least:
            raise ValueError(f"must be at least {least}, not {value}")
        return value

    return read


def _duration(value: Any) -> float:
    return duration(text(value))


def _rate(value: Any) -> Rate | None:
    return None if text(value) == NONE else rate(value)


def _schedule(value: Any) -> tuple[float, ...]:
    if not isinstance(value, list) or not value:
        raise ValueError('must be a list of waits such as ["5m", "30m"]')
    return tuple(_duration(wait) for wait in value)


def _one_of(choices: type[E]) -> Callable[[Any], E]:
    def read(value: Any) -> E:
        try:
            return choices(text(value))
        except ValueError:
            raise ValueError(f"must be one of {', '.join(choices)}, not {value!r}") from None

    return read


def _limit_text(limit: int) -> str:
    return str(limit) if limit else NONE


def _rate_text(limit: Rate | None) -> str:
    return str(limit) if limit else NONE


def _schedule_text(waits: tuple[float, ...]) -> str:
    return ", ".join(duration_text(wait) for wait in waits)


class RuleKey(Struct, frozen=True):
    """One key of a rule."""

    name: str
    """The key in shaping.toml."""
    field: str
    """The field of ``Limits``."""
    level: Level
    read: Callable[[Any], Any]
    """Converts the TOML value; raises ValueError."""
    show: Callable[[Any], str]


KEYS = (
    RuleKey("connections", "connections", Level.SITE, _count(1), str),
    RuleKey("connections_per_ip", "connections_per_ip", Level.SITE, _count(0), _limit_text),
    RuleKey("messages_per_connection", "messages_per_connection", Level.SITE, _count(1), str),
    RuleKey("connection_idle", "connection_idle_s", Level.SITE, _duration, duration_text),
    RuleKey("connection_age", "connection_age_s", Level.SITE, _duration, duration_text),
    RuleKey("message_rate", "message_rate", Level.SITE, _rate, _rate_text),
    RuleKey("connection_rate", "connection_rate", Level.SITE, _rate, _rate_text),
    RuleKey("next_host", "next_host", Level.SITE, _one_of(NextHost), str),
    RuleKey("recipients_per_transaction", "recipients_per_transaction", Level.MESSAGE, _count(1), str),
    RuleKey("retry_schedule", "retry_schedule_s", Level.MESSAGE, _schedule, _schedule_text),
    RuleKey("lifetime", "lifetime_s", Level.MESSAGE, _duration, duration_text),
    RuleKey("tls", "tls", Level.MESSAGE, _one_of(TlsLevel), str),
)
TENANT_KEYS = (
    RuleKey("message_rate", "message_rate", Level.SITE, _rate, _rate_text),
    RuleKey("connections", "connections", Level.SITE, _count(0), _limit_text),
)
SELECTORS = {"site": NameKind.DNS, "domain": NameKind.DNS, "source": NameKind.OWN, "tenant": NameKind.OWN}
TEXTS = ("name", "reference")


class ShapingRule:
    """A compiled rule: where it applies, and its values by field name."""

    def __init__(
        self, name: str, reference: str, origin: Origin, selectors: Mapping[str, Patterns], values: Mapping[str, Any]
    ) -> None:
        self.name = name
        self.reference = reference
        self.origin = origin
        self.values = values
        self._site = selectors.get("site")
        self._domain = selectors.get("domain")
        self._source = selectors.get("source")
        self._tenant = selectors.get("tenant")
        self.is_for_tenants = self._tenant is not None
        self.fields = {
            level: [key.field for key in KEYS if key.level is level and key.field in values] for level in LEVELS
        }
        """The fields of ``Limits`` that it sets, by level."""
        self._separates = not self.is_for_tenants and bool(self.fields[Level.SITE])

    def separates(self, domain: str) -> bool:
        """Whether the rule makes this domain a site of its own: it sets limits of a site for a domain."""
        return self._separates and self._domain is not None and self._domain.matches(domain)

    def levels(self, site: str, source: str, domain: str, hosts: str = "") -> tuple[Level, ...]:
        """The levels at which the rule's keys apply to ``site``. ``domain``: the recipient's, "" for a question about
        no message. ``hosts``: the site of the hosts, when ``site`` is a domain that a rule separated from it; shipped
        rules for these hosts still apply."""
        if self.origin is Origin.SHIPPED:
            if is_route(site):
                return ()
            site = hosts or site
        if self._source is not None and not self._source.matches(source):
            return ()
        if self._site is None and self._domain is None:
            return LEVELS
        if self._site is not None and self._site.matches(site):
            return LEVELS
        if self._domain is None:
            return ()
        of_site = (Level.SITE,) if self._domain.matches(site) and may_be_separate(site) else ()
        of_message = (Level.MESSAGE,) if self._domain.matches(domain or site) else ()
        return of_site + of_message

    def holds_for_tenant(self, site: str, source: str, tenant_id: str) -> bool:
        is_for_them = self._tenant is not None and self._tenant.matches(tenant_id)
        return is_for_them and Level.SITE in self.levels(site, source, "")


def may_be_separate(name: str) -> bool:
    """Whether a domain of this name can be a site of its own: no other site may have the name."""
    return name not in FAMILY_NAMES and "," not in name and not is_route(name)


def parse_rules(tables: Sequence[Any], origin: Origin) -> tuple[ShapingRule, ...]:
    """The ``[[rule]]`` tables of a file. Raises ShapingError when one is invalid."""
    rules: list[ShapingRule] = []
    for number, table in enumerate(tables, 1):
        rule = _parse(table, number, origin)
        if any(rule.name == other.name for other in rules):
            raise ShapingError(f"{title('rule', number, table)}: name: another rule has it already")
        rules.append(rule)
    return tuple(rules)


def title(kind: str, number: int, table: Any) -> str:
    """How an error names a table: its number in the file, and its name if it has one."""
    name = table.get("name") if isinstance(table, dict) else None
    return f'{kind} {number} ("{name}")' if isinstance(name, str) and name else f"{kind} {number}"


def read(where: str, key: str, reader: Callable[[Any], Any], value: Any) -> Any:
    """The value as ``reader`` converts it. Raises ShapingError, which names the key, when ``reader`` raises
    ValueError."""
    try:
        return reader(value)
    except ValueError as error:
        raise ShapingError(f"{where}: {key}: {error}") from error


def patterns(kind: NameKind) -> Callable[[Any], Patterns]:
    """A reader of one name or a list of names."""
    return lambda value: Patterns(texts(value), kind)


def texts(value: Any) -> tuple[str, ...]:
    """One text, or a list of at least one. Raises ValueError."""
    listed = value if isinstance(value, list) else [value]
    if not listed:
        raise ValueError("must name at least one")
    return tuple(text(item) for item in listed)


def name_of(where: str, table: Mapping[str, Any]) -> str:
    """The name of a rule or a trigger. Raises ShapingError when it is missing or not printable."""
    name = read(where, "name", text, table.get("name", ""))
    if not isinstance(name, str) or not name.strip() or not name.isprintable():
        raise ShapingError(f"{where}: name: every one needs a name, by which it is shown")
    return name


def _parse(table: Any, number: int, origin: Origin) -> ShapingRule:
    where = title("rule", number, table)
    if not isinstance(table, dict):
        raise ShapingError(f"{where}: must be a table")
    name = name_of(where, table)
    reference = read(where, "reference", text, table.get("reference", ""))
    selectors = {
        selector: read(where, selector, patterns(kind), table[selector])
        for selector, kind in SELECTORS.items()
        if selector in table
    }
    keys = {key.name: key for key in (TENANT_KEYS if "tenant" in selectors else KEYS)}
    values: dict[str, Any] = {}
    for key, value in table.items():
        if key in keys:
            values[keys[key].field] = read(where, key, keys[key].read, value)
        elif any(key == other.name for other in KEYS):
            raise ShapingError(f"{where}: {key}: cannot be set for a tenant")
        elif key not in SELECTORS and key not in TEXTS:
            raise ShapingError(f"{where}: unknown key {key}")
    if not values:
        raise ShapingError(f"{where}: sets nothing")
    rule = ShapingRule(name, reference, origin, selectors, values)
    _check(where, rule, selectors)
    return rule


def _check(where: str, rule: ShapingRule, selectors: Mapping[str, Patterns]) -> None:
    """Check the combinations: values that are valid alone may contradict each other. Raises ShapingError."""
    values = rule.values
    if rule.is_for_tenants and "domain" in selectors:
        raise ShapingError(f"{where}: domain: a tenant's limits are those of a site; name the site")
    for domain in selectors["domain"].names if "domain" in selectors else ():
        if rule.separates(domain) and not may_be_separate(domain) and "*" not in domain:
            raise ShapingError(
                f"{where}: domain: {domain} cannot be a site of its own, as the name is another's; name the site"
            )
    _in_order(where, values, "connections_per_ip", "connections")
    _in_order(where, values, "connection_idle_s", "connection_age_s")
    if (
        "retry_schedule_s" in values
        and "lifetime_s" in values
        and values["retry_schedule_s"][0] >= values["lifetime_s"]
    ):
        raise ShapingError(f"{where}: lifetime: ends before the first retry")


def _in_order(where: str, values: Mapping[str, Any], smaller: str, larger: str) -> None:
    if smaller in values and larger in values and values[smaller] > values[larger]:
        raise ShapingError(f"{where}: {smaller.removesuffix('_s')}: must not be above {larger.removesuffix('_s')}")
