"""Secrets that are old."""

from collections.abc import Iterator, Sequence
from datetime import timedelta

from cluster.doctor.findings import Finding, ok, warning
from cluster.journal.secret_ages import SigningKeys, UnusedToken

OLD = timedelta(days=366)


def of_file(name: str, age: timedelta, remedy: str) -> Finding:
    """``age``: since the file was written."""
    if age <= OLD:
        return ok(f"{name} was written {max(0, age.days)} days ago")
    return warning(f"{name} is {age.days} days old, and still good for each reader that it has had: {remedy}")


def of_signing_keys(old: SigningKeys) -> Finding:
    """``old``: the keys that have signed for longer than ``OLD``."""
    if not old.count:
        return ok(f"no signing key is older than {OLD.days} days")
    named = ", ".join(old.domains) + (", …" if old.count > len(old.domains) else "")
    return warning(
        f"{old.count} signing keys are older than {OLD.days} days ({named}): "
        "postray domains rotate DOMAIN makes new ones"
    )


def of_tokens(unused: Sequence[UnusedToken]) -> Iterator[Finding]:
    for token in unused:
        yield warning(
            f"the operator's token {token.name} was not used for {OLD.days} days: postray operator-token revoke "
            f"{token.name}, unless it is kept for an emergency"
        )
    if not unused:
        yield ok(f"every operator's token was made or used within {OLD.days} days")
