"""``postray up``: starts postray, stays with it until it is to stop, or leaves it running in the background."""

import contextlib
import os
import signal
import ssl
import subprocess
import sys
import time
from pathlib import Path

import click
from rich.markup import escape

from cluster.commands.greeting import greet, greet_without_demo
from cluster.commands.hanging_up import HangUp
from cluster.commands.instance import in_place, settings_of
from cluster.commands.output import console, errors
from cluster.commands.shaping import in_words, put_files_in_force
from cluster.commands.sql_door import sql_password_place
from cluster.installation import running
from cluster.installation.local_secrets import DEMO_KEY, SQL_PASSWORD, demo_key, sql_password
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
from cluster.installation.signal_flag import SignalFlag
from cluster.journal.journal import Unavailable
from cluster.policies import BadPolicies, read_files
from cluster.settings import Settings
from cluster.starting import DidNotStart
from cluster.up import Died, Postray

LOOK_AFTER_S = 1.0


@click.command()
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
    stop_requested = SignalFlag()
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
        hurry = SignalFlag()
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
