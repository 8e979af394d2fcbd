"""The cluster's secret: rotating it."""

from pathlib import Path

import click

from cluster.commands.instance import run_of, settings_of
from cluster.commands.noting import note
from cluster.commands.output import console, json_option, print_json
from cluster.installation.rotation import MOST_FORMER, TooManyFormer, new_secret, rotate
from cluster.journal.operator_audit import DONE
from cluster.vault import FILE


@click.group()
def secret() -> None:
    """The secret that seals private keys and passwords in the journal."""


@secret.command("rotate")
@json_option
@click.pass_obj
def rotate_(config: str | None, as_json: bool) -> None:
    """Make a new secret. It is in force from the next start on.

    A running postray goes on with the former one until it is restarted. The start seals everything anew, and accepts
    tokens that are derived from the former secret for 24 hours more. Where the settings have the secret, this command
    changes nothing: it says what to set.
    """
    settings = settings_of(config)
    data_dir = Path(settings.data_dir).resolve()
    if settings.secret:
        made = new_secret()
        if as_json:
            print_json({"rotated": False, "secret": made})
            return
        console.print("The settings have the secret. Set previous_secret (POSTRAY_PREVIOUS_SECRET) to the one of now,")
        console.print("and secret (POSTRAY_SECRET) to a new one, such as this:\n")
        console.print(made, soft_wrap=True)
        console.print("\nThen restart: postray down, postray up. Remove previous_secret a day later.")
        return
    file = data_dir / FILE
    try:
        ring = rotate(data_dir)
    except TooManyFormer:
        raise click.ClickException(f"{file} has {MOST_FORMER} former secrets: start postray first") from None
    except OSError as error:
        raise click.ClickException(f"{file} is as it was: {error.strerror}") from error
    if ring is None:
        raise click.ClickException(f"there is no {file} yet: postray up makes it")
    is_running = run_of(settings) is not None
    if is_running:
        note(settings, "", DONE)
    if as_json:
        print_json({"rotated": True, "file": str(file), "restart": is_running})
        return
    console.print(f"{file} has a new secret, and the former one until everything is sealed anew.", soft_wrap=True)
    restart = "Restart for it to be in force: postray down, postray up."
    console.print(restart if is_running else "It is in force from the next start on.")
    console.print("Then copy the file to where you keep the secret.")
