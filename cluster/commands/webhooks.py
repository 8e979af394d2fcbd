"""Endpoints of webhooks of all tenants: how they answer, and switching them."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

from cluster.commands.instance import Instance, Json, path_part
from cluster.commands.output import NAME, console, json_option, moment, number, plain, print_json, table

STATES = ("active", "failing", "disabled", "paused", "off")
PAGE = 500

F = TypeVar("F", bound=Callable[..., Any])


def urls_option(command: F) -> F:
    """The option --urls, as ``urls``."""
    text = "URLs as they are, which may hold secrets of their owners; else scheme and host."
    return click.option("--urls", is_flag=True, help=text)(command)


@click.group()
def webhooks() -> None:
    """The endpoints that events are posted to. ID is that of an endpoint, wh_…."""


@webhooks.command("list")
@click.option("--tenant", type=NAME, help="Only those of this tenant (its id or its name).")
@click.option("--state", type=click.Choice(STATES), help="Only those in this state.")
@urls_option
@json_option
@click.pass_obj
def listing(config: str | None, tenant: str | None, state: str | None, urls: bool, as_json: bool) -> None:
    """All endpoints, the oldest first, with what waits for each and its last answer."""
    pages = Instance.of(config).pages("webhooks", tenant=tenant, status=state, urls=_flag(urls), limit=PAGE)
    found = [one for page in pages for one in page["webhooks"]]
    if as_json:
        print_json({"webhooks": found})
        return
    if not found:
        console.print("there is no such endpoint" if tenant or state else "there is no endpoint")
        return
    shown = table("=id", "=tenant", "=state", ">waiting", "=oldest (UTC)", ">events/s", "last answer", "url")
    for one in found:
        shown.add_row(
            one["id"],
            one["tenant_id"],
            one["status"],
            number(one["waiting"]),
            moment(one["oldest_waiting_since"]),
            number(one["rate"]),
            plain(_last(one)),
            plain(one["url"]),
        )
    console.print(shown)


@webhooks.command()
@click.argument("id", type=NAME)
@urls_option
@json_option
@click.pass_obj
def show(config: str | None, id: str, urls: bool, as_json: bool) -> None:
    """The endpoint ID: its settings without secrets, what waits for it, and its last posts."""
    one = Instance.of(config).get(f"webhooks/{path_part(id)}", urls=_flag(urls))
    if as_json:
        print_json(one)
        return
    facts = table("", "")
    facts.show_header = False
    for label, value in (
        ("id", one["id"]),
        ("tenant", one["tenant_id"]),
        ("name", one["name"]),
        ("url", one["url"]),
        ("state", _state(one)),
        ("events", ", ".join(one["enabled_events"])),
        ("categories", ", ".join(one["categories"]) or "all"),
        ("keys", ", ".join(one["api_key_ids"]) or "all"),
        ("posts", _shape(one)),
        ("waiting", f"{number(one['waiting'])} events"),
        ("oldest", moment(one["oldest_waiting_since"])),
        ("rate", f"{number(one['rate'])} events/s over the last minute"),
        ("posted", f"{number(one['posted'])} events"),
        ("dropped", f"{number(one['dropped'])} events"),
        ("failures", f"{one['failures']} in a row"),
        ("next post", moment(one["next_post_at"]) and f"not before {moment(one['next_post_at'])}"),
        ("last answer", _last(one)),
    ):
        if value:
            facts.add_row(label, plain(value))
    console.print(facts)
    console.print()
    if one["attempts"] is None:
        console.print("the event store is away: its last posts cannot be shown now")
        return
    if not one["attempts"]:
        console.print("nothing was posted to it within 7 days")
        return
    posts = table("=at (UTC)", ">events", ">attempt", ">ms", "answer")
    for post in one["attempts"]:
        ms, answer = f"{post['duration_ms']:,}", plain(_answer(post))
        posts.add_row(moment(post["at"]), number(post["events"]), str(post["attempt"]), ms, answer)
    console.print(posts)


@webhooks.command()
@click.argument("id", type=NAME)
@json_option
@click.pass_obj
def enable(config: str | None, id: str, as_json: bool) -> None:
    """Enable ID, also one that was disabled because it failed: what waits for it is posted at once."""
    _switch(config, id, "enable", as_json=as_json)


@webhooks.command()
@click.argument("id", type=NAME)
@json_option
@click.pass_obj
def disable(config: str | None, id: str, as_json: bool) -> None:
    """Disable ID: events of the time until it is enabled are not kept for it. Its owner may enable it again."""
    _switch(config, id, "disable", as_json=as_json)


@webhooks.command()
@click.argument("id", type=NAME)
@json_option
@click.pass_obj
def pause(config: str | None, id: str, as_json: bool) -> None:
    """Let the events of ID wait until it is resumed. Its owner may resume it, too."""
    _switch(config, id, "pause", as_json=as_json)


@webhooks.command()
@click.argument("id", type=NAME)
@json_option
@click.pass_obj
def resume(config: str | None, id: str, as_json: bool) -> None:
    """Post what waits for ID since it was paused."""
    _switch(config, id, "resume", as_json=as_json)


def _switch(config: str | None, id: str, action: str, *, as_json: bool) -> None:
    one = Instance.of(config).post(f"webhooks/{path_part(id)}/{action}")
    if as_json:
        print_json(one)
        return
    console.print(plain(f"{one['id']} ({one['url']}) is {_state(one)}; {number(one['waiting'])} events wait"))


def _state(one: Json) -> str:
    reason = one["disabled_reason"] if one["status"] == "disabled" else ""
    return f"{one['status']}: {reason}" if reason else str(one["status"])


def _shape(one: Json) -> str:
    size = "arrays of events" if one["batch"] else "one event each"
    return f"{size}, in the shape of {one['dialect']}"


def _last(one: Json) -> str:
    last = one["last_answer"]
    return f"{_answer(last)} at {moment(last['at'])}" if last else ""


def _answer(post: Json) -> str:
    return " ".join(str(part) for part in (post["status"], post["error"]) if part)


def _flag(is_set: bool) -> str | None:
    """A flag in a query."""
    return "true" if is_set else None
