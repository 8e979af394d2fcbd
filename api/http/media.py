"""What a client accepts (RFC 9110 §12.5.1)."""

from litestar.types import Scope

from api.http.body import header


def accepted(scope: Scope) -> list[str]:
    """The media types that the client names, in lower case, without parameters and ranks."""
    return [one.partition(";")[0].strip().lower() for one in (header(scope, b"accept") or "").split(",")]
