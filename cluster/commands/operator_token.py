"""Operators' tokens: making, listing and revoking them."""

import click

from cluster.commands.instance import Instance, path_part
from cluster.commands.output import NAME, console, json_option, moment, plain, print_json, table


@click.group("operator-token")
def operator_token() -> None:
    """Tokens with which people and programs call /api/admin. Each has a name and can be revoked."""


@operator_token.command()
@click.argument("name", type=NAME)
@json_option
@click.pass_obj
def add(config: str | None, name: str, as_json: bool) -> None:
    """Make a token; it is shown once. NAME says who or what uses it."""
    made = Instance.of(config).post("operator-tokens", name=name)
    if as_json:
        print_json(made)
        return
    console.print(f"token   {made['token']}", soft_wrap=True)
    console.print("It is not shown again. It may do all that an operator may.")


@operator_token.command("list")
@json_option
@click.pass_obj
def list_(config: str | None, as_json: bool) -> None:
    """The tokens, the newest first, with their last use."""
    answer = Instance.of(config).get("operator-tokens")
    if as_json:
        print_json(answer)
        return
    if not answer["tokens"]:
        console.print("no token was made; postray's own commands use one that is derived from the secret")
        return
    shown = table("name", "=token", "=made (UTC)", "=last used", "=revoked", "=id")
    for token in answer["tokens"]:
        shown.add_row(
            plain(token["name"]),
            f"{token['prefix']}…",
            moment(token["created_at"]),
            moment(token["last_used_at"]) or "never",
            moment(token["revoked_at"]),
            token["id"],
        )
    console.print(shown)


@operator_token.command()
@click.argument("name", type=NAME)
@json_option
@click.pass_obj
def revoke(config: str | None, name: str, as_json: bool) -> None:
    """Revoke the token NAME (its name, or its id). It is refused at once, on every node."""
    revoked = Instance.of(config).delete(f"operator-tokens/{path_part(name)}")
    if as_json:
        print_json(revoked)
        return
    console.print(f"revoked {revoked['name']}", markup=False)
