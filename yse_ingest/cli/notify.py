"""``yse-ingest notify``: who is told of what changes, and whether it works."""

from __future__ import annotations

from typing import Any

import click

from yse_ingest.cli.terminal import DONE, FAILED, USAGE, Terminal, terminal_options


@click.command()
@click.option("--test", is_flag=True, help="Send a test message now on every channel.")
@terminal_options
def notify(terminal: Terminal, *, test: bool) -> None:
    """Show who is told of changes, and whether messages go out; or send a test message.

    People are told by e-mail (YSE_INGEST_NOTIFY_TO, YSE_INGEST_SMTP_HOST) and by a command
    (YSE_INGEST_NOTIFY_COMMAND): once for each change of state. See docs/monitoring.md.

    \b
    Examples:
      yse-ingest notify
      yse-ingest notify --test
    """
    from yse_ingest.cli.render import say, warn
    from yse_ingest.watch.channels import channels_of

    service = terminal.service()
    channels = channels_of(service.settings)
    if not channels:
        if terminal.as_json:
            terminal.result({"channels": {}})
        warn(
            "nobody is told: set YSE_INGEST_NOTIFY_TO or YSE_INGEST_NOTIFY_COMMAND "
            "(docs/monitoring.md)"
        )
        raise SystemExit(USAGE if test else DONE)
    found = _test(service.settings) if test else _standing(service)
    if terminal.as_json:
        terminal.result({"channels": found})
    else:
        for name, how in found.items():
            say(f"{name}: {how['said']}", style=None if how["ok"] else "red")
            if remedy := how.get("remedy"):
                say(f"  {remedy}")
    raise SystemExit(DONE if all(how["ok"] for how in found.values()) else FAILED)


def _test(settings: Any) -> dict[str, dict[str, Any]]:
    from yse_ingest.errors import NoticeError
    from yse_ingest.watch.channels import channels_of
    from yse_ingest.watch.message import trial

    message = trial(namespace=settings.namespace)
    found: dict[str, dict[str, Any]] = {}
    for channel in channels_of(settings):
        try:
            found[channel.name] = {"ok": True, "said": f"sent: {channel.send(message)}"}
        except NoticeError as error:
            found[channel.name] = {"ok": False, "said": error.fact, "remedy": error.remedy}
    return found


def _standing(service: Any) -> dict[str, dict[str, Any]]:
    from yse_ingest.cli.render import ahead, plural
    from yse_ingest.watch.channels import names_of

    state, settings = service.state, service.settings
    now_ms = state.now_ms()
    found: dict[str, dict[str, Any]] = {}
    for name in names_of(settings):
        delivery = state.notices.delivery(name, now_ms=now_ms)
        said = f"{plural(delivery.sent, 'message')} in the last hour"
        said += f" (at most {settings.notify_per_hour})"
        if delivery.pending:
            said += f", {plural(delivery.pending, 'change')} still to be told"
        if delivery.failures:
            said += f"; {delivery.error}; tried again {ahead(delivery.next_ms, now_ms)}"
        found[name] = {
            "ok": not delivery.failures,
            "said": said,
            "sent": delivery.sent,
            "pending": delivery.pending,
        }
    return found
