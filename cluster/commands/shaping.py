"""Shaping: which rule gives which limit, and activating changed files."""

import re
from contextlib import suppress

import click
import msgspec
from msgspec import Struct

from cluster.commands.inspection import print_settings
from cluster.commands.instance import Instance, Json, path_part, settings_of
from cluster.commands.output import DOMAIN, NAME, console, json_option, plain, print_json
from cluster.commands.shaping_diff import diff
from cluster.policies import BadPolicies, parse_files, read_files
from cluster.policy.limits.shaping import Shaping
from cluster.policy.routes.domains import spelled_names
from cluster.policy.routes.rerouting import named_route
from cluster.policy.routes.routing import Route, Routing, Via
from cluster.policy.routes.sites import known_site
from cluster.policy.tls.route import along

_DIRECT = Route(via=Via.DIRECT)
"""Used for the sink as well: a check explains the limits that apply once mail leaves."""
_SITE_NAME = re.compile(r"[a-z0-9._,:\[\]-]+")
"""Names of hosts, or host:port (cluster/policy/routes/sites.py)."""


@click.group()
def shaping() -> None:
    """Limits by site, source and tenant: shaping.toml and routing.toml."""


@shaping.command()
@click.argument("domains", type=DOMAIN, nargs=-1)
@click.option("--file", "path", type=click.Path(dir_okay=False, exists=True), help="Another shaping.toml.")
@click.option("--site", type=NAME, help="The site that serves the domains; else as postray route says, or as is known.")
@click.option("--source", type=NAME, help="As sent from this source.")
@click.option("--tenant", "tenant_id", type=NAME, help="With this tenant's limits.")
@json_option
@click.pass_obj
def check(
    config: str | None,
    domains: tuple[str, ...],
    path: str | None,
    site: str | None,
    source: str | None,
    tenant_id: str | None,
    as_json: bool,
) -> None:
    """Check the files, and explain the limits of DOMAINS: which rule gave which value. Nothing needs to run."""
    delivery = settings_of(config).delivery
    if path is not None:
        delivery = msgspec.structs.replace(delivery, shaping_file=path)
    try:
        rules, routing = parse_files(delivery)
    except BadPolicies as error:
        raise click.ClickException(str(error)) from error
    places = _Places(config, rules, routing, tenant_id or "")
    if site is not None:
        name = _site_named(site)
        asked = [(places.at(name, domain), domain) for domain in domains or ("",)]
    else:
        asked = [(places.of(domain), domain) for domain in domains]
    explained = []
    for place, domain in asked:
        shaped = rules.explain(
            place.site, source=source or "", domain=domain, tenant_id=tenant_id or "", hosts=place.hosts
        )
        limits = along(place.route, shaped)
        explained.append({"site": place.site, "domain": domain, "limits": msgspec.to_builtins(limits)})
    if as_json:
        print_json({"valid": True, "explained": explained})
        return
    console.print("the files are valid")
    for one in explained:
        console.print()
        at = f" at the site {one['site']}" if one["domain"] not in ("", one["site"]) else ""
        console.print(plain((one["domain"] or one["site"]) + at), style="bold")
        print_settings(one["limits"])


def _site_named(text: str) -> str:
    name = spelled_names(text)
    if not _SITE_NAME.fullmatch(name):
        raise click.ClickException(f"{text!r} is not the name of a site")
    return name


class _Place(Struct, frozen=True, kw_only=True):
    """Where mail goes: its site, the site of its hosts ("": unknown), and its route."""

    site: str
    hosts: str = ""
    route: Route


class _Places:
    """Where domains' mail goes once it leaves. The routes decide first, then the running postray, which asks the DNS,
    then the list of large receivers. An unknown domain's own name stands for its site."""

    def __init__(self, config: str | None, rules: Shaping, routing: Routing, tenant_id: str) -> None:
        self._rules = rules
        self._routing = routing
        self._tenant_id = tenant_id
        self._instance: Instance | None = None
        with suppress(click.ClickException):  # it may not be running
            self._instance = Instance.of(config)

    def of(self, domain: str) -> _Place:
        route = self._routing.route(domain, self._tenant_id)
        if route.via is Via.RELAY:
            return _Place(site=route.relay, route=route)
        hosts = self._asked(domain) or known_site(domain)
        return _Place(site=domain if self._rules.is_separate(domain) else hosts, hosts=hosts, route=_DIRECT)

    def at(self, site: str, domain: str) -> _Place:
        """The place at a named site, whichever site serves the domain ("": none given)."""
        route = self._routing.route(domain, self._tenant_id)
        if route.relay != site:
            route = named_route(self._routing, site) or _DIRECT
        return _Place(site=site, route=route)

    def _asked(self, domain: str) -> str:
        if self._instance is None:
            return ""
        try:
            answer = self._instance.get(f"route/{path_part(domain)}", tenant_id=self._tenant_id or None)
        except click.ClickException:
            return ""  # not a domain, or no answer: the files can be explained anyway
        return str(answer["hosts_site"] or answer["site"]) if answer["via"] == Via.DIRECT else ""


@shaping.command()
@json_option
@click.pass_obj
def reload(config: str | None, as_json: bool) -> None:
    """Put shaping.toml and routing.toml in force on the running postray, without a restart."""
    answer = put_files_in_force(config)
    if as_json:
        print_json(answer)
    else:
        console.print(in_words(answer))


def put_files_in_force(config: str | None) -> Json:
    """What the running postray answers. Raises click.ClickException, Unsafe."""
    try:
        files = read_files(settings_of(config).delivery)
    except BadPolicies as error:
        raise click.ClickException(str(error)) from error
    return Instance.of(config).post("policies", shaping=files.shaping, routing=files.routing)


def in_words(answer: Json) -> str:
    return f"version {answer['version']} is in force" if answer["changed"] else "nothing has changed"


shaping.add_command(diff)
