"""POST /api/admin/suppressions/purge: takes off the lists what a bounce rule put there, one part per call.

For a rule that was wrong: each entry of a bounce has the name of the rule that classified the reply. The entries of all
tenants are looked at, since a rule holds for all of them.
"""

import logging
from datetime import datetime
from typing import Annotated

import msgspec
from litestar.handlers import HTTPRouteHandler
from litestar.params import JSONBody
from msgspec import Meta, Struct

from api.admin.changing import post
from api.http.body import TypedBody
from api.http.errors import answers
from api.http.examples import Example
from api.http.refusals import Fault, Invalid
from api.http.texts import check_text
from cluster.journal.journal import Journal
from cluster.suppression.lists import SuppressionList

LONGEST_RULE = 200
PART = 10_000

log = logging.getLogger(__name__)


class PurgeRequest(Struct, frozen=True, kw_only=True):
    """Which entries to delete: those that this rule has made since this time."""

    rule: str | None = None
    since: Annotated[datetime, Meta(tz=True)] | None = None
    list: SuppressionList | None = None
    """Only of this list."""
    dry_run: bool = False
    """Count all that matches, and delete nothing."""


class PurgeAnswer(Struct, frozen=True, kw_only=True):
    """What became of this part."""

    matched: int
    deleted: int
    by_list: dict[str, int]
    """The entries that matched, by their list."""
    more: bool
    """Whether the call is to be repeated for the rest."""


class PurgeBody(TypedBody[PurgeRequest]):
    decoder = msgspec.json.Decoder(PurgeRequest)


class Unlisting:
    """The route of this module."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    def handlers(self) -> list[HTTPRouteHandler]:
        route = post(
            "/suppressions/purge",
            status_code=200,
            dto=PurgeBody,
            return_dto=None,
            responses=answers(400, 401, 408, 413, 415, 422, 503),
            summary="Delete the entries of suppression lists that a bounce rule has made, in parts",
            example=Example(body={"rule": "code-mailbox", "since": "2026-04-23T10:00:00Z", "dry_run": True}),
        )
        return [route(self.purge)]

    async def purge(self, data: JSONBody[PurgeRequest]) -> PurgeAnswer:
        faults: list[Fault] = []
        if not data.rule:
            faults.append(Fault("The name of a bounce rule is required", "rule"))
        else:
            check_text(data.rule, "rule", faults, longest=LONGEST_RULE)
        if data.since is None:
            faults.append(Fault("The time since which entries are deleted is required", "since"))
        if faults or not data.rule or data.since is None:
            raise Invalid(faults)
        suppressions = self._journal.suppressions
        if data.dry_run:
            by_list = await suppressions.made_by_rule(data.rule, data.since, data.list)
            return PurgeAnswer(matched=sum(by_list.values()), deleted=0, by_list=by_list, more=False)
        by_list = await suppressions.purge_rule(data.rule, data.since, data.list, PART)
        deleted = sum(by_list.values())
        log.info("suppressions purged rule=%r since=%s list=%s deleted=%d", data.rule, data.since, data.list, deleted)
        return PurgeAnswer(matched=deleted, deleted=deleted, by_list=by_list, more=deleted == PART)
