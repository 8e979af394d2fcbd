"""/v3/images: a tenant's image library."""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

import msgspec
from litestar import delete, get, patch, post
from litestar.openapi.spec import OpenAPIMediaType, RequestBody, Schema
from litestar.openapi.spec.enums import OpenAPIFormat, OpenAPIType
from litestar.params import FromPath, JSONBody, QueryParameter
from msgspec import Struct

from api.http import help_texts
from api.http.body import ApiRequest, TypedBody, header
from api.http.errors import answers
from api.http.examples import IMAGE_ID, Example
from api.http.existing import IMAGE, existing
from api.http.forms import FILE, FORM
from api.http.limiting import LimitedOperation
from api.http.refusals import Conflict, Faults, Invalid
from api.http.routes import RouteGroup, resource
from api.images.cache import ImageCache
from api.images.checking import ImageChecks
from api.images.counting import ViewCounts
from api.images.form import MOST_BYTES, received
from api.images.serving import PATH
from api.images.texts import CHOICES, LONGEST, REMOVE_LOCATION, checked
from cluster.images.names import filename_for
from cluster.intake.intake import Intake
from cluster.journal.images import MOST_BYTES as MOST_BYTES_IN_ALL
from cluster.journal.images import MOST_IMAGES, Image, NewImage, TooManyImages
from cluster.journal.journal import Journal
from cluster.tenancy.links import base_url

LONGEST_SEARCH = 255
LARGEST_PAGE = 100
USUAL_PAGE = 50
LAST_PAGE = MOST_IMAGES
_MEGABYTES = MOST_BYTES_IN_ALL // 1024**2


class ShownImage(Struct, frozen=True, kw_only=True):
    """An image of the library. ``url`` serves it to everybody."""

    id: str
    filename: str
    """``original_filename``, with the extension of the image's format."""
    original_filename: str
    content_type: str
    size: int
    """Bytes."""
    width: int
    """Pixels, as it is shown."""
    height: int
    url: str
    thumbnail_url: str
    alt_text: str
    folder: str
    views: int
    """How often the image was fetched. A client that keeps it fetches it once."""
    created_at: datetime
    updated_at: datetime


class ImageList(Struct, frozen=True, kw_only=True):
    """A page of images, the newest first."""

    result: list[ShownImage]
    total: int
    page: int
    page_size: int


class FolderList(Struct, frozen=True):
    """The folders that have images."""

    folders: list[str]


class ImageChange(Struct, frozen=True, kw_only=True):
    """What changes of an image."""

    alt_text: str | None = None
    folder: str | None = None


class ImageChangeBody(TypedBody[ImageChange]):
    decoder = msgspec.json.Decoder(ImageChange)


@dataclass
class UploadOperation(LimitedOperation):
    """The OpenAPI entry of the upload."""

    def __post_init__(self) -> None:
        super().__post_init__()
        text = Schema(type=OpenAPIType.STRING)
        form = Schema(
            type=OpenAPIType.OBJECT,
            required=[FILE],
            properties={
                FILE: Schema(
                    type=OpenAPIType.STRING,
                    format=OpenAPIFormat.BINARY,
                    description=f"A JPEG, PNG, GIF or WebP image of at most {MOST_BYTES // 1024**2} MB",
                ),
                "alt_text": text,
                "folder": text,
                REMOVE_LOCATION: Schema(
                    type=OpenAPIType.STRING,
                    enum=list(CHOICES[REMOVE_LOCATION]),
                    description="Whether to take out where a photo was taken, with the other data about it",
                ),
            },
        )
        self.request_body = RequestBody(content={FORM: OpenAPIMediaType(schema=form)}, required=True)


class ImageCalls:
    """The routes of the library."""

    def __init__(
        self,
        journal: Journal,
        checks: ImageChecks,
        cache: ImageCache,
        counts: ViewCounts,
        *,
        public_url: str,
        intake: Intake,
    ) -> None:
        """``public_url`` is http.public_url. ``intake`` knows whether the system is full."""
        self._journal = journal
        self._checks = checks
        self._cache = cache
        self._counts = counts
        self._public_url = public_url.rstrip("/")
        self._intake = intake

    def routes(self) -> RouteGroup:
        one, of_one = "/{id:str}", Example(path={"id": IMAGE_ID})
        with_body = (400, 401, 403, 408, 413, 415, 503)
        return resource(
            "/v3/images",
            post(
                status_code=201,
                operation_class=UploadOperation,
                responses=answers(*with_body, 409),
                summary="Upload an image",
                example=Example(body={FILE: "", "alt_text": "Acme logo", "folder": "brand"}),
            )(self.upload),
            get(
                responses=answers(400, 401, 403, 503),
                summary="The images of the library, the newest first",
                example=Example(query={"folder": "brand", "page": 1, "page_size": 50}),
            )(self.listing),
            get("/folders", responses=answers(401, 403, 503), summary="The folders of the library")(self.folders),
            get(one, responses=answers(400, 401, 403, 404, 503), summary="An image", example=of_one)(self.show),
            patch(
                one,
                dto=ImageChangeBody,
                return_dto=None,
                responses=answers(*with_body, 404, 422),
                summary="Change the alternative text or the folder of an image",
                example=Example(path=of_one.path, body={"alt_text": "Acme corporate logo", "folder": "brand-2026"}),
            )(self.change),
            delete(
                one,
                status_code=204,
                responses=answers(400, 401, 403, 404, 503),
                summary="Delete an image; its URL answers 410 from then on",
                example=of_one,
            )(self.delete),
            tag="images",
        )

    async def upload(self, request: ApiRequest) -> ShownImage:
        self._intake.require_room()
        tenant_id = request.auth.tenant_id
        async with received(request, LONGEST) as upload:
            remove_location = upload.texts.get(REMOVE_LOCATION) == "true"
            proven = await self._checks.check(tenant_id, upload.content, remove_location=remove_location)
            thumbnail = proven.image.thumbnail
            filename = filename_for(upload.filename, proven.content_type)
            new = NewImage(
                filename=filename,
                original_filename=upload.filename or filename,
                content_type=proven.content_type,
                content=proven.content,
                width=proven.image.width,
                height=proven.image.height,
                alt_text=upload.texts.get("alt_text", ""),
                folder=upload.texts.get("folder", ""),
                thumbnail=thumbnail.content if thumbnail else proven.content,
                thumbnail_type=thumbnail.content_type if thumbnail else proven.content_type,
            )
            try:
                image = await self._journal.images.create(tenant_id, new)
            except TooManyImages:
                most = f"at most {MOST_IMAGES:,} images, and {_MEGABYTES:,} MB of them"
                raise Conflict(f"A tenant has {most}", FILE, help_texts.FEWER_IMAGES) from None
        return self._shown(image, await self._base(request))

    async def listing(
        self,
        request: ApiRequest,
        folder: Annotated[str | None, QueryParameter(max_length=LONGEST["folder"])] = None,
        search: Annotated[
            str | None, QueryParameter(max_length=LONGEST_SEARCH, description="In filename and alternative text")
        ] = None,
        page: Annotated[int, QueryParameter(ge=1, le=LAST_PAGE)] = 1,
        page_size: Annotated[int, QueryParameter(ge=1, le=LARGEST_PAGE)] = USUAL_PAGE,
    ) -> ImageList:
        found = await self._journal.images.page(
            request.auth.tenant_id,
            folder=folder,
            search=search or None,
            limit=page_size,
            offset=(page - 1) * page_size,
        )
        base = await self._base(request)
        result = [self._shown(image, base) for image in found.images]
        return ImageList(result=result, total=found.total, page=page, page_size=page_size)

    async def folders(self, request: ApiRequest) -> FolderList:
        return FolderList(await self._journal.images.folders(request.auth.tenant_id))

    async def show(self, request: ApiRequest, id: FromPath[str]) -> ShownImage:
        await self._counts.write()
        tenant_id = request.auth.tenant_id
        image = await existing(IMAGE, id, lambda id: self._journal.images.find(tenant_id, id))
        return self._shown(image, await self._base(request))

    async def change(self, request: ApiRequest, id: FromPath[str], data: JSONBody[ImageChange]) -> ShownImage:
        tenant_id = request.auth.tenant_id
        faults = Faults()
        texts = {
            name: None if value is None else checked(value, name, LONGEST[name], faults)
            for name, value in (("alt_text", data.alt_text), ("folder", data.folder))
        }
        if faults:
            raise Invalid(faults)
        image = await existing(IMAGE, id, lambda id: self._journal.images.change(tenant_id, id, **texts))
        return self._shown(image, await self._base(request))

    async def delete(self, request: ApiRequest, id: FromPath[str]) -> None:
        await existing(IMAGE, id, lambda id: self._journal.images.delete(request.auth.tenant_id, id))
        self._cache.forget(id)

    async def _base(self, request: ApiRequest) -> str:
        """The URL that images of the tenant are below: its branded link, or that of the installation."""
        host = await self._journal.branded_links.in_use(request.auth.tenant_id)
        if self._public_url:
            return base_url(host or "", self._public_url)
        server, port = request.scope["server"] or ("127.0.0.1", None)
        named = header(request.scope, b"host") or f"{server}:{port}"  # HTTP/1.0 may leave Host out
        return base_url(host or "", f"{request.scope['scheme']}://{named}")

    @staticmethod
    def _shown(image: Image, base: str) -> ShownImage:
        url = f"{base}{PATH}/{image.id}"
        return ShownImage(
            id=image.id,
            filename=image.filename,
            original_filename=image.original_filename,
            content_type=image.content_type,
            size=image.size,
            width=image.width,
            height=image.height,
            url=url,
            thumbnail_url=f"{url}?variant=thumbnail",
            alt_text=image.alt_text,
            folder=image.folder,
            views=image.views,
            created_at=image.created_at,
            updated_at=image.updated_at,
        )
