"""/v3/asm: unsubscribe groups, who has left them, and who has left all mail."""

from datetime import UTC, datetime
from typing import Annotated

import msgspec
from litestar import Response, delete, get, patch, post
from litestar.params import FromPath, JSONBody, QueryParameter
from msgspec import UNSET, Struct, UnsetType

from api.http import help_texts
from api.http.body import ApiRequest, TypedBody
from api.http.emails import addresses
from api.http.errors import answers
from api.http.examples import GROUP_ID, Example
from api.http.existing import number_id
from api.http.refusals import Conflict, Fault, Invalid, NotFound
from api.http.routes import RouteGroup, resource
from api.http.texts import check_text
from api.suppressions.paging import After, Offset, next_page, place_of, position
from cluster.journal.journal import Journal
from cluster.journal.suppression_groups import MOST_GROUPS, AddressInGroup, Group, GroupNameTaken, TooManyGroups
from cluster.journal.suppressions import FIRST_PAGE, MOST_GROUP_ID, Position, Wanted, new_entries
from cluster.suppression.lists import SuppressionList

LONGEST_NAME = 30
LONGEST_DESCRIPTION = 100
MOST_OF_PAGE = 10_000
NO_GROUP = "The unsubscribe group does not exist"
NAME_TAKEN = "Another group has this name"
TOO_MANY = f"A tenant has at most {MOST_GROUPS} groups"
_GROUP, _ALL = SuppressionList.GROUP, SuppressionList.UNSUBSCRIBES


class NewGroup(Struct, frozen=True):
    """A group to make. ``description`` is what recipients read."""

    name: str | None = None
    description: str | None = None
    is_default: bool | None = None


class NewGroupBody(TypedBody[NewGroup]):
    decoder = msgspec.json.Decoder(NewGroup)


class Recipients(Struct, frozen=True):
    """Addresses."""

    recipient_emails: list[str] | None = None


class RecipientsBody(TypedBody[Recipients]):
    decoder = msgspec.json.Decoder(Recipients)


class GroupSuppression(Struct, frozen=True):
    """An address that has left a group. ``created_at``: seconds since the epoch."""

    email: str
    group_id: int
    group_name: str
    created_at: int


class GroupsOfAddress(Struct, frozen=True):
    """All groups, and whether the address has left each."""

    suppressions: list[AddressInGroup]


class GlobalSuppression(Struct, frozen=True, omit_defaults=True):
    """The address, if it has left all mail; else empty."""

    recipient_email: str | UnsetType = UNSET


class GroupCalls:
    """The routes of groups."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    def routes(self) -> list[RouteGroup]:
        with_body = (400, 401, 403, 408, 413, 415, 422, 503)
        read, of_one = (400, 401, 403, 404, 503), Example(path={"group_id": GROUP_ID})
        body = Example(path=of_one.path, body={"recipient_emails": ["ada@example.com"]})
        group = {"name": "News", "description": "Our news, each week", "is_default": False}
        return [
            resource(
                "/v3/asm/groups",
                post(
                    status_code=201,
                    dto=NewGroupBody,
                    return_dto=None,
                    responses=answers(*with_body, 409),
                    summary="Make an unsubscribe group",
                    example=Example(body=group),
                )(self.create),
                get(responses=answers(400, 401, 403, 503), summary="The unsubscribe groups")(self.listing),
                get("/{group_id:str}", responses=answers(*read), summary="An unsubscribe group", example=of_one)(
                    self.show
                ),
                patch(
                    "/{group_id:str}",
                    status_code=201,  # as in SendGrid's API
                    dto=NewGroupBody,
                    return_dto=None,
                    responses=answers(*with_body, 404, 409),
                    summary="Change the fields of a group that are given",
                    example=Example(path=of_one.path, body={"name": "Weekly news"}),
                )(self.change),
                delete(
                    "/{group_id:str}",
                    status_code=204,
                    responses=answers(*read),
                    summary="Delete a group, and that addresses have left it",
                    example=of_one,
                )(self.delete),
                post(
                    "/{group_id:str}/suppressions",
                    status_code=201,
                    dto=RecipientsBody,
                    return_dto=None,
                    responses=answers(*with_body, 404),
                    summary="Take addresses out of a group",
                    example=body,
                )(self.suppress),
                get(
                    "/{group_id:str}/suppressions",
                    responses=answers(*read),
                    summary="The addresses that have left a group, the newest first",
                    description="The header Link names the next page of a group that has more.",
                    example=of_one,
                )(self.suppressed),
                post(
                    "/{group_id:str}/suppressions/search",
                    status_code=200,
                    dto=RecipientsBody,
                    return_dto=None,
                    responses=answers(*with_body, 404),
                    summary="Those of the addresses that have left a group",
                    example=body,
                )(self.search),
                delete(
                    "/{group_id:str}/suppressions/{email:str}",
                    status_code=204,
                    responses=answers(*read),
                    summary="Let an address into a group again",
                    example=Example(path={"group_id": GROUP_ID, "email": "ada@example.com"}),
                )(self.lift),
                tag="suppressions",
            ),
            resource(
                "/v3/asm/suppressions",
                get(
                    responses=answers(400, 401, 403, 503),
                    summary="Who has left which group, the newest first",
                    description="The header Link names the next page.",
                )(self.entries),
                get(
                    "/{email:str}",
                    responses=answers(400, 401, 403, 503),
                    summary="The groups, and whether an address has left them",
                    example=Example(path={"email": "ada@example.com"}),
                )(self.of_address),
                post(
                    "/global",
                    status_code=201,
                    dto=RecipientsBody,
                    return_dto=None,
                    responses=answers(*with_body),
                    summary="Unsubscribe addresses from all mail",
                    example=Example(body={"recipient_emails": ["ada@example.com"]}),
                )(self.suppress_all),
                get(
                    "/global/{email:str}",
                    responses=answers(400, 401, 403, 503),
                    summary="Whether an address is unsubscribed from all mail",
                    example=Example(path={"email": "ada@example.com"}),
                )(self.is_global),
                delete(
                    "/global/{email:str}",
                    status_code=204,
                    responses=answers(400, 401, 403, 503),
                    summary="Subscribe an address again",
                    example=Example(path={"email": "ada@example.com"}),
                )(self.lift_all),
                tag="suppressions",
            ),
        ]

    async def create(self, request: ApiRequest, data: JSONBody[NewGroup]) -> Group:
        _check(data, is_new=True)
        assert data.name is not None and data.description is not None
        try:
            made = await self._journal.suppression_groups.create(
                request.auth.tenant_id, data.name, data.description, is_default=bool(data.is_default)
            )
        except GroupNameTaken:
            raise Conflict(NAME_TAKEN, "name", help=help_texts.GROUPS) from None
        except TooManyGroups:
            raise Invalid([Fault(TOO_MANY, None, help_texts.GROUPS)]) from None
        if made is None:
            raise NotFound("The tenant does not exist", help=help_texts.KEY)
        return made

    async def listing(
        self, request: ApiRequest, id: Annotated[list[int] | None, QueryParameter(max_items=MOST_GROUPS)] = None
    ) -> list[Group]:
        ids = None if id is None else [one for one in id if 0 < one <= MOST_GROUP_ID]
        return await self._journal.suppression_groups.all(request.auth.tenant_id, ids)

    async def show(self, request: ApiRequest, group_id: FromPath[str]) -> Group:
        found = await self._journal.suppression_groups.find(request.auth.tenant_id, _id(group_id))
        if found is None:
            raise NotFound(NO_GROUP, help=help_texts.GROUPS)
        return found

    async def change(self, request: ApiRequest, group_id: FromPath[str], data: JSONBody[NewGroup]) -> Group:
        _check(data, is_new=False)
        try:
            changed = await self._journal.suppression_groups.change(
                request.auth.tenant_id,
                _id(group_id),
                name=data.name,
                description=data.description,
                is_default=data.is_default,
            )
        except GroupNameTaken:
            raise Conflict(NAME_TAKEN, "name", help=help_texts.GROUPS) from None
        if changed is None:
            raise NotFound(NO_GROUP, help=help_texts.GROUPS)
        return changed

    async def delete(self, request: ApiRequest, group_id: FromPath[str]) -> None:
        id, tenant_id = _id(group_id), request.auth.tenant_id
        deleted = await self._journal.suppression_groups.delete(tenant_id, id)
        # Also when it is gone already: another process may have ended between the two.
        await self._journal.suppressions.clear(tenant_id, _GROUP, id)
        if not deleted:
            raise NotFound(NO_GROUP, help=help_texts.GROUPS)

    async def suppress(self, request: ApiRequest, group_id: FromPath[str], data: JSONBody[Recipients]) -> Recipients:
        emails = addresses(data.recipient_emails, "recipient_emails")
        id, now = _id(group_id), datetime.now(UTC)
        if not await self._journal.suppression_groups.suppress(request.auth.tenant_id, id, emails, now):
            raise NotFound(NO_GROUP, help=help_texts.GROUPS)
        return Recipients(emails)

    async def suppressed(
        self,
        request: ApiRequest,
        group_id: FromPath[str],
        limit: Annotated[int, QueryParameter(ge=1, le=MOST_OF_PAGE)] = MOST_OF_PAGE,
        offset: Offset = 0,
        after: After = None,
    ) -> Response[list[str]]:
        id = await self._existing(request, group_id)
        wanted = Wanted(limit=limit, offset=offset, after=position(after))
        found = await self._journal.suppressions.page(request.auth.tenant_id, _GROUP, wanted, id)
        headers = {"Link": next_page(request, place_of(found[-1]))} if len(found) == limit else None
        return Response([entry.email for entry in found], headers=headers)

    async def search(self, request: ApiRequest, group_id: FromPath[str], data: JSONBody[Recipients]) -> list[str]:
        id = await self._existing(request, group_id)
        emails = addresses(data.recipient_emails, "recipient_emails")
        return list(await self._journal.suppressions.among(request.auth.tenant_id, _GROUP, emails, id))

    async def lift(self, request: ApiRequest, group_id: FromPath[str], email: FromPath[str]) -> None:
        id = await self._existing(request, group_id)
        await self._journal.suppressions.lift(request.auth.tenant_id, _GROUP, [email], id)

    async def entries(
        self,
        request: ApiRequest,
        limit: Annotated[int, QueryParameter(ge=1, le=MOST_OF_PAGE)] = MOST_OF_PAGE,
        offset: Offset = 0,
        after: After = None,
    ) -> Response[list[GroupSuppression]]:
        groups, begins = self._journal.suppression_groups, position(after) or FIRST_PAGE
        found = await groups.entries(request.auth.tenant_id, limit, offset, begins)
        headers = None
        if len(found) == limit:
            last = found[-1]
            headers = {"Link": next_page(request, Position(last.created_at, last.address, last.group_id))}
        shown = [
            GroupSuppression(one.email, one.group_id, one.group_name, int(one.created_at.timestamp())) for one in found
        ]
        return Response(shown, headers=headers)

    async def of_address(self, request: ApiRequest, email: FromPath[str]) -> GroupsOfAddress:
        return GroupsOfAddress(await self._journal.suppression_groups.of_address(request.auth.tenant_id, email))

    async def suppress_all(self, request: ApiRequest, data: JSONBody[Recipients]) -> Recipients:
        emails = addresses(data.recipient_emails, "recipient_emails")
        entries = new_entries(request.auth.tenant_id, _ALL, emails, datetime.now(UTC))
        await self._journal.suppressions.add(entries)
        return Recipients(emails)

    async def is_global(self, request: ApiRequest, email: FromPath[str]) -> GlobalSuppression:
        found = await self._journal.suppressions.entry(request.auth.tenant_id, _ALL, email)
        return GlobalSuppression() if found is None else GlobalSuppression(found.email)

    async def lift_all(self, request: ApiRequest, email: FromPath[str]) -> None:
        await self._journal.suppressions.lift(request.auth.tenant_id, _ALL, [email])

    async def _existing(self, request: ApiRequest, group_id: str) -> int:
        id = _id(group_id)
        if not await self._journal.suppressions.groups_among(request.auth.tenant_id, [id]):
            raise NotFound(NO_GROUP, help=help_texts.GROUPS)
        return id


def _check(data: NewGroup, *, is_new: bool) -> None:
    faults: list[Fault] = []
    for name, longest in (("name", LONGEST_NAME), ("description", LONGEST_DESCRIPTION)):
        text = getattr(data, name)
        if text is not None:
            check_text(text, name, faults, longest=longest)
        if (text is None and is_new) or (text is not None and not text.strip()):
            faults.append(Fault(f"The {name} is required", name))
    if faults:
        raise Invalid(faults)


def _id(text: str) -> int:
    """Raises NotFound."""
    id = number_id(text)
    if id is None or id > MOST_GROUP_ID:
        raise NotFound(NO_GROUP, help=help_texts.GROUPS)
    return id
