"""``yse-ingest up``: the whole service from one terminal."""

from __future__ import annotations

import contextlib
import fcntl
import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from yse_ingest.cli.terminal import Terminal, terminal_options
from yse_ingest.errors import YseIngestError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from yse_ingest.cli.playground import Playground
    from yse_ingest.service import Service

SANDBOX_DIR = Path("var/sandbox")


@click.command()
@click.option(
    "--sandbox",
    is_flag=True,
    help="On stand-ins of MARS, ALeRCE and YSE-PZ with 31 supernovae.",
)
@click.option(
    "--once",
    is_flag=True,
    help="End as soon as every target was fetched, uploaded and read back.",
)
@click.option(
    "--shadow",
    is_flag=True,
    help="Write nothing to YSE-PZ: record what would be sent (YSE_INGEST_SHADOW).",
)
@click.option(
    "--timeout",
    default="10m",
    show_default=True,
    metavar="DURATION",
    help="With --once: end with an error after this.",
)
@click.option("--targets", "count", type=click.IntRange(1, 31), hidden=True)
@terminal_options
def up(
    terminal: Terminal,
    *,
    sandbox: bool,
    once: bool,
    shadow: bool,
    timeout: str,
    count: int | None,
) -> None:
    """Run the processes of the Procfile, and restart what dies.

    Fetch, upload and control workers, beat and Flower run until Ctrl-C, which ends all of them
    in order. Without a Procfile in this folder the usual processes are run. Their logs are in
    the state folder (YSE_INGEST_STATE_DIR, var), in log.

    \b
    Examples:
      yse-ingest up                        this folder's service
      yse-ingest up --sandbox              try it: nothing leaves this machine
      yse-ingest up --sandbox --once       the same, ending when all is stored
      yse-ingest up --shadow               beside the old jobs: nothing is written
    """
    from yse_ingest.cli.running import Run
    from yse_ingest.times import parse_duration

    try:
        limit_s = parse_duration(timeout)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--timeout") from error
    if shadow:
        os.environ["YSE_INGEST_SHADOW"] = "true"
    with contextlib.ExitStack() as stack:
        service, playground = _prepared(stack, count=count, sandbox=sandbox)
        run = Run(terminal, service, playground)
        stack.enter_context(run.signals())
        run.processes = stack.enter_context(run.started(once=once))
        code = run.once(limit_s) if once else run.on()
    raise SystemExit(code)


def _prepared(
    stack: contextlib.ExitStack, *, count: int | None, sandbox: bool
) -> tuple[Service, Playground | None]:
    """Return the service to be run, checked so far that a mistake is told at once."""
    from yse_ingest.service import Service
    from yse_ingest.settings import Settings

    if not sandbox:
        settings = Settings.from_env(os.environ)
        stack.enter_context(alone(settings.state_dir / "up.lock"))
        settings.account()
        service = Service.from_settings(settings)
        _ = service.state
        return service, None
    from yse_ingest.cli.playground import Playground

    directory = SANDBOX_DIR.absolute()
    stack.enter_context(alone(directory.with_name("sandbox.lock")))
    playground = stack.enter_context(Playground(directory, os.environ, count=count))
    service = Service.from_settings(Settings.from_env(playground.environment()))
    for target in playground.targets():
        service.enqueue(target)
    return service, playground


@contextlib.contextmanager
def alone(path: Path, *, command: str = "up") -> Iterator[None]:
    """Refuse to run twice in one folder: a second beat and a second set of logs help nobody.

    Parameters
    ----------
    path
        The lock.
    command
        Who runs, for the message.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise YseIngestError(
                "it is running already in this folder",
                service=command,
                remedy=f"End that one first (it holds {path}).",
            ) from error
        yield
