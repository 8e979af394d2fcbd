"""Tenants: making, listing, suspending, resuming and removing them, their limits and rates."""

from collections.abc import Callable
from typing import Any

import click

from cluster.commands.instance import Instance, Json, path_part
from cluster.commands.output import NAME, console, json_option, moment, number, plain, print_json, table
from cluster.ids import is_id

LIMITS = {
    "messages_per_s": "Messages of mail/send, each second.",
    "reads_per_s": "Searches of messages, each second.",
    "creations_per_min": "New keys and webhooks, each minute.",
    "requests_per_s": "All other requests, each second.",
    "messages_per_day": "Messages a day (UTC).",
}
SETTINGS = "settings"
"""Takes a limit back to that of the settings."""
RATES = ("bounce_rate", "complaint_rate", "pause_over_rates", "suspended_at", "suspended_for")
PAGE = 1000


class LimitType(click.ParamType[int | float | str]):
    """A number, or "settings"."""

    name = "number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | float | str:
        if value == SETTINGS:
            return SETTINGS
        try:
            wanted = float(value)
            return int(wanted) if wanted.is_integer() else wanted
        except ValueError:
            self.fail(f"{value!r} is neither a number nor {SETTINGS}", param, ctx)


def find_tenant(instance: Instance, text: str) -> Json:
    """The tenant with this id or name. Raises click.ClickException."""
    if is_id("tnt_", text):
        return instance.get(f"tenants/{text}")
    found = instance.get("tenants", name=text)["tenants"]
    if not found:
        raise click.ClickException(f"no tenant has the name {text}; postray tenants list shows all")
    if len(found) > 1:
        ids = ", ".join(one["id"] for one in found)
        raise click.ClickException(f"several tenants have the name {text}; name one by its id: {ids}")
    return found[0]


def all_tenants(instance: Instance) -> list[Json]:
    """All tenants, the oldest first. Raises click.ClickException."""
    return [tenant for page in instance.pages("tenants", limit=PAGE) for tenant in page["tenants"]]


def limited(command: Callable[..., None]) -> Callable[..., None]:
    """Adds the options that set limits."""
    for name, text in reversed(LIMITS.items()):
        command = click.option(f"--{name.replace('_', '-')}", type=LimitType(), help=text)(command)
    return command


@click.group()
def tenants() -> None:
    """Those whose mail this installation sends. TENANT is a tenant's name or its id."""


@tenants.command()
@click.argument("name", type=NAME)
@json_option
@click.pass_obj
def add(config: str | None, name: str, as_json: bool) -> None:
    """Make a tenant. It needs an API key and a sender domain before it can send."""
    made = Instance.of(config).post("tenants", name=name)
    if as_json:
        print_json(made)
        return
    console.print(f"made the tenant {made['name']}, {made['id']}", markup=False)


@tenants.command("list")
@json_option
@click.pass_obj
def list_(config: str | None, as_json: bool) -> None:
    """All tenants, the oldest first."""
    found = all_tenants(Instance.of(config))
    if as_json:
        print_json({"tenants": found})
        return
    if not found:
        console.print("there is no tenant; postray tenants add NAME makes one")
        return
    shown = table("name", "=id", "=made (UTC)", ">bounces", ">complaints", "=suspended since")
    for tenant in found:
        suspended = moment(tenant["suspended_at"])
        rates = (_percent(tenant["bounce_rate"]), _percent(tenant["complaint_rate"]))
        shown.add_row(plain(tenant["name"]), tenant["id"], moment(tenant["created_at"]), *rates, suspended)
    console.print(shown)


@tenants.command()
@click.argument("tenant", type=NAME)
@json_option
@click.pass_obj
def show(config: str | None, tenant: str, as_json: bool) -> None:
    """TENANT with its settings and limits."""
    instance = Instance.of(config)
    found = find_tenant(instance, tenant)
    path = f"tenants/{path_part(found['id'])}"
    settings, limits = instance.get(f"{path}/settings"), instance.get(f"{path}/limits")
    if as_json:
        print_json({**found, "settings": settings, "limits": limits})
        return
    console.print(plain(f"{found['name']}  {found['id']}"))
    state = f"suspended since {moment(found['suspended_at'])} UTC" if found["suspended_at"] else "not suspended"
    console.print(f"made {moment(found['created_at'])} UTC, {state}")
    _print_rates(found)
    shown = table("setting", "value")
    for name, value in settings.items():
        shown.add_row(name, plain(_words(value)))
    console.print(shown)
    _print_limits(limits)


@tenants.command()
@click.argument("tenant", type=NAME)
@json_option
@click.pass_obj
def suspend(config: str | None, tenant: str, as_json: bool) -> None:
    """Refuse what TENANT sends from now on, and let its queued mail wait."""
    _switch(config, tenant, "suspend", as_json=as_json)


@tenants.command()
@click.argument("tenant", type=NAME)
@json_option
@click.pass_obj
def resume(config: str | None, tenant: str, as_json: bool) -> None:
    """Let TENANT send again; its queued mail goes on."""
    _switch(config, tenant, "resume", as_json=as_json)


@tenants.command()
@click.argument("tenant", type=NAME)
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
@click.pass_obj
def remove(config: str | None, tenant: str, yes: bool, as_json: bool) -> None:
    """Delete TENANT and all of its data. It must be suspended and have no unfinished mail."""
    instance = Instance.of(config)
    found = find_tenant(instance, tenant)
    if not yes:
        click.confirm(f"Erase all data of the tenant {found['name']} ({found['id']})?", abort=True, err=True)
    instance.delete(f"tenants/{path_part(found['id'])}")
    if as_json:
        print_json(found)
        return
    console.print(f"deleted {found['name']}; its data is being erased", markup=False)


@tenants.command()
@click.argument("tenant", type=NAME)
@limited
@json_option
@click.pass_obj
def limits(config: str | None, /, tenant: str, as_json: bool, **changes: float | str | None) -> None:
    """Show the limits of TENANT, or change those that are given: a number, 0 for none, or settings for that of the
    settings."""
    instance = Instance.of(config)
    path = f"tenants/{path_part(find_tenant(instance, tenant)['id'])}/limits"
    answer = instance.get(path)
    given = {name: value for name, value in changes.items() if value is not None}
    if given:
        asked = answer["by_operator"] | {name: None if value == SETTINGS else value for name, value in given.items()}
        answer = instance.put(path, **asked)
    if as_json:
        print_json(answer)
        return
    _print_limits(answer)


@tenants.command()
@click.argument("tenant", type=NAME)
@click.option(
    "--pause",
    type=click.Choice(["yes", "no", SETTINGS]),
    help="Whether a rate over its limit suspends TENANT; settings: as tenants.pause_over_rates says.",
)
@json_option
@click.pass_obj
def rates(config: str | None, tenant: str, pause: str | None, as_json: bool) -> None:
    """How often mail of TENANT bounces hard and is complained of, and whether it is paused when that is too often."""
    instance = Instance.of(config)
    found = find_tenant(instance, tenant)
    if pause is not None:
        wanted = {"yes": True, "no": False, SETTINGS: None}[pause]
        found = instance.patch(f"tenants/{path_part(found['id'])}", pause_over_rates=wanted)
    if as_json:
        print_json({name: found[name] for name in RATES})
        return
    _print_rates(found)


@tenants.command()
@click.argument("tenant", type=NAME)
@click.option(
    "--bodies-days",
    type=LimitType(),
    help="Days after which the bodies of finished messages go; 0: at once, settings: as retention.bodies_days says.",
)
@json_option
@click.pass_obj
def retention(config: str | None, tenant: str, bodies_days: float | str | None, as_json: bool) -> None:
    """How long bodies of messages of TENANT are kept; it may be less than the settings say, never more."""
    instance = Instance.of(config)
    path = f"tenants/{path_part(find_tenant(instance, tenant)['id'])}/settings"
    found = instance.get(path)
    if bodies_days is not None:
        found = instance.put(path, bodies_days=None if bodies_days == SETTINGS else bodies_days)
    if as_json:
        print_json({"bodies_days": found["bodies_days"]})
        return
    days = found["bodies_days"]
    kept = "as long as the settings say" if days is None else "until they are finished" if days == 0 else f"{days} days"
    console.print(f"bodies of messages are kept {kept}", markup=False)


def _switch(config: str | None, tenant: str, action: str, *, as_json: bool) -> None:
    instance = Instance.of(config)
    answer = instance.post(f"tenants/{path_part(find_tenant(instance, tenant)['id'])}/{action}")
    if as_json:
        print_json(answer)
        return
    state = "suspended" if answer["suspended_at"] else "not suspended"
    console.print(f"{answer['name']} is {state}", markup=False)


def _print_limits(answer: Json) -> None:
    shown = table("limit", ">in force", ">the operator's", ">its own")
    for name in LIMITS:
        sets = (answer[name], answer["by_operator"][name], answer["own"][name])
        shown.add_row(name, _limit(sets[0]), _limit(sets[1]), _limit(sets[2], unset=""))
    console.print(shown)


def _print_rates(tenant: Json) -> None:
    bounces, complaints = _percent(tenant["bounce_rate"]), _percent(tenant["complaint_rate"])
    pauses = {True: "yes", False: "no", None: "as the settings say"}[tenant["pause_over_rates"]]
    console.print(f"hard bounces {bounces}, complaints {complaints}; paused over a limit: {pauses}", markup=False)
    if tenant["suspended_for"]:
        console.print(f"suspended, for {tenant['suspended_for']}", markup=False, soft_wrap=True)


def _percent(share: float | None) -> str:
    return "too few" if share is None else f"{100 * share:.2f} %"


def _limit(value: float | None, unset: str = SETTINGS) -> str:
    if value is None:
        return unset
    return number(value) if value else "none"


def _words(value: Json) -> str:
    """A setting in words: the fields of a part that say something."""
    if isinstance(value, dict):
        return ", ".join(f"{name} {_words(inner)}" for name, inner in value.items() if inner not in ("", None, []))
    return {True: "yes", False: "no"}.get(value, str(value)) if isinstance(value, bool) else str(value)
