"""An operator acts for a tenant: with what the services behind /v3 take for the request of a key of that tenant, which
may do all that keys may. So the console has the same answers, and no way of its own."""

from typing import TypeVar, cast

from litestar import Response
from msgspec import Struct

from api.http import help_texts
from api.http.body import ApiRequest
from api.http.refusals import Conflict
from api.messages.commands import ActionAnswer, CancelAnswer
from cluster.access.scopes import SCOPES
from cluster.journal.records import ApiKey

OPERATOR = "operator"
Answered = TypeVar("Answered", CancelAnswer, ActionAnswer)


class _Acting(Struct, frozen=True):
    """What the handlers of these services read of a request."""

    auth: ApiKey


def key_of(tenant_id: str) -> ApiKey:
    """The key that an operator acts with."""
    return ApiKey(id=OPERATOR, tenant_id=tenant_id, scopes=frozenset(SCOPES), sandbox=False)


def acting_for(tenant_id: str) -> ApiRequest:
    """A request of a tenant's, as far as services look at it."""
    return cast(ApiRequest, _Acting(key_of(tenant_id)))


def done(answer: Response[Answered]) -> str:
    """What a command has done, in words. Raises Conflict where it has done nothing."""
    if answer.status_code == 409:
        raise Conflict(answer.content.message, help=help_texts.CONSOLE_MESSAGE)
    return answer.content.message
