"""``yse-ingest status``: how the targets stand."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Any

import click

from yse_ingest.cli.completion import target_names
from yse_ingest.cli.terminal import DONE, FAILED, Terminal, terminal_options

if TYPE_CHECKING:
    from collections.abc import Mapping

    from yse_ingest.cli.overview import Line, Machinery, Summary
    from yse_ingest.service import Service

LINES_MAX = 200
"""Of so many targets each has its line."""
WATCH_S = 5.0
"""Between two looks of --watch [s]."""
TROUBLES_MAX = 10
"""So many targets in trouble are explained below the table."""


@click.command()
@click.argument("name", required=False, shell_complete=target_names)
@click.option("--watch", is_flag=True, help="Show it again every few seconds; Ctrl-C ends it.")
@click.option(
    "--limit",
    type=click.IntRange(min=0),
    default=LINES_MAX,
    show_default=True,
    help="Of more targets than this the counts are shown, and those in trouble; 0: all.",
)
@terminal_options
def status(terminal: Terminal, name: str | None, *, watch: bool, limit: int) -> None:
    """Show how the targets stand: asked, answered, stored, owed.

    Exit code 1 where something is owed, refused, unclear, or without an answer.

    \b
    Examples:
      yse-ingest status
      yse-ingest status 2019np      all about one, with its last receipt
      yse-ingest status --watch
    """
    service = terminal.service()
    if not watch:
        raise SystemExit(DONE if _status(terminal, service, name, limit) else FAILED)
    with contextlib.suppress(KeyboardInterrupt):
        while True:
            click.clear()
            _status(terminal, service, name, limit)
            time.sleep(WATCH_S)


def _status(terminal: Terminal, service: Service, name: str | None, limit: int) -> bool:
    """Print it once; return whether all is well."""
    from yse_ingest.cli.overview import look, machinery, summary
    from yse_ingest.targets import canonical_name

    service.sync_targets_file()
    if name is not None:
        lines = look(service, [canonical_name(name)])
        if not lines:
            raise _not_followed(canonical_name(name))
        _tell_one(terminal, lines[0], machinery(service), _last_receipt(service, lines[0]))
        return _is_well(lines[0])
    counts = summary(service)
    whole = not limit or counts.followed <= limit
    lines = look(service, None if whole else counts.troubled[:limit])
    below = machinery(service)
    if terminal.as_json:
        told = {"machinery": below.as_dict(), "summary": counts.as_dict()}
        terminal.result(told | {"targets": [line.as_dict() for line in lines]})
    else:
        _show_machinery(below)
        if not whole:
            _show_summary(counts, len(lines))
        if lines or whole:
            _show_all(lines, below)
    unseen = 0 if whole else max(0, len(counts.troubled) - limit)
    return all(map(_is_well, lines)) and not unseen


def _tell_one(
    terminal: Terminal, line: Line, below: Machinery, receipt: dict[str, Any] | None
) -> None:
    if terminal.as_json:
        told = {"machinery": below.as_dict()} | line.as_dict() | {"receipt": receipt}
        terminal.result(told)
    else:
        _show_machinery(below)
        _show_one(line, below, receipt)


def _show_summary(counts: Summary, shown: int) -> None:
    from yse_ingest.cli.render import say

    told = {name.replace("_", " "): count for name, count in counts.as_dict().items()}
    followed = told.pop("followed")
    amiss = ", ".join(f"{count:,} {word}" for word, count in told.items() if count)
    say(f"{followed:,} targets are followed" + (f": {amiss}" if amiss else ", all is well"))
    if counts.troubled:
        say(f"{len(counts.troubled):,} may need a look; {shown:,} are shown (--limit)")


def _not_followed(name: str) -> Exception:
    from yse_ingest.errors import UnknownTargetError

    return UnknownTargetError(
        "it is not followed",
        service="targets",
        target=name,
        remedy=f"`yse-ingest targets list` names what is; `yse-ingest enqueue {name}` adds it.",
    )


def _is_well(line: Line) -> bool:
    from yse_ingest.cli.overview import NEVER_ASKED, WITHOUT

    word, _, why = line.answer.partition(": ")
    # A target that has just been added is well; one that could not be asked is not.
    without = word in WITHOUT and (word != NEVER_ASKED or bool(why))
    unclear = without or line.stale or word in {"ambiguous", "unknown"}
    return line.state in {"idle", "paused", "shadow"} and not unclear


def _last_receipt(service: Service, line: Line) -> dict[str, Any] | None:
    from yse_ingest.cli.overview import outbox_key

    receipt = service.state.receipts.last(outbox_key(service.state, line.target))
    if receipt is not None and line.private:
        # What is private is counted, not listed.
        receipt = {key: receipt[key] for key in ("at", "state", "counts") if key in receipt}
    return receipt


def _show_machinery(below: Machinery) -> None:
    from yse_ingest.cli.render import ahead, both_times, listed, say
    from yse_ingest.cli.sharing import down, held, held_back, spent

    queues = "" if below.queues is None else f", queues: {listed(below.queues)}"
    say(f"{both_times(below.now_ms)}, Redis {below.redis}{queues}")
    if below.shadow:
        say("Shadow: nothing is written to YSE-PZ, what would be sent is recorded")
    if below.held is not None:
        say(f"All uploads are held: {below.held}. `yse-ingest resume` ends it.", style="yellow")
    for writer in below.writers:
        say(second_writer(writer), style="yellow")
    if below.lists is not None:
        remedy = "`yse-ingest targets sync --list` shows whose list it is"
        say(f"{below.lists}. {remedy}; until then targets stay as they are.", style="yellow")
    if below.breaker["open"]:
        probe = ahead(below.breaker["next_ms"], below.now_ms)
        say(f"YSE-PZ does not answer; it is tried again {probe}", style="yellow")
    for name, breaker in down(below.sources):
        probe = ahead(breaker["next_ms"], below.now_ms)
        changed = breaker["reason"].startswith("format changed")
        what = f"{name}: {breaker['reason']}" if changed else f"{name} does not answer"
        say(f"{what}; it is tried again {probe}", style="yellow")
    for name, meter in below.meters.items():
        if meter["closed_until_ms"] or meter["waiting"]:
            say(f"{name} is held back: {held_back(meter, below.now_ms)}", style="yellow")
    if waits := held(below.budget):
        say(f"{spent(below.budget)}; {waits}. Pushes and targets added by hand go on.")
    if below.quiet_until_ms > below.now_ms:
        wait = ahead(below.quiet_until_ms, below.now_ms)
        say(f"The state was lost: nothing is sent, sending begins {wait}", style="yellow")


def second_writer(writer: Mapping[str, Any]) -> str:
    """Say who else writes where we write."""
    names: list[str] = writer["targets"]
    some = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
    shelf = f"{writer['instrument']} of {writer['obs_group']}"
    return f"{writer['account']} writes {shelf} too: {some}"


def _show_all(lines: list[Line], below: Machinery) -> None:
    from yse_ingest.cli.render import ago, ahead, listed, minute_of, say, table

    if not lines:
        say("nothing is followed: `yse-ingest enqueue NAME`, or the targets file")
        return
    say()
    table(
        [
            "target",
            "source",
            "asked",
            "answer",
            "newest (UTC)",
            "in YSE-PZ",
            "owed",
            "state",
            "next",
        ],
        [
            (
                line.target,
                line.source,
                ago(line.asked_ms, below.now_ms),
                line.answer.partition(":")[0].partition(";")[0],
                _newest(line, minute_of),
                line.stored if line.private else listed(line.bands),
                line.owed or "",
                line.state,
                ahead(line.due_ms, below.now_ms),
            )
            for line in lines
        ],
        right=["owed"],
        spare=["source", "asked", "newest (UTC)"],
        styles={
            "idle": "green",
            "never asked": "yellow",
            "no answer": "red",
            "not asked": "red",
            "unreadable": "red",
            "ambiguous": "red",
            "unknown": "red",
            "refused": "red",
            "stopped": "red",
        },
    )
    _show_troubles(lines)


def _show_troubles(lines: list[Line]) -> None:
    from yse_ingest.cli.render import plural, say

    troubles = [trouble for line in lines if (trouble := line.trouble) is not None]
    if troubles:
        say()
    for trouble in troubles[:TROUBLES_MAX]:
        say(trouble, style="yellow")
    if len(troubles) > TROUBLES_MAX:
        say(f"... and {plural(len(troubles) - TROUBLES_MAX, 'target')} more")


def _newest(line: Line, minute_of: Any) -> str:
    from yse_ingest.cli.overview import PRIVATE

    if line.private:
        return PRIVATE
    return minute_of(line.newest_ms) if line.newest_ms else ""


def _next(line: Line, below: Machinery) -> str:
    from yse_ingest.cli.render import ahead, both_times

    if not line.due_ms:
        return ""
    return f"{ahead(line.due_ms, below.now_ms)}: {both_times(line.due_ms)}"


def _silence(line: Line, below: Machinery) -> str:
    from yse_ingest.cli.render import duration, minute_of

    if line.silence is None:
        return ""
    text = line.silence
    if line.silent_ms:
        lasted = duration((below.now_ms - line.silent_ms) / 1000)
        text += f" since {minute_of(line.silent_ms)} UTC ({lasted})"
    return f"{text}; stale: its limit is {duration(line.limit_s)}" if line.stale else text


def _show_one(line: Line, below: Machinery, receipt: dict[str, Any] | None) -> None:
    from yse_ingest.cli.render import ago, both_times, listed, say

    stored = str(line.stored) if line.private else listed(line.bands) or "nothing known"
    say(f"\n{line.target}")
    for label, text in (
        ("source", line.source),
        ("asked", ago(line.asked_ms, below.now_ms)),
        ("answered", ago(line.answered_ms, below.now_ms)),
        ("answer", line.answer),
        ("silence", _silence(line, below)),
        ("newest", _newest(line, both_times)),
        ("in YSE-PZ", stored),
        ("owed", str(line.owed)),
        ("state", line.state),
        ("because", line.reason),
        ("left out", listed(line.dropped)),
        ("lately", listed(line.dropped_lately)),
        ("noticed", listed(line.noticed)),
        ("asked next", _next(line, below)),
    ):
        if text:
            say(f"  {label:11}{text}")
    for name, said in line.sources.items():
        why = f"; passed over: {line.passed[name]}" if name in line.passed else ""
        say(f"  {name}: {said}{why}")
    for fact in line.disagreements:
        say(f"  sources disagree on the {fact}", style="yellow")
    if receipt is not None:
        say(f"  last upload {receipt['at']}: {receipt['state']}, {listed(receipt['counts'])}")
        for answer in receipt.get("answers", []):
            say(f"    YSE-PZ answered: {answer}")
        if error := receipt.get("error"):
            say(f"    {error['fact']}")
