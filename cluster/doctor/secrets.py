"""Checks of secrets: whether they are there, open what was sealed with them, and how old they are."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime

from cluster.doctor.findings import Finding, Installation, ok, problem, warning
from cluster.doctor.judging import secrets as judging
from cluster.doctor.reading import read_journal
from cluster.installation.local_secrets import DEMO_KEY, RAY_TOKEN, SQL_PASSWORD, demo_key, ray_token, sql_password
from cluster.installation.owners import SERVER_FOLDER
from cluster.installation.private_files import Unsafe
from cluster.journal.journal import Unavailable
from cluster.vault import FILE, RESTORE, KeyRing, WrongKey, find_ring

SEALED_LOOKED_AT = 10_000
"""Number of encrypted values that are checked, the newest first."""
MOST_TOKENS = 20
"""Number of operators' tokens that are named."""

_REMOVE = "remove it and restart postray, which makes a new one"
REPLACED_BY = {FILE: "postray secret rotate", SQL_PASSWORD: _REMOVE, RAY_TOKEN: _REMOVE}
"""Files with secrets, and what makes new ones."""


def well_formed(installation: Installation) -> Iterator[Finding]:
    """Whether the secrets exist and are well-formed."""
    settings, data_dir = installation.settings, installation.data_dir
    readers: dict[str, Callable[[], object]] = {
        "secret" if settings.secret else FILE: lambda: _ring(installation),
        DEMO_KEY: lambda: demo_key(data_dir),
        RAY_TOKEN: lambda: ray_token(data_dir),
        SQL_PASSWORD: lambda: sql_password(data_dir),
    }
    for name, read in readers.items():
        try:
            found = read()
        except Unsafe as error:
            yield problem(str(error))
            continue
        if found is not None:
            yield ok(f"{name} is there and well-formed")
        elif name == FILE and (data_dir / SERVER_FOLDER / "PG_VERSION").exists():
            yield problem(f"{data_dir / FILE} is missing: {RESTORE}")


def _ring(installation: Installation) -> KeyRing | None:
    """Raises Unsafe."""
    settings = installation.settings
    return find_ring(settings.secret, settings.previous_secret, installation.data_dir)


def sealed(installation: Installation) -> Iterator[Finding]:
    """Whether the secret decrypts the encrypted values in the journal."""
    settings = installation.settings
    try:
        ring = _ring(installation)
    except Unsafe:
        return  # another check reports this
    if ring is None:
        return
    if any(one.until is None and one.key != settings.previous_secret for one in ring.former):
        yield warning("the secret was rotated, and is in force once postray is restarted: postray down, postray up")
    if not installation.has_journal:
        yield ok("what was sealed is looked at while postray runs")
        return
    try:
        values = read_journal(installation, lambda journal: journal.sealed.used(SEALED_LOOKED_AT))
    except Unavailable as error:
        yield problem(f"the journal cannot be read: {error}")
        return
    vault, closed, waiting = ring.vault(), 0, 0
    for value in values:
        if vault.is_current(value.content):
            continue
        try:
            vault.open(value.content)
            waiting += 1
        except WrongKey:
            closed += 1
            yield problem(f"{value.what} was sealed with another secret: put back the {FILE} (or secret) of that time")
    if waiting:
        yield warning(f"{waiting} values are sealed with a former secret: postray up seals them anew when it starts")
    elif settings.previous_secret:
        yield warning("nothing is sealed with previous_secret: remove it, once a day has passed since it was replaced")
    if not closed:
        yield ok(f"the secret opens all that was sealed ({len(values)} looked at)")


def ages(installation: Installation) -> Iterator[Finding]:
    """How old secrets are: the longer one is used, the more copies of it there are."""
    settings, data_dir, now = installation.settings, installation.data_dir, datetime.now(UTC)
    for name, remedy in REPLACED_BY.items():
        path = data_dir / name
        if path.exists() and not (name == FILE and settings.secret):
            changed = datetime.fromtimestamp(path.stat().st_mtime, UTC)
            yield judging.of_file(name, now - changed, remedy)
    if not installation.has_journal:
        yield ok("the ages of signing keys and operators' tokens are looked at while postray runs")
        return
    before = now - judging.OLD
    try:
        keys = read_journal(installation, lambda journal: journal.secret_ages.signing_keys(before))
        tokens = read_journal(installation, lambda journal: journal.secret_ages.unused_tokens(before, MOST_TOKENS))
    except Unavailable as error:
        yield problem(f"the journal cannot be read: {error}")
        return
    yield judging.of_signing_keys(keys)
    yield from judging.of_tokens(tokens)
