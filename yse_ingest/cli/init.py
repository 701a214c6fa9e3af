"""``yse-ingest init DIR``: the folder of a deployment."""

from __future__ import annotations

from pathlib import Path

import click

from yse_ingest.cli.terminal import Terminal, terminal_options


@click.command()
@click.argument("folder", metavar="DIR", type=click.Path(file_okay=False, path_type=Path))
@click.option("--force", is_flag=True, help="Overwrite files that are there already.")
@click.option(
    "--namespace",
    metavar="NAME",
    help="For a second service on one host or Redis (another YSE-PZ): they share nothing.",
)
@click.option(
    "--sandbox",
    is_flag=True,
    help="To practise: its settings are those of `yse-ingest sandbox`.",
)
@terminal_options
def init(
    terminal: Terminal, folder: Path, *, force: bool, namespace: str | None, sandbox: bool
) -> None:
    """Write the folder of a deployment.

    It gets celeryconfig.py (the knobs of Celery), Procfile (the processes), targets.toml (what
    is followed), yse-ingest.env (settings and secrets, readable by you alone) and systemd
    units, one per process. Nothing that exists is overwritten without --force.

    \b
    Examples:
      yse-ingest init ~/yse && cd ~/yse && yse-ingest doctor
      yse-ingest init ~/practice --sandbox      nothing leaves this machine
      yse-ingest init ~/yse-test --namespace yse-test
    """
    from yse_ingest.cli.deployment import write_deployment
    from yse_ingest.cli.render import say
    from yse_ingest.state.keys import Keys

    if namespace is not None:
        Keys(namespace)  # refuses what cannot be one
    settings = {}
    if sandbox:
        from yse_ingest.cli.practice import settings_of_practice

        settings = settings_of_practice()
    written = write_deployment(folder, force=force, namespace=namespace, settings=settings)
    if terminal.as_json:
        terminal.result({"folder": str(folder), "written": [str(path) for path in written]})
        return
    say(f"wrote {', '.join(sorted({path.relative_to(folder).parts[0] for path in written}))}")
    if sandbox:
        say(f"\nNext: cd {folder} && yse-ingest sandbox")
        return
    say(f"\nNext: put YSE_PZ_URL and the account into {folder / 'yse-ingest.env'}, the")
    say(f"targets into {folder / 'targets.toml'}, then: cd {folder} && yse-ingest doctor")
