"""The filename of an image: as it was uploaded, with an extension of its proven format."""

from cluster.images.outline import CONTENT_TYPES

LONGEST_FILENAME = 255
_EXTENSIONS = {
    "image/png": (".png",),
    "image/jpeg": (".jpg", ".jpeg", ".jpe"),
    "image/gif": (".gif",),
    "image/webp": (".webp",),
}
"""The first is the usual one."""
_ALL = {extension for extensions in _EXTENSIONS.values() for extension in extensions}
assert _EXTENSIONS.keys() == set(CONTENT_TYPES.values())


def filename_for(uploaded: str, content_type: str) -> str:
    """``uploaded``: as the client gave it, without folders; "" gives "image" and the extension. At most
    ``LONGEST_FILENAME`` characters."""
    usual = _EXTENSIONS[content_type][0]
    stem, dot, extension = uploaded.rpartition(".")
    ending = (dot + extension).lower()
    if stem and ending in _EXTENSIONS[content_type]:
        return stem[: LONGEST_FILENAME - len(ending)] + dot + extension
    if not dot or ending not in _ALL:
        stem = uploaded
    return (stem.strip(". ") or "image")[: LONGEST_FILENAME - len(usual)] + usual
