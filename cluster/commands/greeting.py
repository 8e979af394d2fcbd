"""What ``postray up`` prints once it is ready: where it is, and what to do next."""

import json
import shlex
from pathlib import Path

from cluster.commands.output import RULE, console
from cluster.installation.local_secrets import SQL_USER
from cluster.installation.running import Run

say = console.print


def greet(run: Run, key: str, file: Path, sql_password: str = "") -> None:
    """Print the URL and the demo key. With ``key`` "", print the key's file instead. ``sql_password``: the password, or
    words that say where it is."""
    say(RULE, soft_wrap=True)
    _say_where(run, sql_password, f"API key                 {key or f'in {file}'}")
    say("\nSend a mail:\n")
    say(curl(run.url, key or f"$(cat {shlex.quote(str(file))})"), soft_wrap=True, markup=False)
    _say_end()


def greet_without_demo(run: Run, config: str | None, sql_password: str = "", *, has_tenants: bool) -> None:
    """Print the URL and, where there is no tenant, the commands that make one which can send. ``config`` is the
    settings file as it was given."""
    say(RULE, soft_wrap=True)
    _say_where(run, sql_password)
    if not has_tenants:
        postray = f"postray --config {shlex.quote(config)}" if config else "postray"
        say("\nThere is no tenant yet. A tenant, its API key, and the domain that it sends from:\n")
        for command in FIRST_COMMANDS:
            say(f"{postray} {command}", soft_wrap=True, markup=False)
    _say_end()


FIRST_COMMANDS = (
    "tenants add acme",
    "keys add acme",
    "domains add mail.acme.example --tenant acme",
)


def _say_where(run: Run, sql_password: str, *further: str) -> None:
    lines = [f"postray is ready        {run.url}", *further]
    if run.page:
        lines.append(f"captured mail           {run.page}")
    if run.submission:
        lines.append(f"mail by SMTP            {run.submission}, with TLS; user apikey, password an API key")
    if run.mail_in:
        lines.append(f"bounces, complaints     {run.mail_in}")
    if run.sql:
        lines.append(f"SQL (ClickHouse HTTP)   {run.sql}, user {SQL_USER}, password {sql_password}")
    if run.metrics:
        lines.append(f"metrics (Prometheus)    {run.metrics}")
    if run.console:
        lines.append(
            f"the console             {run.console}, with an operator's token: postray operator-token add NAME"
        )
    if run.tracking:
        lines.append(f"tracked links, images   {run.tracking}")
    lines.append(f"the API, to try         {run.url}/docs")
    for line in lines:
        say(line, soft_wrap=True)


def _say_end() -> None:
    say(RULE, soft_wrap=True)
    say("Ctrl-C stops it.")


def curl(url: str, key: str) -> str:
    """A command that sends one mail, ready to paste."""
    body = {
        "personalizations": [{"to": [{"email": "ada@example.com", "name": "Ada"}]}],
        "from": {"email": "hello@mail.example.com", "name": "Acme"},
        "subject": "Welcome to Acme",
        "content": [
            {"type": "text/plain", "value": "Welcome, Ada!"},
            {"type": "text/html", "value": "<h1>Welcome, Ada!</h1>"},
        ],
    }
    return (
        f"curl -i {url}/v3/mail/send \\\n"
        f'  -H "Authorization: Bearer {key}" \\\n'
        f"  -H 'Content-Type: application/json' \\\n"
        f"  -d '{json.dumps(body)}'"
    )
