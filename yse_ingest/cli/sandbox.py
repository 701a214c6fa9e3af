"""``yse-ingest sandbox``: a YSE-PZ, two sources and a Redis to practise on."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import click

from yse_ingest.cli.terminal import DONE, Terminal, terminal_options

if TYPE_CHECKING:
    from collections.abc import Iterator

    from yse_ingest.settings import Settings

HERE = "127.0.0.1"
LOOK_EVERY_S = 0.5
"""How often the sandbox looks whether its Redis runs [s]."""


@click.command()
@terminal_options
def sandbox(terminal: Terminal) -> None:
    """Run a stand-in YSE-PZ, ALeRCE and Fink, and a Redis, until Ctrl-C.

    They listen where the settings of this folder say: those that `yse-ingest init DIR
    --sandbox` wrote. YSE-PZ has 31 real supernovae without photometry, three of them with the
    tag YSE. What is stored is kept in the state folder, in sandbox, and is there again at the
    next start. `yse-ingest up` in a second terminal is the service.

    \b
    Example:
      yse-ingest init ~/practice --sandbox && cd ~/practice && yse-ingest sandbox
    """
    from yse_ingest.cli.practice import running
    from yse_ingest.cli.up import alone

    settings = terminal.settings()
    ports = _ports(settings)
    directory = settings.state_dir / "sandbox"
    with contextlib.ExitStack() as stack:
        stop = stack.enter_context(_asked_to_stop())
        stack.enter_context(alone(settings.state_dir / "sandbox.lock", command="sandbox"))
        addresses, redis = stack.enter_context(running(directory, ports))
        if terminal.as_json:
            terminal.result(addresses)
        else:
            for name, address in addresses.items():
                click.echo(f"{name:8}{address}")
            click.echo(
                "Running until Ctrl-C. The service: `yse-ingest up`, in another terminal."
            )
        while not stop.wait(LOOK_EVERY_S):
            if redis.pid is None:
                click.echo("Redis ended; it is started again, with what it had.", err=True)
                redis.start()
    raise SystemExit(DONE)


def _ports(settings: Settings) -> dict[str, int]:
    """Return the ports of the settings, by what listens there.

    Raises
    ------
    SettingsError
        When one is not of this machine: stand-ins are for a folder made for them.
    """
    from yse_ingest.errors import SettingsError

    addresses = {
        "YSE-PZ": ("YSE_PZ_URL", settings.ysepz_url),
        "ALeRCE": ("ALERCE_URL", os.environ.get("ALERCE_URL")),
        "Fink": ("FINK_URL", os.environ.get("FINK_URL")),
        "Redis": ("CELERY_BROKER_URL", settings.broker_url),
    }
    ports = {}
    for name, (field, address) in addresses.items():
        parts = urlsplit(address or "")
        if parts.hostname != HERE or parts.port is None:
            raise SettingsError(
                f"{field} of this folder is no address of a sandbox",
                service="sandbox",
                field=field,
                remedy="Make a folder for it: `yse-ingest init DIR --sandbox`. The whole "
                "service without a folder: `yse-ingest up --sandbox`.",
            )
        ports[name] = parts.port
    return ports


@contextlib.contextmanager
def _asked_to_stop() -> Iterator[threading.Event]:
    """Set an event at Ctrl-C and SIGTERM."""
    stop = threading.Event()
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, lambda *_: stop.set()) for number in numbers}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
