"""What every command shares: options, settings and service, errors and exit codes."""

from __future__ import annotations

import copy
import functools
import json
import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import click

from yse_ingest.errors import (
    PayloadError,
    SettingsError,
    SourceError,
    TargetError,
    VocabularyError,
    YsePzError,
)
from yse_ingest.redaction import redacted, secrets_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from yse_ingest.errors import YseIngestError
    from yse_ingest.service import Service
    from yse_ingest.settings import Settings

DONE, FAILED, USAGE = 0, 1, 2

_ANSWERS = (SourceError, YsePzError, VocabularyError, PayloadError)

_Command = TypeVar("_Command", bound="Callable[..., Any]")


@dataclass
class Terminal:
    """One run of the program."""

    env_file: Path | None = None
    """The env file that was read."""
    as_json: bool = False
    verbose: bool = False
    target: str | None = None
    """The one target that the command is about."""

    @classmethod
    def of(cls, ctx: click.Context) -> Terminal:
        """Return the run that this context belongs to."""
        root = ctx.find_root()
        if not isinstance(root.obj, Terminal):
            root.obj = Terminal()
        terminal: Terminal = root.obj
        ctx.obj = terminal
        return terminal

    def settings(self) -> Settings:
        """Return the settings of the environment."""
        from yse_ingest.settings import Settings

        return Settings.from_env(os.environ)

    def service(self) -> Service:
        """Return the service; it connects to what a command really asks for."""
        from yse_ingest.service import Service

        return Service.from_settings(self.settings())

    def progress(self) -> Callable[[str], None]:
        """Return what tells a person, on the error output, what is going on."""
        if self.as_json or not (self.verbose or sys.stderr.isatty()):
            return lambda _: None
        return functools.partial(click.echo, err=True)

    def result(self, value: object) -> None:
        """Print the one JSON document of a command."""
        click.echo(json.dumps(value, indent=2, allow_nan=False, default=str))


def _noted(name: str) -> Callable[[click.Context, click.Parameter, bool], None]:
    def note(ctx: click.Context, _: click.Parameter, value: bool) -> None:
        terminal = Terminal.of(ctx)
        setattr(terminal, name, getattr(terminal, name) or value)
        if name == "verbose" and value:
            log_to_terminal()

    return note


def terminal_options(command: _Command) -> _Command:
    """Give a command ``--json`` and ``-v``; it gets the `Terminal` as its first argument."""
    for option in (
        click.option(
            "-v",
            "--verbose",
            is_flag=True,
            expose_value=False,
            callback=_noted("verbose"),
            help="Say more, on the error output.",
        ),
        click.option(
            "--json",
            is_flag=True,
            expose_value=False,
            callback=_noted("as_json"),
            # Before the other options, so that their errors know how to be printed.
            is_eager=True,
            help="Print one JSON document.",
        ),
    ):
        command = option(command)

    @functools.wraps(command)
    def run(*args: Any, **kwargs: Any) -> Any:
        terminal = Terminal.of(click.get_current_context())
        terminal.target = kwargs.get("name")
        return command(terminal, *args, **kwargs)

    return run  # type: ignore[return-value]


def reading_service(terminal: Terminal) -> Service:
    """Return the service with a client of YSE-PZ that cannot write."""
    from dataclasses import replace

    from yse_ingest.service import Service

    return Service.from_settings(replace(terminal.settings(), shadow=True))


def exit_code(error: YseIngestError) -> int:
    """Return 2 for what the reader wrote or configured wrongly, else 1."""
    if isinstance(error, SettingsError):
        return USAGE
    # Its subclasses say what the world answered; itself, that the target as given is wrong.
    return USAGE if type(error) is TargetError and error.service == "targets" else FAILED


def report(error: YseIngestError, *, as_json: bool) -> None:
    """Print an error: as JSON on the output, else as a block on the error output.

    An answer of a service is told with the target that the command is about.
    """
    context = click.get_current_context(silent=True)
    if context is not None and isinstance(error, _ANSWERS):
        error = about(error, Terminal.of(context).target)
    secrets = secrets_of(os.environ)
    if as_json:
        text = json.dumps({"error": error.as_dict()}, indent=2, default=str)
        click.echo(redacted(text, secrets))
    else:
        click.echo(redacted(error_block(error), secrets), err=True)


def about(error: YseIngestError, target: str | None) -> YseIngestError:
    """Return the error with the target it concerns, where it does not name one itself."""
    if error.target is not None:
        return error
    told = copy.copy(error)
    told.target = target
    return told


def error_block(error: YseIngestError) -> str:
    """Return "service: target: fact", and what to do about it on a line of its own."""
    text = str(error)
    if not error.remedy:
        return click.style(text, fg="red")
    fact = text.removesuffix(f". {error.remedy}")
    return f"{click.style(fact, fg='red')}\n  {error.remedy}"


def log_to_terminal() -> None:
    """Show the log of this project on the error output, fields as ``name=value``."""
    import logging

    plain = set(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}

    class Lines(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            fields = [
                f"{name}={value}" for name, value in vars(record).items() if name not in plain
            ]
            line = " ".join([record.getMessage(), *fields])
            click.echo(redacted(line, secrets_of(os.environ)), err=True)

    logger = logging.getLogger("yse_ingest")
    if not any(isinstance(handler, Lines) for handler in logger.handlers):
        logger.addHandler(Lines())
        logger.setLevel(logging.INFO)
