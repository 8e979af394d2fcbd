"""TLS reports (RFC 8460): what they say, who gets them, and sending them now."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import click

from cluster.commands.instance import Instance
from cluster.commands.output import NAME, console, json_option, moment, plain, print_json


@click.command("tls-report")
@click.option(
    "--day", type=click.DateTime(["%Y-%m-%d"]), help="The day that was counted, in UTC; yesterday if none is given."
)
@click.option("--domain", type=NAME, help="Only the report on this domain.")
@click.option("--dry-run", is_flag=True, help="Only show the reports, who gets them, and what became of them.")
@json_option
@click.pass_obj
def tls_report(config: str | None, day: datetime | None, domain: str | None, dry_run: bool, as_json: bool) -> None:
    """Send the TLS reports of a day now, to the domains that ask for them. postray does it by itself every night; what
    was sent to a destination is not sent again."""
    instance = Instance.of(config)
    wanted = (day.date() if day else datetime.now(UTC).date() - timedelta(days=1)).isoformat()
    nothing = f"Nothing was counted on {wanted}{f' for {domain}' if domain else ''}."
    if not dry_run:
        begun = instance.post("tls-reports", day=wanted, domain=domain)
        if as_json:
            print_json(begun)
        elif begun["domains"]:
            console.print(
                f"The reports on {begun['domains']} domains are being sent; --dry-run shows what becomes of them."
            )
        else:
            console.print(plain(nothing))
        return
    pages = list(instance.pages("tls-reports", day=wanted, domain=domain))
    problem = pages[-1]["problem"]
    reports = [report for page in pages for report in page["reports"]]
    if as_json:
        for report in reports:
            report["document"] = json.loads(report["document"])
        print_json({"problem": problem, "reports": reports})
        return
    if problem is not None:
        console.print(plain(problem), style="yellow", soft_wrap=True)
    for report in reports:
        _show(report)
    if not reports:
        console.print(plain(nothing))


def _show(report: dict[str, Any]) -> None:
    console.print(plain(report["domain"]), style="bold")
    for one in report["destinations"]:
        console.print(plain(f"  to {one['uri']}: {_state(one)}"), soft_wrap=True)
    for fault in report["faults"]:
        console.print(plain(f"  {fault}"), soft_wrap=True)
    console.print(plain(f"  {report['file_name']}"), soft_wrap=True)
    document = json.dumps(json.loads(report["document"]), indent=2, ensure_ascii=False)
    for line in document.splitlines():
        console.print(plain(f"  {line}"), soft_wrap=True)


def _state(one: dict[str, Any]) -> str:
    if one["sent_at"] is not None:
        return f"sent {moment(one['sent_at'])}, {one['result']}"
    if one["due_at"] is not None:
        return f"tried again {moment(one['due_at'])}: {one['result']}" if one["result"] else "is being sent"
    return one["result"] or "not sent yet"
