"""Sender domains: adding them, the records to publish, verification, and new keys."""

import sys

import click

from cluster.commands.instance import Instance, Json, path_part
from cluster.commands.output import NAME, console, json_option, moment, plain, print_json, table

PAGE = 500


@click.group()
def domains() -> None:
    """Sender domains of tenants: the records that their owners publish, and what the DNS shows."""


@domains.command()
@click.argument("domain", type=NAME)
@click.option("--tenant", required=True, type=NAME, help="The tenant's id or its name.")
@click.option("--subdomain", type=NAME, help="The label of the return path below the domain; bounces when not given.")
@click.option("--selector", type=NAME, help="The selector of the RSA key; postray when not given.")
@click.option("--include-subdomains", is_flag=True, help="Mail may be sent from every domain below it, too.")
@click.option("--default", "is_default", is_flag=True, help="Make it the tenant's default domain.")
@click.option(
    "--cname/--no-cname", default=None, help="Whether CNAME records are published; needs domains.cname_target."
)
@json_option
@click.pass_obj
def add(
    config: str | None,
    domain: str,
    tenant: str,
    subdomain: str | None,
    selector: str | None,
    include_subdomains: bool,
    is_default: bool,
    cname: bool | None,
    as_json: bool,
) -> None:
    """Add a domain for a tenant, and print the records to publish, as a zone file has them."""
    made = Instance.of(config).post(
        "domains",
        tenant=tenant,
        domain=domain,
        subdomain=subdomain,
        custom_dkim_selector=selector,
        include_subdomains=include_subdomains,
        default=is_default,
        automatic_security=cname,
    )
    if as_json:
        print_json(made)
        return
    _show_zone(made)
    say = f"; when they are published: postray domains verify {made['domain']}"
    console.print(f"; {made['domain']} is added, id {made['id']}{say}", markup=False, soft_wrap=True)


@domains.command("list")
@click.option("--tenant", type=NAME, help="Only those of this tenant: its id or its name.")
@click.option("--domain", "part", type=NAME, help="Only those with this in their names.")
@click.option("--limit", default=PAGE, show_default=True, type=click.IntRange(1, PAGE))
@click.option("--offset", default=0, type=click.IntRange(0))
@json_option
@click.pass_obj
def list_(config: str | None, tenant: str | None, part: str | None, limit: int, offset: int, as_json: bool) -> None:
    """The domains of all tenants, the oldest first."""
    found = Instance.of(config).get("domains", tenant=tenant, domain=part, limit=limit, offset=offset)
    if as_json:
        print_json(found)
        return
    if not found:
        console.print("there is no such domain")
        return
    shown = table(">id", "domain", "tenant", "=state", "return path", "=looked at (UTC)", "note")
    for one in found:
        shown.add_row(
            str(one["id"]),
            plain(one["domain"]),
            plain(one["tenant_id"]),
            plain(one["state"]),
            plain(one["return_path"]),
            moment(one["checked_at"]),
            plain(_note(one)),
        )
    console.print(shown)


@domains.command()
@click.argument("domain", type=NAME)
@json_option
@click.pass_obj
def show(config: str | None, domain: str, as_json: bool) -> None:
    """A domain (its name or id), its records, and what the last look found."""
    found = Instance.of(config).get(f"domains/{path_part(domain)}")
    if as_json:
        print_json(found)
        return
    _show_zone(found)
    console.print()
    _show_findings(found)


@domains.command()
@click.argument("domain", type=NAME)
@json_option
@click.pass_obj
def verify(config: str | None, domain: str, as_json: bool) -> None:
    """Look the records of a domain (its name or id) up now. Exit 1 unless it is verified and nothing is wrong."""
    found = Instance.of(config).post(f"domains/{path_part(domain)}/verify")
    if as_json:
        print_json(found)
    else:
        _show_findings(found)
    sys.exit(not found["valid"] or found["wrong_since"] is not None)


@domains.command()
@click.argument("domain", type=NAME)
@json_option
@click.pass_obj
def rotate(config: str | None, domain: str, as_json: bool) -> None:
    """Give a domain (its name or id) new keys. They sign once the DNS shows their records; until then the old ones do.
    Given again before that, it prints the same records."""
    found = Instance.of(config).post(f"domains/{path_part(domain)}/rotate")
    if as_json:
        print_json(found)
        return
    _show_zone(found)
    say = f"; the new keys sign once their records are published: postray domains verify {found['domain']}"
    console.print(say, markup=False, soft_wrap=True)


@domains.command()
@click.argument("domain", type=NAME)
@json_option
@click.pass_obj
def remove(config: str | None, domain: str, as_json: bool) -> None:
    """Remove a domain (its name or id) and its keys. Its queued mail fails."""
    instance = Instance.of(config)
    found = instance.get(f"domains/{path_part(domain)}")
    instance.delete(f"domains/{found['id']}")
    if as_json:
        print_json(found)
    else:
        console.print(f"removed {found['domain']} of {found['tenant_id']}", markup=False, soft_wrap=True)


def _show_zone(found: Json) -> None:
    for line in found["zone"]:
        click.echo(line)
    if found["operator_zone"]:
        click.echo("; you publish below domains.cname_target:")
        for line in found["operator_zone"]:
            click.echo(line)


def _show_findings(found: Json) -> None:
    shown = table("=record", "host", "=state", "expected", "found")
    for record in found["records"]:
        state = record["status"] if record["key_state"] != "retired" else f"keep until {moment(record['keep_until'])}"
        details = list(record["found"]) + ([f"({record['reason']})"] if record["reason"] else [])
        if record["key_state"] == "retired":
            details = []
        shown.add_row(
            plain(_name(record)),
            plain(record["host"]),
            plain(state),
            plain(_short(record["expected"])),
            plain("; ".join(map(_short, details))),
        )
    console.print(shown)
    for host in found["removable"]:
        console.print(f"{host} may be removed from the DNS", markup=False, soft_wrap=True)
    note = f" ({_note(found)})" if _note(found) else ""
    console.print(f"{found['domain']} is {found['state']}{note}", markup=False, soft_wrap=True)


def _name(record: Json) -> str:
    name = str(record["purpose"]).upper()
    name += f" {record['algorithm']}" if record["algorithm"] else ""
    return name + (f", {record['key_state']}" if record["key_state"] else "")


def _note(found: Json) -> str:
    notes = []
    if found["wrong_since"]:
        notes.append(f"records wrong since {moment(found['wrong_since'])}")
    if found["rotating"]:
        notes.append("new keys wait for their records")
    return "; ".join(notes)


def _short(text: str) -> str:
    """A key's text to where it differs from others: people compare its ends."""
    return text if len(text) <= 90 else f"{text[:50]}…{text[-30:]}"
