"""The terminal: ``yse-ingest COMMAND``.

One module per command. A module imports click alone at its top; what a command needs besides
is imported when it runs, so that ``yse-ingest --help`` answers at once.
"""

from __future__ import annotations

import importlib
import logging
import os
from pathlib import Path
from typing import ClassVar

import click

from yse_ingest import __version__
from yse_ingest.cli.terminal import USAGE, Terminal, exit_code, report
from yse_ingest.envfile import ENV_FILE, load_env_file
from yse_ingest.errors import YseIngestError

_NOWHERE = logging.NullHandler()


class Commands(click.Group):
    """The commands by module; errors of ours end them with a message, not a traceback."""

    modules: ClassVar[dict[str, str]] = {
        "init": "init",
        "doctor": "doctor",
        "vocab": "vocab",
        "fetch": "fetch",
        "push": "push",
        "enqueue": "enqueue",
        "status": "status",
        "why": "why",
        "health": "health",
        "notify": "notify",
        "sources": "sources",
        "targets": "targets",
        "quarantine": "quarantine",
        "reconcile": "reconcile",
        "hold": "hold",
        "resume": "hold",
        "up": "up",
        "sandbox": "sandbox",
        "shadow": "shadow",
        "adopt": "adopt",
    }
    """Command to its module, which has it under the same name; in the order of a first day."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """Return the commands in the order in which a newcomer needs them."""
        return list(self.modules)

    def get_command(
        self,
        ctx: click.Context,  # noqa: ARG002  click's signature
        cmd_name: str,
    ) -> click.Command | None:
        """Import and return one command."""
        if cmd_name not in self.modules:
            return None
        module = importlib.import_module(f"yse_ingest.cli.{self.modules[cmd_name]}")
        command: click.Command = getattr(module, cmd_name)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Name the command of targets, too, where somebody leaves that word out."""
        if args and args[0] not in self.modules:
            group = self.get_command(ctx, "targets")
            if isinstance(group, click.Group) and args[0] in group.commands:
                ctx.fail(f"No such command '{args[0]}': `yse-ingest targets {args[0]}`?")
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> object:
        """Run a command; 0: done, 1: owed or failed, 2: wrong usage or settings."""
        try:
            return super().invoke(ctx)
        except YseIngestError as error:
            report(error, as_json=Terminal.of(ctx).as_json)
            ctx.exit(exit_code(error))
        except click.UsageError as error:
            if not Terminal.of(ctx).as_json:
                raise
            path = ctx.command_path if error.ctx is None else error.ctx.command_path
            told = {
                "error": "UsageError",
                "fact": error.format_message(),
                "remedy": f"See `{path} --help`.",
            }
            Terminal.of(ctx).result({"error": told})
            ctx.exit(USAGE)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Note --json: an option that does not exist ends the parsing before it is read."""
        Terminal.of(ctx).as_json = "--json" in args
        if os.environ.get("NO_COLOR"):
            # click does not know this custom (no-color.org); rich, which draws tables, does.
            ctx.color = False
        return super().parse_args(ctx, args)


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit codes: 0 done, 1 owed or failed, 2 wrong usage or settings.",
)
@click.version_option(__version__, prog_name="yse-ingest")
@click.pass_context
def main(ctx: click.Context) -> None:
    """Keep the photometry of transients in YSE-PZ complete, correct and fresh.

    Settings come from the environment, and from yse-ingest.env in the working directory where
    that exists (the environment wins). See docs/settings.md.

    \b
    Examples:
      yse-ingest init ~/yse            a folder for a deployment
      yse-ingest doctor                is everything as it should be?
      yse-ingest fetch 2019np          what a source has, and what would be sent
      yse-ingest push 2019np           send it now, and prove it
      yse-ingest up                    start it
      yse-ingest up --sandbox          the whole service on stand-ins, without a folder
    """
    # Each command says itself what it found: a line of the log beside it, without its fields,
    # explains nothing. With --verbose the log is shown whole.
    logging.getLogger("yse_ingest").addHandler(_NOWHERE)
    terminal = Terminal.of(ctx)
    path = Path(ENV_FILE)
    try:
        terminal.env_file = load_env_file(path, os.environ)
    except YseIngestError as error:
        report(error, as_json=False)
        ctx.exit(exit_code(error))
