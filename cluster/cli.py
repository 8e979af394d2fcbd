"""The ``postray`` command. Its commands are in commands/, but for bench. Each is imported when it is asked for:
together they import all of postray, which takes a second."""

from importlib import import_module
from typing import Any

import click

from cluster.commands.instance import DEFAULT_FILE
from cluster.entry_points import COMMANDS, load
from cluster.installation.private_files import Unsafe

MODULES = {
    "backup": ("backup", "restore"),
    "doctor": ("doctor",),
    "domains": ("domains",),
    "down": ("down",),
    "drain": ("drain", "undrain"),
    "export": ("export",),
    "history": ("history",),
    "inbound": ("inbound",),
    "inspection": ("explain", "route", "sources", "trace"),
    "keys": ("keys",),
    "nodes": ("nodes",),
    "operator_token": ("operator-token",),
    "queue": ("bounce", "reroute", "send-now"),
    "queue_ages": ("queue",),
    "recipients": ("recipients",),
    "report": ("report",),
    "secret": ("secret",),
    "shaping": ("shaping",),
    "sites": ("actions", "resume", "sites", "suspend"),
    "sql": ("sql",),
    "status": ("status",),
    "storage": ("storage",),
    "suppressions": ("suppressions",),
    "tenants": ("tenants",),
    "tls_report": ("tls-report",),
    "top": ("top",),
    "tracking": ("tracking",),
    "up": ("up",),
    "webhooks": ("webhooks",),
}
"""The commands of each module in commands/; a module calls them by the same names."""
_MODULE_OF = {name: module for module, names in MODULES.items() for name in names}


class CommandGroup(click.Group):
    """The command group, which imports a command when it is asked for. In one line, it reports a file or folder that a
    command cannot use."""

    def list_commands(self, context: click.Context) -> list[str]:
        return sorted({*self.commands, *_MODULE_OF})

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name in _MODULE_OF and name not in self.commands:
            module = import_module(f"cluster.commands.{_MODULE_OF[name]}")
            self.add_command(getattr(module, name.replace("-", "_")))
        return super().get_command(context, name)

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


if __name__ == "__main__":
    main()
