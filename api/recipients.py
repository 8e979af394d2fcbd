"""/v3/recipients/erasejob: erases what there is about recipients, in SendGrid v3's shape; and how far that is."""

import msgspec
from litestar import get, post
from litestar.params import FromPath, JSONBody
from msgspec import Struct

from api.http.body import ApiRequest, TypedBody
from api.http.emails import addresses
from api.http.errors import answers
from api.http.examples import ERASE_JOB_ID, Example
from api.http.existing import ERASE_JOB, existing
from api.http.refusals import Fault, Invalid
from api.http.routes import RouteGroup, resource
from cluster.journal.journal import Journal
from cluster.journal.recipient_erasure import MOST_ADDRESSES, Stage

FIELD = "email_addresses"


class Erase(Struct, frozen=True):
    """Whose data to erase."""

    email_addresses: list[str] | None = None


class EraseBody(TypedBody[Erase]):
    decoder = msgspec.json.Decoder(Erase)


class AcceptedJob(Struct, frozen=True):
    """The job that erases."""

    job_id: str


class ErasureState(Struct, frozen=True):
    """A job. Its ``status`` is ``pending`` or ``done``."""

    job_id: str
    status: str
    created_at: int
    """Seconds since the epoch."""
    finished_at: int | None


class RecipientCalls:
    """The routes of this module."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    def routes(self) -> RouteGroup:
        return resource(
            "/v3/recipients/erasejob",
            post(
                status_code=202,
                dto=EraseBody,
                return_dto=None,
                responses=answers(400, 401, 403, 408, 413, 415, 422, 503),
                summary="Erase what there is about recipients, in the background; lists keep hashes of their addresses",
                example=Example(body={FIELD: ["ada@example.com"]}),
            )(self.erase),
            get(
                "/{id:str}",
                responses=answers(401, 403, 404, 503),
                summary="Whether an erasure is done",
                example=Example(path={"id": ERASE_JOB_ID}),
            )(self.show),
            tag="recipients",
        )

    async def erase(self, request: ApiRequest, data: JSONBody[Erase]) -> AcceptedJob:
        return await requested(self._journal, request.auth.tenant_id, data)

    async def show(self, request: ApiRequest, id: FromPath[str]) -> ErasureState:
        return await state_of(self._journal, request.auth.tenant_id, id)


async def requested(journal: Journal, tenant_id: str, erase: Erase) -> AcceptedJob:
    """A new job. Raises Invalid."""
    if erase.email_addresses and len(erase.email_addresses) > MOST_ADDRESSES:
        raise Invalid([Fault(f"At most {MOST_ADDRESSES:,} addresses", FIELD)])
    emails = addresses(erase.email_addresses, FIELD)
    return AcceptedJob(await journal.recipient_erasure.add(tenant_id, emails))


async def state_of(journal: Journal, tenant_id: str, id: str) -> ErasureState:
    """A job of the tenant. Raises NotFound."""
    found = await existing(ERASE_JOB, id, lambda id: journal.recipient_erasure.find(tenant_id, id))
    return ErasureState(
        found.id,
        "done" if found.stage == Stage.DONE else "pending",
        int(found.created_at.timestamp()),
        int(found.finished_at.timestamp()) if found.finished_at else None,
    )
