"""``postray export``: what a tenant has, in files.

It reads page by page and keeps one page in memory. After each page, ``export.json`` beside the files notes how
far it is: the same command goes on where it was interrupted, and what was written after the last page is cut off.
"""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import msgspec
from msgspec import Struct, field
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from cluster.commands.instance import Instance, path_part
from cluster.commands.output import NAME, console, errors
from cluster.commands.suppressions import SinceType
from cluster.installation.private_files import keep_to_ourselves, make_folder, sync_folder, write_whole

STATE = "export.json"
TIME, TEXTS = "DateTime64(3, 'UTC')", "Array(String)"
COLUMNS: Mapping[str, Mapping[str, str]] = {
    "messages": {
        "id": "String",
        "status": "String",
        "from_email": "String",
        "from_name": "Nullable(String)",
        "subject": "String",
        "to_emails": TEXTS,
        "cc_emails": TEXTS,
        "bcc_emails": TEXTS,
        "reply_to": "Nullable(String)",
        "categories": TEXTS,
        "template_id": "Nullable(String)",
        "batch_id": "Nullable(String)",
        "custom_args": "String",
        "custom_headers": "String",
        "tracking_settings": "String",
        "retry_count": "UInt32",
        "next_retry_at": f"Nullable({TIME})",
        "html_content": "Nullable(String)",
        "plain_content": "Nullable(String)",
        "created_at": TIME,
        "queued_at": TIME,
        "send_at": f"Nullable({TIME})",
        "sent_at": f"Nullable({TIME})",
        "delivered_at": f"Nullable({TIME})",
        "error_message": "Nullable(String)",
    },
    "events": {
        "event_id": "String",
        "at": TIME,
        "message_id": "String",
        "event": "String",
        "recipient": "String",
        "recipient_domain": "String",
        "batch_id": "String",
        "categories": TEXTS,
        "attempt": "UInt32",
        "site": "String",
        "mx_host": "String",
        "mx_ip": "String",
        "source_ip": "String",
        "tls_version": "String",
        "tls_cipher": "String",
        "smtp_response": "String",
        "duration_ms": "UInt32",
        "bounce_type": "String",
        "bounce_class": "String",
        "reason": "String",
        "next_attempt_at": f"Nullable({TIME})",
        "url": "String",
        "link_index": "UInt32",
        "image": "String",
        "asm_group_id": "UInt32",
        "ip": "String",
        "user_agent": "String",
        "machine": "Bool",
        "machine_rule": "String",
        "sequence": "UInt64",
    },
    "suppressions": {
        "list": "String",
        "group_id": "Nullable(UInt32)",
        "email": "String",
        "created_at": TIME,
        "reason": "String",
        "status": "String",
        "ip": "String",
    },
    "groups": {
        "id": "UInt32",
        "name": "String",
        "description": "String",
        "is_default": "Bool",
        "unsubscribes": "UInt64",
    },
    "templates": {
        "template_id": "String",
        "template": "String",
        "generation": "String",
        "id": "Nullable(String)",
        "name": "Nullable(String)",
        "subject": "Nullable(String)",
        "editor": "Nullable(String)",
        "generate_plain_content": "Nullable(Bool)",
        "is_active": "Nullable(Bool)",
        "test_data": "Nullable(String)",
        "texts": "Nullable(String)",
        "created_at": f"Nullable({TIME})",
        "updated_at": f"Nullable({TIME})",
    },
    "domains": {
        "id": "UInt64",
        "domain": "String",
        "subdomain": "String",
        "return_path": "String",
        "is_default": "Bool",
        "include_subdomains": "Bool",
        "uses_cnames": "Bool",
        "created_at": TIME,
        "verified_at": f"Nullable({TIME})",
        "checked_at": f"Nullable({TIME})",
        "wrong_since": f"Nullable({TIME})",
        "keys": "String",
    },
    "webhooks": {
        "id": "String",
        "dialect": "String",
        "name": "String",
        "url": "String",
        "enabled_events": TEXTS,
        "categories": TEXTS,
        "api_key_ids": TEXTS,
        "batch": "Bool",
        "standard": "Bool",
        "enabled": "Bool",
        "paused": "Bool",
        "notify_email": "String",
        "created_at": TIME,
        "updated_at": TIME,
        "status": "String",
        "disabled_reason": "String",
        "waiting": "UInt64",
        "posted": "UInt64",
        "dropped": "UInt64",
    },
    "settings": {
        "id": "String",
        "name": "String",
        "created_at": TIME,
        "suspended_at": f"Nullable({TIME})",
        "settings": "String",
        "limits": "String",
    },
}
"""The columns of Parquet files, by what is exported; objects are JSON texts there."""
READING = "date_time_input_format = 'best_effort', input_format_skip_unknown_fields = 1"
PARQUET = """
SELECT * FROM file('{source}', 'JSONEachRow', '{columns}')
INTO OUTFILE '{target}' TRUNCATE FORMAT Parquet
SETTINGS {reading}, output_format_parquet_string_as_string = 1, max_threads = 1
"""


class Part(Struct, kw_only=True):
    """How far one file is."""

    after: str = ""
    size: int = 0
    """Of the file, in bytes, with the rows before ``after``."""
    rows: int = 0
    is_done: bool = False


class State(Struct, kw_only=True):
    """An export, as ``export.json`` has it."""

    tenant: str
    format: str
    since: str | None
    until: str
    parts: dict[str, Part] = field(default_factory=dict)


@click.command()
@click.argument("tenant", type=NAME)
@click.option("--out", required=True, type=click.Path(file_okay=False, path_type=Path), help="The folder of the files.")
@click.option("--format", "format_", type=click.Choice(("jsonl", "parquet")), default="jsonl", show_default=True)
@click.option("--since", type=SinceType(), help="Messages and events from then on: a time (UTC), or how long ago.")
@click.option("--until", type=SinceType(), help="Messages and events before then. Default: now.")
@click.option("--what", default=",".join(COLUMNS), show_default=True, help="What to export, separated by commas.")
@click.pass_obj
def export(
    config: str | None,
    tenant: str,
    out: Path,
    format_: str,
    since: datetime | None,
    until: datetime | None,
    what: str,
) -> None:
    """Write what TENANT has to files. Keys and secrets are not among it. The same command goes on with an export that
    was interrupted."""
    wanted = [name.strip() for name in what.split(",") if name.strip()]
    unknown = [name for name in wanted if name not in COLUMNS]
    if unknown or not wanted:
        raise click.ClickException(f"--what: {', '.join(unknown) or 'nothing'}; there are {', '.join(COLUMNS)}")
    keep_to_ourselves()
    try:
        state = _written(Instance.of(config), out, wanted, tenant, format_, since, until)
    except OSError as error:
        raise click.ClickException(f"{error}; the same command goes on with this export") from error
    for name in wanted:
        console.print(f"{out / name}.{format_}  {state.parts[name].rows:,} rows", markup=False, soft_wrap=True)


def _written(
    instance: Instance,
    out: Path,
    wanted: Sequence[str],
    tenant: str,
    format_: str,
    since: datetime | None,
    until: datetime | None,
) -> State:
    """Write the files. Raises OSError."""
    make_folder(out)
    state = _begun(out, wanted, tenant, format_, since, until)
    with Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        TextColumn("{task.completed:,} rows"),
        TimeElapsedColumn(),
        console=errors,
    ) as progress:
        for name in wanted:
            part = state.parts[name] = _noted(out, state, name)
            task = progress.add_task(name, total=None, completed=part.rows)
            for rows in _read(instance, out, state, name):
                progress.update(task, completed=rows)
            if format_ == "parquet":
                _to_parquet(out, name)
    return state


def _begun(
    out: Path, wanted: Sequence[str], tenant: str, format_: str, since: datetime | None, until: datetime | None
) -> State:
    """The export in this folder, or a new one. Raises click.ClickException when that is another one."""
    path = out / STATE
    if not path.exists():
        end = until or datetime.now(UTC)
        return State(tenant=tenant, format=format_, since=since.isoformat() if since else None, until=end.isoformat())
    try:
        state = msgspec.json.decode(path.read_bytes(), type=State)
    except msgspec.DecodeError as error:
        raise click.ClickException(f"{path}: {error}") from error
    if (state.tenant, state.format) != (tenant, format_):
        raise click.ClickException(f"{out} has the export of {state.tenant} as {state.format}: choose another folder")
    if all(state.parts.get(name, Part()).is_done for name in wanted):
        said = f"{out} has what there was before {state.until}: choose another folder for what is newer"
    else:
        said = f"going on with the export of {state.until}"
    errors.print(said, markup=False, soft_wrap=True)
    return state


def _noted(out: Path, state: State, name: str) -> Part:
    """How far the file is. It is at the beginning when less is there than was noted, as after a power failure."""
    part = state.parts.get(name, Part())
    rows = out / f"{name}.jsonl"
    if rows.exists():
        return part if rows.stat().st_size >= part.size else Part()
    is_parquet = state.format == "parquet" and (out / f"{name}.parquet").exists()
    return part if part.is_done and is_parquet else Part()


def _read(instance: Instance, out: Path, state: State, name: str) -> Iterator[int]:
    """Write the rows that are not written yet. Yields, after each page, how many rows the file has."""
    part = state.parts[name]
    target = out / f"{name}.jsonl"
    if part.is_done:
        return
    with target.open("ab") as file:
        file.truncate(part.size)
        path = f"tenants/{path_part(state.tenant)}/export/{name}"
        for page in instance.pages(path, part.after, since=state.since, until=state.until):
            file.write(_lines(page["rows"]))
            file.flush()
            os.fsync(file.fileno())  # before it is noted, on disk as well, that they are there
            part.after, part.size, part.rows = page["next"] or "", file.tell(), part.rows + len(page["rows"])
            part.is_done = page["next"] is None
            write_whole(out / STATE, msgspec.json.encode(state))
            yield part.rows


def _lines(rows: Sequence[Any]) -> bytes:
    return b"".join(json.dumps(row, ensure_ascii=False, separators=(",", ":")).encode() + b"\n" for row in rows)


def _to_parquet(out: Path, name: str) -> None:
    """Turn the file of rows into a Parquet file. ClickHouse's engine does it, in this process and without any data of
    its own."""
    source, target = out.resolve() / f"{name}.jsonl", out.resolve() / f"{name}.parquet"
    if not source.exists():
        return
    import chdb  # half a gigabyte, which only this needs

    columns = ", ".join(f"{column} {kind}" for column, kind in COLUMNS[name].items())
    query = PARQUET.format(source=_quoted(source), target=_quoted(target), columns=_quoted(columns), reading=READING)
    try:
        chdb.query(query)
    except RuntimeError as error:
        raise OSError(f"{target} was not written: {error}") from error
    with target.open("rb") as file:
        os.fsync(file.fileno())
    sync_folder(target.parent)
    source.unlink()


def _quoted(text: object) -> str:
    return str(text).replace("\\", "\\\\").replace("'", "\\'")
