"""What came back by mail: how a report is understood."""

from base64 import b64decode
from pathlib import Path
from typing import Any, BinaryIO

import click
import msgspec
from msgspec import Struct

from cluster.commands.instance import Instance
from cluster.commands.output import NAME, console, json_option, moment, plain, print_json, table
from cluster.mail_in.classification import classified
from cluster.mail_in.parts import MAX_BYTES
from cluster.mail_in.reading import read_report
from cluster.mail_in.report import Kind, RecipientReport, Report


class _Judged(Struct, frozen=True, kw_only=True):
    """A recipient's report, and what it means here."""

    report: RecipientReport
    judgement: str
    bounce_class: str
    bounce_type: str
    rule: str

    @classmethod
    def of(cls, recipient: RecipientReport) -> "_Judged":
        verdict = classified(recipient)
        return cls(
            report=recipient,
            judgement=verdict.judgement,
            bounce_class=verdict.bounce_class or "",
            bounce_type=verdict.bounce_type or "",
            rule=verdict.rule,
        )


@click.group()
def inbound() -> None:
    """Reports on mail, complaints, and how they are understood."""


@inbound.command("list")
@click.option("--kind", type=click.Choice([kind.value for kind in Kind]), help="Only what was taken for this.")
@click.option("--message", type=NAME, help="Only about this message.")
@click.option("--limit", type=click.IntRange(1, 500), default=50, show_default=True, help="The newest so many.")
@click.option(
    "--save", type=click.Path(file_okay=False, writable=True), help="A folder for what nothing followed from."
)
@json_option
@click.pass_obj
def list_arrived(
    config: str | None, kind: str | None, message: str | None, limit: int, save: str | None, as_json: bool
) -> None:
    """The mail that came in, the newest first: what it was taken for, what followed, and why. What nothing followed
    from is kept for 30 days; with --save, "postray inbound explain" can read it."""
    instance, mails, before = Instance.of(config), list[dict[str, Any]](), None
    while len(mails) < limit:
        page = instance.get(
            "inbound",
            kind=kind,
            message_id=message,
            originals=True if save else None,
            limit=limit - len(mails),
            before=before,
        )
        mails += page["mails"]
        if (before := page["next"]) is None:
            break
    if save:
        folder = Path(save)
        folder.mkdir(parents=True, exist_ok=True)
        for mail in mails:
            if mail["original"] is not None:
                (folder / f"{mail['id']}.eml").write_bytes(b64decode(mail["original"]))
    if as_json:
        print_json(mails)
        return
    shown = table("=at", "=taken for", "what followed", "message", "why")
    for mail in mails:
        cells = (mail["kind"], mail["effect"] or "nothing", mail["message_id"] or "", "; ".join(mail["why"]))
        shown.add_row(
            moment(mail["at"]), *(plain(cell.replace("_", " ", 1)) for cell in cells[:1]), *map(plain, cells[1:])
        )
    console.print(shown if mails else "No such mail came in." if kind or message else "No mail came in.")


@inbound.command("explain")
@click.argument("file", type=click.File("rb"))
@json_option
def explain_report(file: BinaryIO, as_json: bool) -> None:
    """Read the report in FILE ("-": standard input), and say what it is and why. Nothing needs to run, and nothing
    changes."""
    try:
        data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise click.ClickException(f"{file.name} cannot be read: {error.strerror}") from error
    report = read_report(data)
    judged = [_Judged.of(recipient) for recipient in report.recipients]
    if as_json:
        print_json(_for_programs(report, judged))
        return
    said = f"{report.kind} ({report.feedback_type})" if report.feedback_type else str(report.kind)
    console.print(plain(said.replace("_", " ")), style="bold")
    for line in report.why:
        console.print(plain(f"  {line}"))
    if judged:
        console.print()
        _show_recipients(judged)
    console.print()
    _show_names(report)


def _for_programs(report: Report, judged: list[_Judged]) -> dict[str, object]:
    recipients = []
    for one in judged:
        verdict = msgspec.to_builtins(one)
        recipients.append({**verdict.pop("report"), **verdict})
    return {**msgspec.to_builtins(report), "recipients": recipients}


def _show_recipients(judged: list[_Judged]) -> None:
    shown = table("recipient", "=action", "=status", "=class", "=type", "reply")
    for one in judged:
        report = one.report
        named = report.final_recipient or report.original_recipient or "the only recipient"
        if report.original_recipient not in ("", named):
            named += f" (sent to {report.original_recipient})"
        cells = (named, report.action, report.status, one.bounce_class, one.bounce_type, report.diagnostic)
        shown.add_row(*(plain(cell) for cell in cells))
    console.print(shown)


def _show_names(report: Report) -> None:
    returned = msgspec.to_builtins(report.returned_ids)
    shown = table("=what it says of our message", "value")
    for name, values in returned.items():
        for value in values:
            shown.add_row(name.replace("_", " "), plain(value))
    if report.reporting_mta:
        shown.add_row("reporting mta", plain(report.reporting_mta))
    if report.reported_at is not None:
        shown.add_row("reported at", moment(report.reported_at.isoformat()))
    console.print(shown if shown.row_count else "It names no message of ours.", soft_wrap=True)
