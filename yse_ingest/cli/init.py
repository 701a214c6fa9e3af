"""``yse-ingest init DIR``: the folder of a deployment."""

from __future__ import annotations

from pathlib import Path

import click

from yse_ingest.cli.terminal import Terminal, terminal_options


@click.command()
@click.argument("folder", metavar="DIR", type=click.Path(file_okay=False, path_type=Path))
@click.option("--force", is_flag=True, help="Overwrite files that are there already.")
@terminal_options
def init(terminal: Terminal, folder: Path, *, force: bool) -> None:
    """Write the folder of a deployment.

    It gets celeryconfig.py (the knobs of Celery), Procfile (the processes), targets.toml (what
    is followed), yse-ingest.env (settings and secrets, readable by you alone) and systemd
    units, one per process. Nothing that exists is overwritten without --force.

    \b
    Example:
      yse-ingest init ~/yse && cd ~/yse && yse-ingest doctor
    """
    from yse_ingest.cli.deployment import write_deployment
    from yse_ingest.cli.render import say

    written = write_deployment(folder, force=force)
    if terminal.as_json:
        terminal.result({"folder": str(folder), "written": [str(path) for path in written]})
        return
    for path in written:
        say(f"wrote {path}")
    say(f"\nNext: put YSE_PZ_URL and the account into {folder / 'yse-ingest.env'}, the")
    say(f"targets into {folder / 'targets.toml'}, then: cd {folder} && yse-ingest doctor")
