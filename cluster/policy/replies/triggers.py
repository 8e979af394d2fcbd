"""Automation triggers: which replies of a site they match, and the action they cause. The ``[[automation]]`` tables.

This module owns the notation and the matching of one reply; ``automation`` changes the limits. Only the first trigger
that matches a reply counts; the operator's come before the shipped ones.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from typing import Any

from msgspec import Struct

from cluster.policy.limits.patterns import NameKind, Patterns
from cluster.policy.limits.quantities import Rate, duration, rate
from cluster.policy.limits.rules import Origin, ShapingError, name_of, patterns, read, text, texts, title
from cluster.policy.replies.bounce_class import BounceClass
from cluster.policy.routes.sites import is_route

MOST_COUNTED = 100
"""The highest threshold: each match's time is kept in memory."""

_CODE = re.compile(r"[2-5](?:xx|[0-9]x|[0-9]{2})")
_ENHANCED = re.compile(r"[245](?:\.[0-9]{1,3}){0,2}")


class ActionKind(StrEnum):
    SLOW_DOWN = "slow_down"
    """Fewer messages a second."""
    FEWER_CONNECTIONS = "fewer_connections"
    SUSPEND = "suspend"
    """Send nothing to the site for a time."""
    SUSPEND_TENANT = "suspend_tenant"
    """Send nothing of this tenant to the site for a time."""
    IGNORE = "ignore"
    """Do nothing, and check no later trigger."""
    RAISED = "raised"
    """A limit rose again; not an action of a trigger."""
    RESTORED = "restored"
    """All limits are those of the rules again; not an action of a trigger."""


ACTIONS = tuple(kind for kind in ActionKind if kind not in (ActionKind.RAISED, ActionKind.RESTORED))
_WITH_FACTOR = (ActionKind.SLOW_DOWN, ActionKind.FEWER_CONNECTIONS)

DEFAULT_FACTOR = 0.5
DEFAULT_FOR_S = 900.0


class ReplyFacts(Struct, frozen=True, kw_only=True):
    """The facts of a reply that was not an acceptance, for automation."""

    code: int
    """0 when there was no reply."""
    enhanced: str = ""
    """RFC 3463, such as "4.7.28"; "" when the reply had none."""
    text: str
    """As received, with newlines between lines."""
    bounce_class: BounceClass | None = None
    domain: str = ""
    """The recipient's; "" when the reply was not to one recipient."""
    tenant_id: str = ""


class Trigger(Struct, frozen=True, kw_only=True):
    name: str
    origin: Origin
    action: ActionKind
    factor: float
    """The factor for a limit; between 0 and 1."""
    for_s: float
    """How long a suspension lasts; how long a lowered limit stays down before it may rise."""
    threshold: Rate | None
    """The trigger acts when this many replies matched within this time; None: at the first."""
    reference: str
    regex: re.Pattern[str] | None
    codes: re.Pattern[str] | None
    enhanced: tuple[str, ...]
    bounce_classes: tuple[BounceClass, ...]
    site: Patterns | None
    domain: Patterns | None
    source: Patterns | None

    def watches(self, site: str, source: str, hosts: str = "") -> bool:
        """Whether the trigger applies to this site and source. Shipped triggers apply to sites of the DNS; for a domain
        that was separated from its hosts' site, they use the hosts' site (``hosts``)."""
        if self.origin is Origin.SHIPPED:
            if is_route(site):
                return False
            site = hosts or site
        if self.site is not None and not self.site.matches(site):
            return False
        return self.source is None or self.source.matches(source)

    def matches(self, reply: ReplyFacts, words: str) -> bool:
        """``words``: the text of the reply as one line without codes and addresses (``bounce_rules.normalised``)."""
        if self.codes is not None and not self.codes.fullmatch(str(reply.code)):
            return False
        if self.enhanced and not any(_begins(reply.enhanced, prefix) for prefix in self.enhanced):
            return False
        if self.bounce_classes and reply.bounce_class not in self.bounce_classes:
            return False
        if self.domain is not None and not self.domain.matches(reply.domain):
            return False
        return self.regex is None or self.regex.search(words) is not None


def _begins(enhanced: str, prefix: str) -> bool:
    """Compares whole numbers: "4.7.28" begins with "4.7", "4.70" does not."""
    return enhanced == prefix or enhanced.startswith(f"{prefix}.")


def _regex(value: Any) -> re.Pattern[str]:
    try:
        return re.compile(text(value), re.IGNORECASE)
    except re.error as error:
        raise ValueError(f"is not a regular expression: {error}") from error


def _codes(value: Any) -> re.Pattern[str]:
    codes = texts(value)
    for code in codes:
        if not _CODE.fullmatch(code):
            raise ValueError(f'{code!r} is not a reply code such as "421" or "4xx"')
    return re.compile("|".join(code.replace("x", "[0-9]") for code in codes))


def _statuses(value: Any) -> tuple[str, ...]:
    statuses = texts(value)
    for status in statuses:
        if not _ENHANCED.fullmatch(status):
            raise ValueError(f'{status!r} is not a status code such as "4.7.28" or "4.7"')
    return statuses


def _classes(value: Any) -> tuple[BounceClass, ...]:
    names = texts(value)
    for name in names:
        if name not in tuple(BounceClass):
            raise ValueError(f"{name!r} is not a bounce class")
    return tuple(BounceClass(name) for name in names)


def _action(value: Any) -> ActionKind:
    if value not in ACTIONS:
        raise ValueError(f"must be one of {', '.join(ACTIONS)}, not {value!r}")
    return ActionKind(value)


def _factor(value: Any) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 < value < 1:
        raise ValueError(f"must be between 0 and 1, not {value!r}")
    return float(value)


def _threshold(value: Any) -> Rate:
    threshold = rate(text(value))
    if threshold.count > MOST_COUNTED:
        raise ValueError(f"{value!r} counts more than {MOST_COUNTED}")
    return threshold


def _for(value: Any) -> float:
    return duration(text(value))


# Each key with its field and its reader. The table's reader adds "name" and the defaults.
_READERS: Mapping[str, tuple[str, Callable[[Any], Any]]] = {
    "match": ("regex", _regex),
    "code": ("codes", _codes),
    "enhanced": ("enhanced", _statuses),
    "bounce_class": ("bounce_classes", _classes),
    "site": ("site", patterns(NameKind.DNS)),
    "domain": ("domain", patterns(NameKind.DNS)),
    "source": ("source", patterns(NameKind.OWN)),
    "action": ("action", _action),
    "factor": ("factor", _factor),
    "for": ("for_s", _for),
    "threshold": ("threshold", _threshold),
    "reference": ("reference", text),
}
TRIGGER_KEYS = ("name", *_READERS)
_CONDITIONS = ("match", "code", "enhanced", "bounce_class")
_DEFAULTS: Mapping[str, Any] = {
    "factor": DEFAULT_FACTOR,
    "for_s": DEFAULT_FOR_S,
    "threshold": None,
    "reference": "",
    "regex": None,
    "codes": None,
    "enhanced": (),
    "bounce_classes": (),
    "site": None,
    "domain": None,
    "source": None,
}


def parse_triggers(tables: Sequence[Any], origin: Origin) -> tuple[Trigger, ...]:
    """The ``[[automation]]`` tables of a file. Raises ShapingError."""
    triggers: list[Trigger] = []
    for number, table in enumerate(tables, 1):
        trigger = _parse(table, number, origin)
        if any(trigger.name == other.name for other in triggers):
            raise ShapingError(f"{title('automation', number, table)}: name: another one has it already")
        triggers.append(trigger)
    return tuple(triggers)


def _parse(table: Any, number: int, origin: Origin) -> Trigger:
    where = title("automation", number, table)
    if not isinstance(table, dict):
        raise ShapingError(f"{where}: must be a table")
    name = name_of(where, table)
    for key in table:
        if key not in TRIGGER_KEYS:
            raise ShapingError(f"{where}: unknown key {key}")
    if not any(key in table for key in _CONDITIONS):
        raise ShapingError(f"{where}: says of no reply that it matches: set one of {', '.join(_CONDITIONS)}")
    if "action" not in table:
        raise ShapingError(f"{where}: action: must be one of {', '.join(ACTIONS)}")
    values = dict(_DEFAULTS)
    for key, (field, reader) in _READERS.items():
        if key in table:
            values[field] = read(where, key, reader, table[key])
    if "factor" in table and values["action"] not in _WITH_FACTOR:
        raise ShapingError(f"{where}: factor: has no meaning for {values['action']}")
    if values["action"] is ActionKind.IGNORE and ("threshold" in table or "for" in table):
        raise ShapingError(f"{where}: action: ignore takes neither threshold nor for")
    return Trigger(name=name, origin=origin, **values)
