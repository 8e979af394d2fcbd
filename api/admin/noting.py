"""Notes what is done over /api/admin: who, when, which route, and to what, before it is done and after.

A dry run is not noted. Of what a request says only names and numbers of a few fields are noted (``NAMED``); of every
other field no more than that it was there. So no address of a recipient, no secret and no text of mail comes into the
notes, also of routes that are yet to come.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from datetime import date
from enum import Enum
from typing import Any

from msgspec import UNSET, Struct, structs

from api.admin.access import INSTALLATION
from api.http.body import ApiRequest, header
from api.http.errors import STATUS
from api.http.refusals import Refusal
from cluster.access.client_address import client_of
from cluster.access.noting import LONGEST_ADDRESS, Notes
from cluster.access.operator_headers import COMMAND, OPERATOR, of_header
from cluster.intake.backpressure import Overloaded
from cluster.journal.journal import Rejected, Unavailable
from cluster.journal.operator_audit import Doer
from cluster.policy.routes.networks import Network

NAMED = frozenset(
    {
        "batch_id",
        "domain",
        "id",
        "kind",
        "list",
        "message_id",
        "name",
        "pool",
        "rule",
        "scopes",
        "site",
        "tenant",
        "tenant_id",
        "to_pool",
        "to_route",
        "what",
    }
)
"""Fields whose texts are noted: names and ids of what operators and tenants have made."""
_NEVER = frozenset({"after", "dry_run", "request"})


class Noting:
    """Notes requests."""

    def __init__(self, notes: Notes, trusted: Sequence[Network]) -> None:
        """``trusted``: networks of proxies whose X-Forwarded-For is believed."""
        self._notes = notes
        self._trusted = trusted

    def noted(self, request: ApiRequest, route: str, given: Mapping[str, Any]) -> AbstractAsyncContextManager[None]:
        """Within the context the request is done: it is noted before and after, where it may change something for an
        operator. ``given``: the arguments of its handler. Raises Unavailable when it cannot be noted."""
        operator = request.scope.get("user")
        if operator is None or getattr(given.get("data"), "dry_run", False):
            return nullcontext()  # a tenant does this with a key of its own, or nothing is done
        doer, command = self._doer(request, str(operator), route)
        return self._notes.of(doer, command, subject(given), refused=_refused)

    def _doer(self, request: ApiRequest, operator: str, route: str) -> tuple[Doer, str]:
        address = str(client_of(request.scope, self._trusted))[:LONGEST_ADDRESS]
        typed = header(request.scope, OPERATOR.lower().encode())
        if operator == INSTALLATION and typed is not None:
            command = header(request.scope, COMMAND.lower().encode()) or ""
            return Doer(way="command", operator=of_header(typed), address=address), of_header(command) or route
        return Doer(way="http", operator=operator, address=address), route


def subject(given: Mapping[str, Any]) -> str:
    """What a request is about, in a line."""
    said = dict(_said(given))
    id = said.pop("id", None)
    return ", ".join([*([id] if id is not None else ()), *(f"{name}={text}" for name, text in said.items())])


def _said(given: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, value in given.items():
        if name == "data" and isinstance(value, Struct):
            yield from _said(_set_in(value))
        elif name in _NEVER or value is None or value is UNSET or value == "":
            continue
        elif isinstance(value, bool | int | float | date | Enum):
            yield name, str(value.value if isinstance(value, Enum) else value)
        elif name in NAMED:
            yield name, value if isinstance(value, str) else " ".join(map(str, value))
        else:
            yield name, "…"


def _set_in(body: Struct) -> dict[str, Any]:
    """The fields of a body that are not as when they are left out."""
    values = {field.name: (getattr(body, field.name), field.default) for field in structs.fields(body)}
    return {name: value for name, (value, default) in values.items() if value != default}


def _refused(error: Exception) -> str | None:
    """Without what the refusal says: it may quote what was sent."""
    if isinstance(error, Refusal | Overloaded | Unavailable | Rejected):
        return next((str(STATUS[kind]) for kind in type(error).__mro__ if kind in STATUS), type(error).__name__)
    return None
