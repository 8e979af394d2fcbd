"""/api/admin/tracking/rotate-key: a new key for the tokens of tracked mail."""

from litestar.handlers import HTTPRouteHandler
from msgspec import Struct

from api.admin.changing import post
from api.http import help_texts
from api.http.errors import answers
from api.http.refusals import Conflict
from cluster.tracking.keys import LAST_ID, NoMoreKeys, TokenKeys


class NewestKey(Struct, frozen=True):
    """The key that signs from now on."""

    key_id: int


class TokenKeyCalls:
    """The route of this module."""

    def __init__(self, keys: TokenKeys) -> None:
        self._keys = keys

    def handlers(self) -> list[HTTPRouteHandler]:
        rotate = post(
            "/tracking/rotate-key",
            status_code=201,
            responses=answers(401, 409, 503),
            summary="Make a new key for the links of tracked mail",
        )
        return [rotate(self.rotate)]

    async def rotate(self) -> NewestKey:
        try:
            return NewestKey(await self._keys.rotate())
        except NoMoreKeys:
            raise Conflict(
                f"There are {LAST_ID} keys, and mail may have links of each: no more can be made",
                help=help_texts.TOKEN_KEYS,
            ) from None
