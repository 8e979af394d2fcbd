"""What a client accepts (RFC 9110 §12.5.1)."""

from litestar.types import Scope

from api.http.body import header


def accepted(scope: Scope) -> dict[str, float]:
    """The weights of the media types that the client names, in lower case, without other parameters: from above 0 to 1.
    What it names with weight 0, or with none that is a number, is not among them."""
    weights = {}
    for one in (header(scope, b"accept") or "").split(","):
        media_type, *parameters = (part.strip().lower() for part in one.split(";"))
        if (weight := _weight(parameters)) > 0:
            weights[media_type] = weight
    return weights


def _weight(parameters: list[str]) -> float:
    given = next((value for name, _, value in (one.partition("=") for one in parameters) if name.strip() == "q"), "1")
    try:
        return min(float(given), 1.0)
    except ValueError:
        return 0.0
