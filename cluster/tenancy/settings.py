"""The defaults of a tenant, as it sets them: they are stored as JSON, without those that are as we deliver them. Pure.

A request's settings merge over them.
"""

from typing import Literal

import msgspec
from msgspec import Struct

ImageMode = Literal["url", "cid"]
TlsVersion = Literal["1.1", "1.2", "1.3"]


class TenantSettings(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """All settings of a tenant."""

    require_tls: bool = False
    """Mail goes over TLS only."""
    require_valid_certificate: bool = False
    """Mail goes to hosts with a valid certificate only."""
    tls_version: float = 1.2
    """The lowest version of TLS."""
    image_embed_mode: ImageMode = "url"
    time_zone: str = "UTC"
    """The zone of the days of statistics."""


DEFAULTS = TenantSettings()

encode = msgspec.json.Encoder().encode
_decoder = msgspec.json.Decoder(TenantSettings)


def decode(stored: str | bytes | None) -> TenantSettings:
    """The settings as the journal stores them; None and ``{}`` are the defaults, which all tenants share."""
    return _decoder.decode(stored) if stored and stored not in ("{}", b"{}") else DEFAULTS
