"""The texts of a template's version, and how a request names them. Both are stored encoded (msgpack)."""

from typing import Literal

import msgspec
from msgspec import Struct

Generation = Literal["dynamic", "legacy"]
"""The language of a template's texts: Handlebars, or SendGrid's legacy substitutions."""


class TemplateTexts(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The texts of a template's version, as their author wrote them. They are stored once, by the SHA-256 of their
    encoded form, and never change."""

    generation: Generation = "dynamic"
    subject: str = ""
    preheader: str = ""
    html: str = ""
    plain: str = ""


class TemplateUse(Struct, frozen=True, array_like=True):
    """The version that a request's messages are rendered from: what was active when the request was accepted."""

    version_id: str
    texts: bytes
    """SHA-256 of its encoded ``TemplateTexts``."""


encode_texts = msgspec.msgpack.Encoder().encode
decode_texts = msgspec.msgpack.Decoder(TemplateTexts).decode
