"""The journal's part for the image library. The bytes of images are stored by content, once per tenant."""

from collections.abc import Collection, Mapping
from datetime import datetime
from hashlib import sha256

from msgspec import Struct

from cluster.ids import new_id
from cluster.images.urls import Shown
from cluster.journal.database import JournalPart, Rejected, Row, execute, rows

MOST_IMAGES = 10_000
"""The most images of a tenant."""
MOST_BYTES = 1024 * 1024 * 1024
"""The most bytes of a tenant's images, without their thumbnails."""


class TooManyImages(Exception):
    """The tenant has ``MOST_IMAGES`` or ``MOST_BYTES`` already."""


class NewImage(Struct, frozen=True, kw_only=True):
    """An image to add."""

    filename: str
    original_filename: str
    """As the client gave it."""
    content_type: str
    content: bytes
    width: int
    height: int
    """Pixels, as it is shown."""
    alt_text: str
    folder: str
    thumbnail: bytes
    thumbnail_type: str


class Image(Struct, frozen=True, kw_only=True):
    """An image as its tenant sees it."""

    id: str
    tenant_id: str
    filename: str
    original_filename: str
    content_type: str
    size: int
    width: int
    height: int
    alt_text: str
    folder: str
    views: int
    created_at: datetime
    updated_at: datetime


class ImagePage(Struct, frozen=True, kw_only=True):
    images: list[Image]
    total: int


class PublicImage(Struct, frozen=True, kw_only=True):
    """What is served of an image to anybody."""

    tenant_id: str
    content_type: str
    file: bytes
    """SHA-256 of the content."""
    thumbnail_type: str
    thumbnail: bytes
    """SHA-256 of the content."""
    is_deleted: bool


class StoredImage(Struct, frozen=True, kw_only=True):
    """Where the bytes of an image and of its thumbnail are."""

    filename: str
    content_type: str
    file: bytes
    """SHA-256 of the content."""
    size: int
    thumbnail_type: str
    thumbnail: bytes
    """SHA-256 of the content."""
    thumbnail_size: int

    def file_of(self, shown: Shown) -> tuple[bytes, int, str]:
        """The SHA-256 of the content, its bytes, and its type."""
        if shown.is_thumbnail:
            return self.thumbnail, self.thumbnail_size, self.thumbnail_type
        return self.file, self.size, self.content_type


class Images(JournalPart):
    """Adds, finds, changes and deletes images."""

    async def create(self, tenant_id: str, new: NewImage) -> Image:
        """Add an image. Raises TooManyImages, and Rejected for a tenant that does not exist."""
        file, thumbnail = sha256(new.content).digest(), sha256(new.thumbnail).digest()
        async with self._database.transaction() as connection:
            if not await rows(connection, "lock_tenant", id=tenant_id):
                raise Rejected(f"there is no tenant {tenant_id}")
            ((count, size),) = await rows(connection, "image_usage", tenant_id=tenant_id)
            if count >= MOST_IMAGES or size + len(new.content) > MOST_BYTES:
                raise TooManyImages
            for sha, content in {file: new.content, thumbnail: new.thumbnail}.items():
                await execute(connection, "keep_image_file", tenant_id=tenant_id, sha256=sha, content=content)
            created = await rows(
                connection,
                "create_image",
                id=new_id("img_"),
                tenant_id=tenant_id,
                filename=new.filename,
                original_filename=new.original_filename,
                content_type=new.content_type,
                size=len(new.content),
                width=new.width,
                height=new.height,
                alt_text=new.alt_text,
                folder=new.folder,
                file=file,
                thumbnail=thumbnail,
                thumbnail_type=new.thumbnail_type,
            )
        return _image(created[0])

    async def page(
        self, tenant_id: str, *, folder: str | None, search: str | None, limit: int, offset: int
    ) -> ImagePage:
        """The tenant's images, the newest first. ``search``: a part of the filename or of the alternative text, in
        either case."""
        async with self._database.searching() as connection:
            found = await rows(
                connection, "images", tenant_id=tenant_id, folder=folder, search=search, limit=limit, offset=offset
            )
            ((total,),) = await rows(connection, "count_images", tenant_id=tenant_id, folder=folder, search=search)
        return ImagePage(images=list(map(_image, found)), total=total)

    async def folders(self, tenant_id: str) -> list[str]:
        """The folders that have images."""
        return [folder for (folder,) in await self._database.rows("image_folders", tenant_id=tenant_id)]

    async def find(self, tenant_id: str, id: str) -> Image | None:
        row = await self._database.row("image", tenant_id=tenant_id, id=id)
        return _image(row) if row else None

    async def change(self, tenant_id: str, id: str, *, alt_text: str | None, folder: str | None) -> Image | None:
        """Change what is not None; None when the tenant does not have it."""
        row = await self._database.row("change_image", tenant_id=tenant_id, id=id, alt_text=alt_text, folder=folder)
        return _image(row) if row else None

    async def delete(self, tenant_id: str, id: str) -> bool:
        """Delete an image, and its bytes unless another image has the same; False when the tenant does not have it."""
        async with self._database.transaction() as connection:
            # Another image of the same content may be added now.
            await rows(connection, "lock_tenant", id=tenant_id)
            deleted = await rows(connection, "delete_image", tenant_id=tenant_id, id=id)
            if deleted:
                await execute(connection, "drop_image_files", tenant_id=tenant_id, files=list(deleted[0]))
        return bool(deleted)

    async def public(self, id: str) -> PublicImage | None:
        """An image of any tenant, also a deleted one."""
        row = await self._database.row("public_image", id=id)
        if row is None:
            return None
        tenant_id, content_type, file, thumbnail_type, thumbnail, is_deleted = row
        return PublicImage(
            tenant_id=tenant_id,
            content_type=content_type,
            file=file,
            thumbnail_type=thumbnail_type,
            thumbnail=thumbnail,
            is_deleted=is_deleted,
        )

    async def content(self, tenant_id: str, sha: bytes) -> bytes | None:
        """The bytes with this SHA-256; None when no image has them any more."""
        row = await self._database.row("image_content", tenant_id=tenant_id, sha256=sha)
        return row[0] if row else None

    async def stored(self, tenant_id: str, ids: Collection[str]) -> dict[str, StoredImage]:
        """Those of the tenant's images that are there, by id."""
        found = await self._database.rows("images_to_embed", tenant_id=tenant_id, ids=list(ids))
        return {id: StoredImage(**dict(zip(StoredImage.__struct_fields__, row, strict=True))) for id, *row in found}

    async def contents(self, tenant_id: str, hashes: Collection[bytes]) -> dict[bytes, bytes]:
        """The bytes by their SHA-256, without those that no image has any more."""
        return dict(await self._database.rows("image_contents", tenant_id=tenant_id, files=list(hashes)))

    async def viewed(self, views: Mapping[str, int]) -> None:
        """Add to the views of images, by their ids."""
        ids = sorted(views)  # in one order, so that two processes do not wait for each other
        await self._database.execute("count_views", ids=ids, views=[views[id] for id in ids])


def _image(row: Row) -> Image:
    return Image(**dict(zip(Image.__struct_fields__, row, strict=True)))
