"""Requests that make and change API keys, and their rules. Pure: the time is an argument."""

import math
from collections.abc import Collection, Sequence
from datetime import UTC, datetime

import msgspec
from msgspec import Struct

from api.http import dates, help_texts
from api.http.body import TypedBody
from api.http.refusals import Fault, Faults, Invalid
from cluster.access.scopes import SCOPES
from cluster.access.terms import KeyKind, network
from cluster.typed_names import nearest

LONGEST_NAME = 255
LONGEST_SCOPE = 100
"""The most characters of an unknown scope that an error repeats."""
MOST_NETWORKS = 100
LAST_SECOND = 253_370_764_800
"""The year 9999."""
KINDS: tuple[KeyKind, ...] = ("api", "piisend")


class NewKeyRequest(Struct, frozen=True, kw_only=True):
    """An API key to make. Absent scopes give all that the caller may give."""

    name: str | None = None
    scopes: list[str] | None = None
    sandbox: bool | None = None
    """A sandbox key checks mail and never sends it."""
    kind: str | None = None
    """"api" (the default), or "piisend" for /api/v1."""
    expires_at: int | float | str | None = None
    """Unix time in seconds, or ISO-8601; from then on the key is refused."""
    allowed_networks: list[str] | None = None
    """CIDR; absent or empty means any."""


class RenameRequest(Struct, frozen=True):
    """A new name of a key."""

    name: str | None = None


class ReplaceRequest(Struct, frozen=True, kw_only=True):
    """A new name and new scopes of a key. Absent scopes stay as they are."""

    name: str | None = None
    scopes: list[str] | None = None


class NewKeyBody(TypedBody[NewKeyRequest]):
    decoder = msgspec.json.Decoder(NewKeyRequest)


class RenameBody(TypedBody[RenameRequest]):
    decoder = msgspec.json.Decoder(RenameRequest)


class ReplaceBody(TypedBody[ReplaceRequest]):
    decoder = msgspec.json.Decoder(ReplaceRequest)


class CheckedKey(Struct, frozen=True, kw_only=True):
    """A new key without faults."""

    name: str
    scopes: frozenset[str]
    sandbox: bool
    kind: KeyKind
    expires_at: datetime | None
    allowed_networks: tuple[str, ...]


def checked_key(
    request: NewKeyRequest, own: Collection[str], now: datetime, *, sandbox_only: bool = False
) -> CheckedKey:
    """The key that a request asks for. ``own`` are the scopes that the caller may give; ``sandbox_only`` is for a
    caller with a sandbox key. Raises Invalid with all faults."""
    faults = Faults()
    name = check_name(request.name, faults)
    scopes = frozenset(SCOPES.keys() & set(own))
    if request.scopes is not None:
        scopes = check_scopes(request.scopes, own, faults)
    sandbox = sandbox_only if request.sandbox is None else request.sandbox
    if sandbox_only and not sandbox:
        faults.append(Fault("A sandbox key can make sandbox keys only", "sandbox"))
    kind = next((kind for kind in KINDS if kind == (request.kind or "api")), None)
    if kind is None:
        faults.append(Fault(f"The kind must be {' or '.join(KINDS)}", "kind"))
    expires_at = _moment(request.expires_at, now, faults)
    networks = _networks(request.allowed_networks or (), faults)
    if faults or kind is None:
        raise Invalid(faults)
    return CheckedKey(
        name=name, scopes=scopes, sandbox=sandbox, kind=kind, expires_at=expires_at, allowed_networks=networks
    )


def check_name(name: str | None, faults: list[Fault]) -> str:
    if name is None or not name.strip():
        faults.append(Fault("The name is required", "name"))
    elif len(name) > LONGEST_NAME:
        faults.append(Fault(f"At most {LONGEST_NAME} characters", "name"))
    elif not name.isprintable():
        faults.append(Fault("A name may not contain control characters", "name"))
    return name or ""


def check_scopes(scopes: Sequence[str], own: Collection[str], faults: list[Fault]) -> frozenset[str]:
    """The scopes without repeats. Those that do not exist, or that the caller may not give, are faults."""
    if not scopes:
        faults.append(Fault("At least one scope is required", "scopes"))
    for index, scope in enumerate(scopes):
        if scope not in SCOPES:
            near = ", ".join(nearest(scope[:LONGEST_SCOPE], SCOPES, 3))
            text = f"There is no scope {scope[:LONGEST_SCOPE]}" + (f"; the nearest: {near}" if near else "")
            faults.append(Fault(text, f"scopes[{index}]", help_texts.ALL_SCOPES))
    if withheld := sorted({scope for scope in scopes if scope in SCOPES} - set(own)):
        faults.append(Fault(f"This key may not give {', '.join(withheld)}", "scopes", help_texts.OWN_SCOPES))
    return frozenset(scopes)


def _moment(given: float | str | None, now: datetime, faults: list[Fault]) -> datetime | None:
    """A time in the future; without a zone it is UTC."""
    if given is None:
        return None
    try:
        if isinstance(given, str):
            moment = dates.moment(given)
        else:
            moment = datetime.fromtimestamp(given if given < LAST_SECOND else math.inf, UTC)
    except (ValueError, OverflowError, OSError):
        faults.append(Fault("A time is in seconds since 1970, or ISO-8601", "expires_at"))
        return None
    if moment <= now:
        faults.append(Fault("The time must be in the future", "expires_at"))
    return moment


def _networks(given: Sequence[str], faults: list[Fault]) -> tuple[str, ...]:
    """The networks in one spelling, without repeats."""
    if len(given) > MOST_NETWORKS:
        faults.append(Fault(f"At most {MOST_NETWORKS} networks", "allowed_networks"))
        return ()
    networks = []
    for index, text in enumerate(given):
        try:
            networks.append(str(network(text)))
        except ValueError as error:
            faults.append(Fault(str(error), f"allowed_networks[{index}]"))
    return tuple(dict.fromkeys(networks))
