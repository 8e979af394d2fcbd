"""/api/admin/operator-tokens: named tokens for operators, each of which can be revoked alone."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated

import msgspec
from litestar import get
from litestar.handlers import HTTPRouteHandler
from litestar.params import JSONBody, PathParameter
from msgspec import Struct

from api.admin.changing import delete, post
from api.http import help_texts
from api.http.body import TypedBody
from api.http.errors import answers
from api.http.examples import OPERATOR_TOKEN_ID, Example
from api.http.refusals import Fault, Invalid, NotFound
from api.http.texts import check_name
from cluster.ids import is_id
from cluster.journal.journal import Journal
from cluster.journal.operator_tokens import OperatorToken
from cluster.keys import new_operator_token

LONGEST_NAME = 100
MOST_LISTED = 1000


class NewOperatorToken(Struct, frozen=True, kw_only=True):
    """The token to make."""

    name: str
    """Who or what uses it, such as a person or a program."""


class MadeOperatorToken(OperatorToken, frozen=True, kw_only=True):
    """A new token; the only answer that has its secret."""

    token: str


class OperatorTokenList(Struct, frozen=True):
    """The newest tokens, the newest first, revoked ones among them."""

    tokens: list[OperatorToken]


class OperatorTokenBody(TypedBody[NewOperatorToken]):
    decoder = msgspec.json.Decoder(NewOperatorToken)


class OperatorTokenCalls:
    """The routes of this module."""

    def __init__(self, journal: Journal, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._tokens = journal.operator_tokens
        self._clock = clock

    def handlers(self) -> list[HTTPRouteHandler]:
        listing = get("/operator-tokens", responses=answers(401, 503), summary="Operators' tokens")
        make = post(
            "/operator-tokens",
            status_code=201,
            dto=OperatorTokenBody,
            return_dto=None,
            responses=answers(400, 401, 408, 413, 415, 422, 503),
            summary="Make a token for an operator",
            example=Example(body={"name": "on-call"}),
        )
        revoke = delete(
            "/operator-tokens/{id:str}",
            status_code=200,
            responses=answers(401, 404, 503),
            summary="Revoke an operator's token",
            example=Example(path={"id": OPERATOR_TOKEN_ID}),
        )
        return [listing(self.listing), make(self.make), revoke(self.revoke)]

    async def listing(self) -> OperatorTokenList:
        return OperatorTokenList(await self._tokens.latest(MOST_LISTED))

    async def make(self, data: JSONBody[NewOperatorToken]) -> MadeOperatorToken:
        faults: list[Fault] = []
        check_name(data.name, "name", faults, longest=LONGEST_NAME)
        if is_id("opt_", data.name):
            faults.append(Fault("A name must not look like a token's id", "name"))
        if not data.name.isprintable() or "/" in data.name:
            faults.append(Fault("A name has printable characters only, and no slash", "name"))
        if faults:
            raise Invalid(faults)
        secret, prefix, hash = new_operator_token()
        made = await self._tokens.create(data.name, prefix=prefix, hash=hash, at=self._clock())
        if made is None:
            raise Invalid([Fault("A token of this name is in use", "name", help_texts.OPERATOR_TOKEN_NAME)])
        return MadeOperatorToken(**msgspec.structs.asdict(made), token=secret)

    async def revoke(
        self, id: Annotated[str, PathParameter(description="The token's id, or its name")]
    ) -> OperatorToken:
        revoked = await self._tokens.revoke(id, self._clock()) if "\0" not in id else None
        if revoked is None:
            raise NotFound("No token with this id or name is in use", help=help_texts.OPERATOR_TOKENS)
        return revoked
