"""Shaping: which rule gives which limit, and putting changed files in force."""

import click
import msgspec

from cluster.commands.instance import Instance, settings_of
from cluster.commands.looking import print_settings
from cluster.commands.output import console, json_option, plain, print_json
from cluster.in_force import BadPolicies, check_policies, read_files
from cluster.policy.domains import spelled_names


@click.group()
def shaping() -> None:
    """Limits by site, source and tenant: shaping.toml and routing.toml."""


@shaping.command()
@click.argument("domains", nargs=-1)
@click.option("--file", "path", type=click.Path(dir_okay=False, exists=True), help="Another shaping.toml.")
@click.option("--site", help="The site that serves the domains (postray route tells); else each is its own.")
@click.option("--source", default="", help="As sent from this source.")
@click.option("--tenant", "tenant_id", default="", help="With this tenant's limits.")
@json_option
@click.pass_obj
def check(
    config: str | None,
    domains: tuple[str, ...],
    path: str | None,
    site: str | None,
    source: str,
    tenant_id: str,
    as_json: bool,
) -> None:
    """Check the files, and explain the limits of DOMAINS: which rule gave which value. Nothing needs to run."""
    delivery = settings_of(config).delivery
    if path is not None:
        delivery = msgspec.structs.replace(delivery, shaping_file=path)
    try:
        files = read_files(delivery)
        rules, _ = check_policies(delivery, files.shaping, files.routing)
    except BadPolicies as error:
        raise click.ClickException(str(error)) from error
    place = spelled_names(site) if site else ""
    named = [spelled_names(domain) for domain in domains]
    asked = [(place or domain, domain) for domain in named] or ([(place, "")] if place else [])
    explained = [
        {
            "site": place,
            "domain": domain,
            "limits": msgspec.to_builtins(rules.explain(place, source=source, domain=domain, tenant_id=tenant_id)),
        }
        for place, domain in asked
    ]
    if as_json:
        print_json({"valid": True, "explained": explained})
        return
    console.print("the files are valid")
    for one in explained:
        console.print()
        console.print(plain(one["domain"] or one["site"]), style="bold")
        print_settings(one["limits"])


@shaping.command()
@json_option
@click.pass_obj
def reload(config: str | None, as_json: bool) -> None:
    """Put shaping.toml and routing.toml in force on the running postray, without a restart."""
    try:
        files = read_files(settings_of(config).delivery)
    except BadPolicies as error:
        raise click.ClickException(str(error)) from error
    answer = Instance.of(config).post("policies", shaping=files.shaping, routing=files.routing)
    if as_json:
        print_json(answer)
    elif answer["changed"]:
        console.print(f"version {answer['version']} is in force")
    else:
        console.print("nothing has changed")
