"""POST /v3/templates/{id}/preview: what a recipient would see of a version, and what the data lacks."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import msgspec
from litestar import post
from litestar.params import FromPath, JSONBody
from msgspec import Struct, structs

from api.http import help_texts
from api.http.body import MAY_BE_EMPTY, ApiRequest, TypedBody
from api.http.errors import answers
from api.http.examples import TEMPLATE_ID, Example
from api.http.existing import TEMPLATE, existing
from api.http.free_json import check_json
from api.http.ignored import ignored_by
from api.http.refusals import Fault, Faults, Invalid
from api.http.routes import RouteGroup, resource
from api.templates.bodies import LONGEST_CONTENT, example_data
from api.templates.missing_names import warnings
from api.templates.saving import Saving
from cluster.ids import is_id
from cluster.journal.journal import Journal
from cluster.journal.templates import Version
from cluster.message.substitution import LONGEST_SUBSTITUTIONS, substitute
from cluster.templates.compiled import compile_texts
from cluster.templates.handlebars.bounds import Budget
from cluster.templates.handlebars.errors import TooMuch
from cluster.templates.handlebars.text import compile_text, literal_text

LARGEST_BODY = 2 * 1024 * 1024
LONGEST_KEY = 200
"""Characters of a key that a fault shows."""
_EMPTY = literal_text("")


class PreviewRequest(Struct, frozen=True, kw_only=True):
    """What to preview, and with which data."""

    version_id: str | None = None
    """By default the active version."""
    dynamic_template_data: dict[str, Any] | None = None
    """By default the version's ``test_data``."""
    substitutions: dict[str, str] | None = None
    """For a legacy template."""


class Preview(Struct, frozen=True, kw_only=True):
    """A version as a recipient would see it. A text that the version does not have is empty."""

    subject: str
    preheader: str
    html_content: str
    """With the hidden preheader in it."""
    plain_content: str
    warnings: list[str]
    """Names that the version uses and the data does not have, and the reverse."""


class PreviewBody(TypedBody[PreviewRequest]):
    decoder = msgspec.json.Decoder(PreviewRequest)


NO_BODY = PreviewRequest()


class PreviewCall:
    """The route of this module."""

    def __init__(self, journal: Journal, saving: Saving, max_body_bytes: int) -> None:
        """``max_body_bytes`` is the setting http.max_body_bytes."""
        self._journal = journal
        self._saving = saving
        self._max_body_bytes = min(LARGEST_BODY, max_body_bytes)

    def routes(self) -> RouteGroup:
        preview = post(
            "/preview",
            status_code=200,
            dto=PreviewBody,
            return_dto=None,
            opt={MAY_BE_EMPTY: True},
            request_max_body_size=self._max_body_bytes,
            responses=answers(400, 401, 403, 404, 408, 413, 415, 422, 503),
            summary="Show a version with data, without sending it",
            example=Example(path={"id": TEMPLATE_ID}, body={"dynamic_template_data": {"name": "Ada"}}),
        )
        return resource("/v3/templates/{id:str}", preview(self.preview), tag="templates")

    async def preview(
        self, request: ApiRequest, id: FromPath[str], data: JSONBody[PreviewRequest] = NO_BODY
    ) -> Preview:
        version = await self._version(request.auth.tenant_id, id, data.version_id)
        if data.dynamic_template_data and version.fields.texts.generation == "legacy":
            ignored_by(request.scope).ignore("dynamic_template_data")
            data = structs.replace(data, dynamic_template_data=None)
        _check(version, data)
        return await self._saving.run(request.auth.tenant_id, partial(_shown, version, data))

    async def _version(self, tenant_id: str, id: str, version_id: str | None) -> Version:
        """Raises NotFound, and Invalid when there is no such version, or none is active."""
        stored = self._journal.templates
        template = await existing(TEMPLATE, id, partial(stored.find, tenant_id))
        version = None
        if version_id is None or is_id("v_", version_id):
            version = await stored.version(tenant_id, template.id, version_id)
        if version is None:
            message = "The template has no such version" if version_id is not None else "No version is active: name one"
            raise Invalid([Fault(message, "version_id", help_texts.TEMPLATE_VERSION)])
        return version


def _check(version: Version, data: PreviewRequest) -> None:
    """Raises Invalid when the data is of the other generation, or too large."""
    faults = Faults()
    if version.fields.texts.generation == "dynamic" and data.substitutions:
        faults.append(Fault("A dynamic template takes dynamic_template_data instead", "substitutions"))
    for key, value in (data.substitutions or {}).items():
        if "\0" in key or "\0" in value:
            faults.append(Fault("Text may not contain NUL", f"substitutions.{key[:LONGEST_KEY]}"))
    if sum(len(text.encode()) for pair in (data.substitutions or {}).items() for text in pair) > LONGEST_SUBSTITUTIONS:
        faults.append(Fault(f"At most {LONGEST_SUBSTITUTIONS} bytes in all", "substitutions"))
    if data.dynamic_template_data:
        check_json(data.dynamic_template_data, "dynamic_template_data", faults, longest=LONGEST_CONTENT)
    if faults:
        raise Invalid(faults)


def _shown(version: Version, wanted: PreviewRequest) -> Preview:
    """Raises Invalid for data with which the version exceeds its bounds."""
    texts = version.fields.texts
    compiled = compile_texts(texts)
    if texts.generation == "legacy":
        substitutions = wanted.substitutions or {}
        parts = {kind: substitute(text.literals[0], substitutions) for kind, text in compiled.parts}
        return _preview(substitute(texts.subject, substitutions), substitute(texts.preheader, substitutions), parts, [])
    data = wanted.dynamic_template_data
    if data is None:
        data = example_data(version.fields.test_data) or {}
    preheader = compile_text(texts.preheader, is_html=False) if texts.preheader else _EMPTY
    budget = Budget()
    try:
        parts = {kind: text.whole(data, budget) for kind, text in compiled.parts}
        subject, shown_preheader = compiled.subject.whole(data, budget), preheader.whole(data, Budget())
    except TooMuch as error:
        raise Invalid([Fault(error.reason, "dynamic_template_data", help_texts.SHORTER_TEXTS)]) from error
    used = compiled.subject.names.union(*[text.names for _, text in compiled.parts])
    return _preview(subject, shown_preheader, parts, warnings(used, data))


def _preview(subject: str, preheader: str, parts: Mapping[str, str], warnings: list[str]) -> Preview:
    return Preview(
        subject=subject,
        preheader=preheader,
        html_content=parts.get("text/html", ""),
        plain_content=parts.get("text/plain", ""),
        warnings=warnings,
    )
