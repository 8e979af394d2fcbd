"""API keys of tenants: making, listing, showing and revoking them."""

import time

import click

from cluster.access.scopes import SCOPES
from cluster.commands.instance import Instance, Json, path_part
from cluster.commands.output import DURATION, NAME, console, json_option, moment, plain, print_json, table


@click.group()
def keys() -> None:
    """API keys of tenants."""


@keys.command()
@click.argument("tenant", type=NAME)
@click.option("--name", type=NAME, default="key", show_default=True, help="What lists call it.")
@click.option(
    "--scope", "scopes", multiple=True, type=click.Choice(tuple(SCOPES)), help="Repeat it; none: every scope."
)
@click.option("--sandbox", is_flag=True, help="Mail is checked and never sent.")
@click.option("--kind", type=click.Choice(("api", "piisend")), help="The API it is for: /v3, or /api/v1.")
@click.option("--expires-in", "expires_in_s", type=DURATION, help="How long it is accepted, such as 90d.")
@click.option("--network", "networks", multiple=True, type=NAME, help="Only from there, such as 192.0.2.0/24.")
@json_option
@click.pass_obj
def add(
    config: str | None,
    tenant: str,
    name: str,
    scopes: tuple[str, ...],
    sandbox: bool,
    kind: str | None,
    expires_in_s: float | None,
    networks: tuple[str, ...],
    as_json: bool,
) -> None:
    """Make an API key for TENANT (its id or its name). Its secret is printed once, and stored nowhere."""
    answer = Instance.of(config).post(
        f"tenants/{path_part(tenant)}/keys",
        name=name,
        scopes=list(scopes) or None,
        sandbox=sandbox,
        kind=kind,
        expires_at=None if expires_in_s is None else time.time() + expires_in_s,
        allowed_networks=list(networks),
    )
    if as_json:
        print_json(answer)
        return
    _show(answer)
    console.print(plain(f"\nsecret  {answer['api_key']}"), soft_wrap=True)
    console.print("It is not shown again.")


@keys.command("list")
@click.argument("tenant", type=NAME)
@json_option
@click.pass_obj
def list_(config: str | None, tenant: str, as_json: bool) -> None:
    """The API keys of TENANT (its id or its name) that are not revoked."""
    answer = Instance.of(config).get(f"tenants/{path_part(tenant)}/keys")
    if as_json:
        print_json(answer)
        return
    if not answer["api_keys"]:
        console.print("the tenant has no keys")
        return
    shown = table("=id", "name", "=secret", "=last used (UTC)", "=expires (UTC)", "scopes")
    for key in answer["api_keys"]:
        shown.add_row(
            plain(key["api_key_id"]),
            plain(key["name"]),
            plain(f"{key['prefix']}…"),
            moment(key["last_used_at"]) or "never",
            moment(key["expires_at"]) or "never",
            plain(_scopes(key)),
        )
    console.print(shown)


@keys.command()
@click.argument("key", type=NAME)
@json_option
@click.pass_obj
def show(config: str | None, key: str, as_json: bool) -> None:
    """What KEY (its id) may do, and when it was last used."""
    answer = Instance.of(config).get(f"keys/{path_part(key)}")
    if as_json:
        print_json(answer)
    else:
        _show(answer)


@keys.command()
@click.argument("key", type=NAME)
@json_option
@click.pass_obj
def revoke(config: str | None, key: str, as_json: bool) -> None:
    """Revoke KEY (its id): within five seconds no node accepts it. Mail that was accepted goes on."""
    answer = Instance.of(config).delete(f"keys/{path_part(key)}")
    if as_json:
        print_json(answer)
    else:
        console.print(plain(f"revoked {answer['api_key_id']} ({answer['name']}) of {answer['tenant_id']}"))


def _show(key: Json) -> None:
    facts = table("", "")
    facts.show_header = False
    for label, value in (
        ("id", key["api_key_id"]),
        ("name", key["name"]),
        ("tenant", key["tenant_id"]),
        ("secret", f"{key['prefix']}…"),
        ("for", "/api/v1" if key["kind"] == "piisend" else "/v3"),
        ("mail", "checked, never sent" if key["sandbox"] else "sent"),
        ("scopes", _scopes(key)),
        ("networks", ", ".join(key["allowed_networks"]) or "any"),
        ("created", moment(key["created_at"])),
        ("expires", moment(key["expires_at"]) or "never"),
        ("last used", moment(key["last_used_at"]) or "never"),
    ):
        facts.add_row(label, plain(value))
    console.print(facts)


def _scopes(key: Json) -> str:
    return "all" if len(key["scopes"]) == len(SCOPES) else ", ".join(key["scopes"]) or "none"
