"""The ``postray`` command: up, down, status and bench. The operator's other commands are in commands/."""

import contextlib
import json
import os
import signal
import ssl
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import click
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from cluster.commands.backup import backup, restore
from cluster.commands.doctor import doctor
from cluster.commands.domains import domains
from cluster.commands.down import down
from cluster.commands.drain import drain, undrain
from cluster.commands.export import export
from cluster.commands.greeting import greet, greet_without_demo
from cluster.commands.hanging_up import HangUp
from cluster.commands.history import history
from cluster.commands.inbound import inbound
from cluster.commands.inspection import explain, route, sources, trace
from cluster.commands.instance import DEFAULT_FILE, in_place, run_of, settings_of
from cluster.commands.keys import keys
from cluster.commands.nodes import nodes
from cluster.commands.operator_token import operator_token
from cluster.commands.output import console, errors, json_option, print_json
from cluster.commands.queue import bounce, reroute, send_now
from cluster.commands.queue_ages import queue
from cluster.commands.recipients import recipients
from cluster.commands.report import report
from cluster.commands.secret import secret
from cluster.commands.shaping import in_words, put_files_in_force, shaping
from cluster.commands.sites import actions, resume, sites, suspend
from cluster.commands.sql import sql
from cluster.commands.sql_door import sql_password_place
from cluster.commands.storage import storage
from cluster.commands.suppressions import suppressions
from cluster.commands.tenants import tenants
from cluster.commands.tls_report import tls_report
from cluster.commands.top import top
from cluster.commands.tracking import tracking
from cluster.commands.webhooks import webhooks
from cluster.context import keeps_from_work
from cluster.entry_points import COMMANDS, load
from cluster.installation import running
from cluster.installation.local_secrets import DEMO_KEY, SQL_PASSWORD, SQL_USER, demo_key, sql_password
from cluster.installation.own_python import run_module
from cluster.installation.private_files import (
    Unsafe,
    access_problem,
    keep_to_ourselves,
    make_data_dir,
    make_folder,
    prepare_data_dir,
)
from cluster.installation.service import Service
from cluster.journal.journal import Unavailable
from cluster.policies import BadPolicies, read_files
from cluster.printable import printable
from cluster.settings import Settings
from cluster.starting import DidNotStart
from cluster.up import Died, Postray

ANSWER_S = 5.0
LOOK_AFTER_S = 1.0


class CommandGroup(click.Group):
    """The command group. It reports a file or folder that a command cannot use in one line."""

    def invoke(self, context: click.Context) -> Any:
        try:
            return super().invoke(context)
        except Unsafe as error:
            raise click.ClickException(str(error)) from error
        except (PermissionError, NotADirectoryError, IsADirectoryError) as error:
            raise click.ClickException(f"{error.filename}: {error.strerror}") from error


@click.group(cls=CommandGroup)
@click.option("--config", type=click.Path(dir_okay=False), help=f"Settings file; {DEFAULT_FILE} here when it exists.")
@click.version_option(package_name="postray", message="%(prog)s %(version)s")
@click.pass_context
def main(context: click.Context, config: str | None) -> None:
    """postray: an SMTP delivery cluster."""
    context.obj = config


for command in (
    down,
    doctor,
    backup,
    restore,
    domains,
    sites,
    actions,
    suspend,
    resume,
    bounce,
    send_now,
    reroute,
    trace,
    explain,
    history,
    top,
    queue,
    route,
    sources,
    inbound,
    shaping,
    keys,
    tenants,
    suppressions,
    recipients,
    export,
    operator_token,
    tracking,
    tls_report,
    webhooks,
    drain,
    undrain,
    nodes,
    secret,
    sql,
    storage,
    report,
):
    main.add_command(command)


@main.command()
@click.option("--detach", is_flag=True, help="Return when it runs, and leave it running.")
@click.option("--hide-key", "show_key", flag_value=False, default=True, help="Name the API key's file, not the key.")
@click.option("--ready-fd", type=int, hidden=True, help="A descriptor that one byte is written to once all is printed.")
@click.pass_obj
def up(config: str | None, detach: bool, show_key: bool, ready_fd: int | None) -> None:
    """Start postray and everything it needs."""
    keep_to_ourselves()
    if ready_fd is not None:
        os.set_inheritable(ready_fd, False)
    settings = settings_of(config)
    data_dir = Path(settings.data_dir).resolve()
    check_files(settings)
    try:
        if detach:
            in_place(make_data_dir, settings)
            _detached(config, data_dir, show_key)
            return
        tightened = in_place(prepare_data_dir, settings)
        with running.DataLock(data_dir):
            _run(settings, config, tightened, show_key, ready_fd)
    except (running.AlreadyRunning, OSError) as error:
        raise click.ClickException(str(error)) from error


def check_files(settings: Settings) -> None:
    """Check the files and folders that the settings name, before a part starts. Raises click.ClickException, Unsafe."""
    if problem := access_problem(Path(settings.data_dir)):
        raise click.ClickException(f"data_dir: {problem}")
    if settings.tls.ca_file:
        try:
            ssl.create_default_context(cafile=settings.tls.ca_file)
        except (OSError, ssl.SSLError) as error:
            raise click.ClickException(f"tls.ca_file: {settings.tls.ca_file} has no authorities: {error}") from error
    try:
        read_files(settings.delivery)
    except BadPolicies as error:
        raise click.ClickException(str(error)) from error


def _run(settings: Settings, config: str | None, tightened: list[str], show_key: bool, ready_fd: int | None) -> None:
    service = Service()
    stop_requested = threading.Event()
    began = time.monotonic()

    def runs(part: str) -> None:
        service.starting(part)
        console.print(f"  [green]✓[/] {part:<16}{time.monotonic() - began:5.1f} s")

    def stopping(line: str) -> None:
        service.stopping(line)
        console.print(line, soft_wrap=True, markup=False)

    postray = Postray(settings, tightened)
    for line in tightened:
        errors.print(line, soft_wrap=True, markup=False)
    try:
        with console.status("starting"):
            run = postray.start(runs)
        # Ray installs its own handlers, so ours are set after it.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: stop_requested.set())
        hang_up = HangUp(lambda: in_words(put_files_in_force(config)), service.status, stop_requested.set)
        signal.signal(signal.SIGHUP, hang_up)
        for part, problem in postray.problems.items():
            console.print(f"  [yellow]![/] {part:<15} {escape(problem)}; postray doctor says more", soft_wrap=True)
        for part in postray.cannot_move:
            console.print(f"  [yellow]![/] {part:<15} cannot move to another node: its data is on one machine's disk")
        data_dir = Path(settings.data_dir).resolve()
        sql_login = postray.sql_password if show_key else sql_password_place(settings)
        if postray.demo_key:
            greet(run, postray.demo_key if show_key else "", data_dir / DEMO_KEY, sql_login)
        else:
            greet_without_demo(run, config, sql_login, has_tenants=postray.has_tenants)
        if ready_fd is not None:
            with contextlib.suppress(BrokenPipeError), open(ready_fd, "wb") as pipe:  # the reader may have ended
                pipe.write(b"\n")
        service.ready(f"runs at {run.url}")
        while not stop_requested.wait(LOOK_AFTER_S):
            if not postray.look_after():
                console.print("the postray of this cluster was ended")
                return
        console.print("postray goes on in the cluster; postray down ends it" if postray.goes_on else "stopping")
    except (DidNotStart, Died, Unavailable, Unsafe) as error:
        raise click.ClickException(f"{error} (logs: {settings.data_dir}/logs)") from error
    except KeyboardInterrupt:
        console.print("interrupted while starting")
    finally:
        hurry = threading.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: hurry.set())
        service.stopping("stops")
        postray.stop(stopping, hurry.is_set)


def _detached(config: str | None, data_dir: Path, show_key: bool) -> None:
    log_path = data_dir / "logs" / "up.out"
    make_folder(log_path.parent)
    command = run_module("cluster.cli", *(["--config", config] if config else []), "up", "--hide-key")
    log_path.unlink(missing_ok=True)  # an older version's file may be readable by others, and it contains the key
    ready, done = os.pipe()
    with log_path.open("wb") as out:
        child = subprocess.Popen(
            [*command, "--ready-fd", str(done)],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            pass_fds=[done],
        )
    os.close(done)
    with console.status("starting"), open(ready, "rb") as pipe:
        is_ready = pipe.read(1)  # empty: the child has ended
    status = 0 if is_ready else child.wait()
    # The child's output: the parts and the greeting, or why it did not start.
    said = log_path.read_text(encoding="utf-8").replace("Ctrl-C stops it.", "postray down stops it.")
    if is_ready and show_key:
        for name, secret in ((DEMO_KEY, demo_key(data_dir)), (SQL_PASSWORD, sql_password(data_dir))):
            said = said.replace(f"in {data_dir / name}", secret) if secret else said
    sys.stdout.write(said)
    sys.exit(status)


@main.command()
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


@main.command(
    context_settings={"ignore_unknown_options": True, "help_option_names": []},
    options_metavar="",
    add_help_option=False,
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="SCENARIO ...")
@click.pass_obj
def bench(config: str | None, arguments: tuple[str, ...]) -> None:
    """Measure and try postray, as "python -m benchmarks" does; "postray bench --help" lists the scenarios."""
    if config is not None:
        raise click.UsageError("bench brings up a postray of its own, and takes no settings file")
    harness: click.Group = load(COMMANDS, "bench")
    harness.main(args=list(arguments), prog_name="postray bench")


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


if __name__ == "__main__":
    main()
