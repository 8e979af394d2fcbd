"""``postray nodes``: the nodes of the cluster, and what each carries."""

import click

from cluster.commands.instance import Instance
from cluster.commands.output import console, json_option, number, plain, print_json, table

SHORT = 12
"""Characters of a node's id: enough to name it."""


@click.command()
@json_option
@click.pass_obj
def nodes(config: str | None, as_json: bool) -> None:
    """Every live node: its actors, what it carries, which release it runs, and whether it drains. Where the cluster
    grows by itself: how many are wanted, and why."""
    answer = Instance.of(config).get("nodes")
    if as_json:
        print_json(answer)
        return
    shown = table(
        *("=node", "machine", "release", "roles", "=state", ">actors", ">holds", ">on the wire", ">SMTP", ">HTTP"),
        *(">sites", "sources"),
    )
    for node in answer["nodes"]:
        counts = node["counts"]
        shown.add_row(
            node["id"][:SHORT],
            plain(node["machine"]),
            plain(", ".join(node["releases"]) or "-"),
            "all" if node["roles"] is None else plain(", ".join(node["roles"]) or "none"),
            node["state"],
            str(len(node["actors"])),
            *(number(one) for one in (node["held"], counts["in_flight"], counts["smtp_connections"])),
            *(number(one) for one in (counts["http_connections"], counts["sites"])),
            plain(", ".join(node["sources"])),
        )
    console.print(shown)
    if (wanted := answer["wanted"]) is not None:
        going = f", {wanted['going'][:SHORT]} goes" if wanted["going"] else ""
        console.print(
            plain(
                f"{wanted['wanted']} nodes are wanted ({wanted['least']} to {wanted['most']}), "
                f"{wanted['there']} are there{going}: {wanted['reason']}"
            )
        )
    if answer["problem"]:
        console.print(plain(answer["problem"]), style="yellow")
    for node in answer["nodes"]:
        for actor in (actor for actor in node["actors"] if actor["problem"]):
            console.print(plain(f"{node['id'][:SHORT]} {actor['name']}: {actor['problem']}"), style="yellow")
