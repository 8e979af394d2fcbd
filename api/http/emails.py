"""Addresses in the bodies of these routes. Pure."""

from collections.abc import Sequence
from contextlib import suppress

from api.http.refusals import Enough, Fault, Faults, Invalid
from cluster.message.addresses import bare, is_address

MOST_EMAILS = 10_000


def addresses(emails: Sequence[str] | None, field: str) -> list[str]:
    """The addresses that a body gives, each once. Raises Invalid with all faults."""
    if not emails:
        raise Invalid([Fault(f"Give 1 to {MOST_EMAILS:,} addresses", field)])
    if len(emails) > MOST_EMAILS:
        raise Invalid([Fault(f"At most {MOST_EMAILS:,} addresses", field)])
    faults = Faults()
    found: dict[str, None] = {}
    with suppress(Enough):
        for index, text in enumerate(emails):
            email = bare(text)
            if is_address(email):
                found[email] = None
            else:
                faults.append(Fault("This is not an email address", f"{field}[{index}]"))
    if faults:
        raise Invalid(faults)
    return list(found)
