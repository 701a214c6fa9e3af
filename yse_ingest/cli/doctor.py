"""``yse-ingest doctor``: what is not as it should be, and what to do about it."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING

import click

from yse_ingest.cli.terminal import DONE, FAILED, Terminal, terminal_options
from yse_ingest.redaction import redacted, secrets_of

if TYPE_CHECKING:
    from yse_ingest.cli.checks import Check

COLOURS = {"ok": "green", "warn": "yellow", "fail": "red"}


@click.command()
@terminal_options
def doctor(terminal: Terminal) -> None:
    """Check that everything is as it should be; one line each.

    Settings, Redis, sources, YSE-PZ, vocabulary, schedule, queues, workers and beat.

    Below a line that is not ok stands what to do about it. Where YSE-PZ lacks the instrument,
    bands or group of a survey in use, these are the rows that its administrator must add.
    Exit code 1 where something fails. Nothing is written anywhere.

    \b
    Example:
      cd ~/yse && yse-ingest doctor
    """
    from yse_ingest.cli.checks import examine

    found: list[Check] = []
    secrets = secrets_of(os.environ)
    for check in examine(terminal.env_file):
        check = replace(check, fact=redacted(check.fact, secrets))
        found.append(check)
        if not terminal.as_json:
            click.echo(_line(check))
    failed = [check for check in found if check.level == "fail"]
    if terminal.as_json:
        terminal.result({"ok": not failed, "checks": [check.as_dict() for check in found]})
    raise SystemExit(FAILED if failed else DONE)


def _line(check: Check) -> str:
    word = "FAIL" if check.level == "fail" else check.level
    level = click.style(f"{word:4}", fg=COLOURS[check.level])
    below = [check.remedy] if check.remedy else []
    below += [f"  {row}" for row in check.rows or ()]
    return "\n      ".join([f"{level}  {check.subject}: {check.fact}", *below])
