"""``postray queue``: how old what waits is, by the domain that it goes to, as Postfix's qshape shows it."""

import click

from cluster.commands.instance import Instance, Json
from cluster.commands.output import NAME, console, json_option, plain, print_json, table


@click.command()
@click.option("--tenant", type=NAME, help="Only of this tenant: its id or name, or an unambiguous beginning.")
@click.option("--limit", default=30, show_default=True, type=click.IntRange(1, 10_000), help="Domains shown.")
@json_option
@click.pass_obj
def queue(config: str | None, tenant: str | None, limit: int, as_json: bool) -> None:
    """What waits, by the domain that it goes to and by its age: how many deliveries were accepted up to so many minutes
    ago. Those that were tried before are counted apart."""
    domains: dict[str, Json] = {}
    ages: list[int] = []
    for part in Instance.of(config).pages("queue/ages", tenant=tenant):
        ages = part["ages_min"]
        for one in part["domains"]:
            known = domains.setdefault(one["domain"], {**one, "total": 0, "tried": 0, "by_age": [0] * (len(ages) + 1)})
            known["total"] += one["total"]
            known["tried"] += one["tried"]
            known["by_age"] = [a + b for a, b in zip(known["by_age"], one["by_age"], strict=True)]
    found = sorted(domains.values(), key=lambda one: (-one["total"], one["domain"]))
    if as_json:
        print_json({"ages_min": ages, "domains": found})
        return
    if not found:
        console.print("nothing waits")
        return
    shown = table("domain", ">total", ">tried", *(f">{minutes}" for minutes in ages), f">{ages[-1]}+")
    sums = [[one["total"], one["tried"], *one["by_age"]] for one in found]
    shown.add_row("all", *(f"{sum(column):,}" for column in zip(*sums, strict=True)), style="bold")
    for one, counts in zip(found[:limit], sums, strict=False):
        shown.add_row(plain(one["domain"]), *(f"{count:,}" if count else "." for count in counts))
    console.print(shown)
    if len(found) > limit:
        console.print(f"and {len(found) - limit:,} more domains")
