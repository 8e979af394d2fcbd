"""``postray status``: whether postray runs, where, and how its parts are."""

import json
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import click
from rich.table import Table
from rich.text import Text

from cluster.commands.instance import run_of, settings_of
from cluster.commands.output import console, json_option, print_json
from cluster.context import keeps_from_work
from cluster.installation import running
from cluster.installation.local_secrets import SQL_USER, demo_key, sql_password
from cluster.printable import printable

ANSWER_S = 5.0


@click.command()
@json_option
@click.option("--secrets", is_flag=True, help="With --json: the demo tenant's API key and the SQL login as well.")
@click.pass_obj
def status(config: str | None, as_json: bool, secrets: bool) -> None:
    """Say whether postray runs, where, and how its parts are. Exit 1 when it does not run or is not ready."""
    settings = settings_of(config)
    data_dir = Path(settings.data_dir).resolve()
    run = run_of(settings)
    if run is None:
        # The lock is held before the run's file is written, and after it is removed.
        is_starting = data_dir.is_dir() and not running.DataLock(data_dir).is_free()
        state: dict[str, Any] = {"running": False, "ready": False, **({"starting": True} if is_starting else {})}
    else:
        where = {"url": run.url, "page": run.page, "tracking": run.tracking, "sql": run.sql}
        smtp = {"submission": run.submission, "mail_in": run.mail_in}
        state = {"running": True, **where, **smtp, "pid": run.pid, **_readiness(run.url)}
    if secrets:
        state["api_key"] = demo_key(data_dir)
        state["sql_user"], state["sql_password"] = SQL_USER, settings.analytics.password or sql_password(data_dir)
    if as_json:
        print_json(state)
    elif not state["running"]:
        how = "starting or stopping" if state.get("starting") else "not running"
        console.print(f"postray is {how} on {data_dir}", soft_wrap=True)
    else:
        _show(state)
    sys.exit(not state["ready"])


def _readiness(url: str) -> dict[str, Any]:
    try:
        with urllib.request.urlopen(f"{url}/readyz", timeout=ANSWER_S) as answer:
            body = json.load(answer)
    except urllib.error.HTTPError as error:
        body = json.load(error)
    except (OSError, json.JSONDecodeError) as error:
        return {"ready": False, "parts": {"api": str(error)}}
    return {"ready": body["status"] == "ready", "parts": body["parts"]}


def _show(state: dict[str, Any]) -> None:
    table = Table("part", "state", box=None, pad_edge=False)
    for name, problem in state["parts"].items():
        table.add_row(name, Text(printable(problem), _colour(problem)))
    said = f"postray {state['url']}   captured mail {state['page'] or 'none'}   "
    said += f"tracking {state['tracking']}   " if state["tracking"] else ""
    said += f"smtp {state['submission']}   " if state["submission"] else ""
    said += f"bounces {state['mail_in']}   " if state["mail_in"] else ""
    said += f"sql {state['sql']}   " if state["sql"] else ""
    said += f"pid {state['pid']}"
    console.print(said, soft_wrap=True, markup=False)
    console.print(table)


def _colour(problem: str) -> str:
    if problem == "ok":
        return "green"
    return "red" if keeps_from_work(problem) else "yellow"
