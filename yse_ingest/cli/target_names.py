"""``yse-ingest targets resolve``: what TNS says of a name."""

from __future__ import annotations

import contextlib
from typing import Any

import click

from yse_ingest.cli.terminal import FAILED, Terminal, terminal_options


@click.command()
@click.argument("name")
@click.option("--fresh", is_flag=True, help="Ask TNS now, also where an answer is kept.")
@terminal_options
def resolve(terminal: Terminal, name: str, *, fresh: bool) -> None:
    """Ask TNS for a name: its own, or that of a survey.

    Prints what the object is called elsewhere, where it is, and when it was discovered. An
    answer is kept for a week, so that the quota of your bot is spared. Exit code 1 where TNS
    does not know the name. Needs TNS_API_KEY, TNS_BOT_ID and TNS_BOT_NAME.

    \b
    Examples:
      yse-ingest targets resolve 2019np
      yse-ingest targets resolve ZTF19aacgslb --json
    """
    from yse_ingest.cli.render import say
    from yse_ingest.directory import not_configured
    from yse_ingest.errors import StateError
    from yse_ingest.targets import canonical_name

    service = terminal.service()
    with contextlib.suppress(StateError):  # a person may ask without Redis
        service.state.now_ms()
    name = canonical_name(name.strip())
    entry = service.directory.look_up(name, max_age_s=0.0 if fresh else None)
    if entry is None:
        raise not_configured()
    age_s = max(0.0, service.clock() - entry.asked_s)
    found = entry.found
    if terminal.as_json:
        told: dict[str, Any] = {"name": name, "age_s": round(age_s), "found": None}
        if found is not None:
            ids = {"ztf_id": found.ztf_id, "lsst_id": found.lsst_id}
            told["found"] = {**found.as_dict(), **ids}
        terminal.result(told)
    elif found is None:
        say(f"TNS does not know {name} (asked {_ago(age_s)})")
    else:
        say(f"{name} is {found.prefix}{found.name} of TNS (asked {_ago(age_s)})")
        say(f"  position   {found.ra:.6f} {found.dec:+.6f} deg, ICRS")
        say(f"  discovered {found.discovered or 'not said'}, UTC")
        say(f"  type       {found.type or 'not classified'}")
        say(f"  also       {', '.join(found.internal_names) or 'no other name'}")
    if found is None:
        raise SystemExit(FAILED)


def _ago(seconds: float) -> str:
    for length_s, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= length_s:
            return f"{seconds / length_s:.0f} {unit} ago"
    return "just now"
