"""``yse-ingest sources``: where photometry comes from, and whether it can be relied upon."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from yse_ingest.cli.completion import source_names
from yse_ingest.cli.terminal import DONE, FAILED, Terminal, terminal_options

if TYPE_CHECKING:
    from yse_ingest.cli.source_lines import SourceLine
    from yse_ingest.probe import Probe, TableReport
    from yse_ingest.service import Service
    from yse_ingest.state import KeptReply

PLACE = (157.3415, 29.5106667)
"""Where a probe looks that is told nothing: SN 2019np, ICRS [deg]."""
TROUBLED = frozenset({"no answer", "format changed", "unreadable"})


@click.group(invoke_without_command=True)
@terminal_options
def sources(terminal: Terminal) -> None:
    """Show the sources of photometry: health, budget, last answer, last change.

    Exit code 1 where a source that targets ask is down, or its format changed.

    \b
    Examples:
      yse-ingest sources
      yse-ingest sources show fink          all about one, with replies that were kept
      yse-ingest sources probe alerce       ask it now, and compare every field
    """
    if click.get_current_context().invoked_subcommand is not None:
        return
    from yse_ingest.cli.source_lines import reachable, source_lines

    service = terminal.service()
    state = reachable(service)
    lines = source_lines(service, state)
    if terminal.as_json:
        terminal.result({line.name: line.as_dict() for line in lines})
    else:
        _show_all(lines, None if state is None else state.now_ms())
    raise SystemExit(FAILED if any(map(_is_troubled, lines)) else DONE)


@sources.command()
@click.argument("name", shell_complete=source_names)
@click.option("--reply", type=int, metavar="N", help="Print kept reply N; 1 is the newest.")
@terminal_options
def show(terminal: Terminal, name: str, *, reply: int | None) -> None:
    """Show all about the source NAME, with the replies that could not be read.

    The newest three are kept, at most 64 kB of each, without secrets.

    \b
    Examples:
      yse-ingest sources show fink
      yse-ingest sources show fink --reply 1
    """
    from yse_ingest.cli.source_lines import reachable, source_lines

    service = terminal.service()
    _check(name)
    state = reachable(service)
    line = next(each for each in source_lines(service, state) if each.name == name)
    replies = [] if state is None else state.source_records.replies(name)
    if reply is not None:
        _print_reply(terminal, name, replies, reply)
        return
    if terminal.as_json:
        kept = [_reply_as_dict(each) for each in replies]
        terminal.result({"name": name, **line.as_dict(), "replies": kept})
    else:
        _show_one(line, replies, None if state is None else state.now_ms())


@sources.command("probe")
@click.argument("name", shell_complete=source_names)
@click.option("--object", "object_id", metavar="ID", help="The source's name of the object.")
@click.option("--ra", type=float, help="Right ascension, ICRS [deg].")
@click.option("--dec", type=float, help="Declination, ICRS [deg].")
@terminal_options
def probe_source(
    terminal: Terminal,
    name: str,
    *,
    object_id: str | None,
    ra: float | None,
    dec: float | None,
) -> None:
    """Ask the source NAME one real question, and compare every field with its contract.

    Without an object or place it is asked about SN 2019np. Exit code 1 where something
    differs, or where there was nothing to compare.

    \b
    Examples:
      yse-ingest sources probe alerce
      yse-ingest sources probe fink --object ZTF19aacgslb
      yse-ingest sources probe atlas --ra 157.3415 --dec 29.5106667
    """
    from yse_ingest.probe import probe

    if (ra is None) != (dec is None):
        raise click.UsageError("--ra and --dec go together.")
    service = terminal.service()
    _check(name)
    if object_id is None and ra is None:
        ra, dec = PLACE
    source = service.patient_source(name, terminal.progress())
    found = probe(source, _ask(service, name, object_id=object_id, ra=ra, dec=dec))
    if terminal.as_json:
        terminal.result({"source": name, "url": source.url, **_probe_as_dict(found)})
    else:
        _show_probe(f"{source.title} at {source.url}", found)
    raise SystemExit(DONE if found.is_as_agreed else FAILED)


def _ask(
    service: Service, name: str, *, object_id: str | None, ra: float | None, dec: float | None
) -> Any:
    from yse_ingest.sources import SOURCES, Ask
    from yse_ingest.targets import Target

    target = Target("probe", ra=ra, dec=dec, object_id=object_id, source=name)
    rules = service.rules(target)
    return Ask(target=target, rules=rules, kinds=SOURCES[name].capabilities.kinds)


def _check(name: str) -> None:
    from yse_ingest.errors import SettingsError
    from yse_ingest.sources import SOURCES

    if name not in SOURCES:
        raise SettingsError(
            f"there is no source {name!r}",
            service="settings",
            field="source",
            value=name,
            remedy=f"Known are {', '.join(SOURCES)}.",
        )


def _is_troubled(line: SourceLine) -> bool:
    return bool(line.targets) and line.health in TROUBLED


def _show_all(lines: list[SourceLine], now_ms: int | None) -> None:
    from yse_ingest.cli.render import ago, table, warn

    if now_ms is None:
        warn("Redis gives no answer: health, budget and targets are not known")
    table(
        ["source", "survey", "kinds", "targets", "health", "since", "budget", "last answer"],
        [
            (
                line.name,
                line.survey,
                ", ".join(line.kinds),
                line.targets,
                line.health,
                ago(line.since_ms, now_ms) if now_ms and line.since_ms else "",
                _budget(line),
                _last_answer(line, now_ms),
            )
            for line in lines
        ],
        right=["targets"],
        spare=["survey", "kinds", "since"],
        styles={
            "ok": "green",
            "no answer": "red",
            "unreadable": "red",
            "format changed": "red",
            "held back": "yellow",
            "not configured": "dim",
        },
    )
    for line in lines:
        if line.reason and line.health in TROUBLED | {"held back"}:
            warn(f"{line.name}: {line.reason}{_next(line, now_ms)}")


def _show_one(line: SourceLine, replies: list[KeptReply], now_ms: int | None) -> None:
    from yse_ingest.cli.render import ago, say

    say(f"{line.name}: {line.title}")
    change = ""
    if line.record is not None and line.record.changed_ms:
        record = line.record
        before = f"{record.before} to " if record.before else ""
        when = ago(record.changed_ms, now_ms or record.changed_ms or 0)
        change = f"{before}{record.condition}, {when}"
    for label, text in (
        ("address", line.url or ""),
        ("survey", f"{line.survey} ({line.instrument})"),
        ("kinds", ", ".join(line.kinds)),
        ("token", line.token),
        ("targets", "" if line.targets is None else str(line.targets)),
        ("health", line.health),
        ("because", line.reason + _next(line, now_ms) if line.reason else ""),
        ("budget", _budget(line)),
        ("last answer", _last_answer(line, now_ms)),
        ("last change", change),
    ):
        if text:
            say(f"  {label:13}{text}")
    for number, each in enumerate(replies, start=1):
        when = ago(each.at_ms, now_ms or each.at_ms)
        say(f"  kept reply {number}, {when}: {each.status}, {each.length} bytes; {each.fact}")
    if replies:
        say(f"`yse-ingest sources show {line.name} --reply 1` prints the newest.")


def _budget(line: SourceLine) -> str:
    if line.budget is None or line.missing is not None:
        return ", ".join(line.allowed)
    if not line.allowed:
        return f"{line.budget['requests_hour']} in 1 h"
    used: dict[str, int] = line.budget["rates"]
    return ", ".join(f"{count} of {rate}" for rate, count in used.items())


def _last_answer(line: SourceLine, now_ms: int | None) -> str:
    from yse_ingest.cli.render import ago

    if line.record is None or line.record.answered_ms is None or now_ms is None:
        return ""
    return f"{line.record.answer}, {ago(line.record.answered_ms, now_ms)}"


def _next(line: SourceLine, now_ms: int | None) -> str:
    from yse_ingest.cli.render import ahead

    if line.next_ms is None or now_ms is None:
        return ""
    return f"; it is tried again {ahead(line.next_ms, now_ms)}"


def _print_reply(terminal: Terminal, name: str, replies: list[KeptReply], number: int) -> None:
    from yse_ingest.cli.render import say, warn

    if not 1 <= number <= len(replies):
        warn(f"{name} has {len(replies)} kept replies")
        raise SystemExit(FAILED)
    kept = replies[number - 1]
    if terminal.as_json:
        terminal.result({**_reply_as_dict(kept), "body": kept.body})
    else:
        say(kept.body)


def _reply_as_dict(reply: KeptReply) -> dict[str, Any]:
    from yse_ingest.times import iso_of_unix

    return {
        "at": iso_of_unix(reply.at_ms / 1000),
        "fact": reply.fact,
        "asked": reply.asked,
        "status": reply.status,
        "content_type": reply.content_type,
        "bytes": reply.length,
    }


def _probe_as_dict(found: Probe) -> dict[str, Any]:
    from dataclasses import asdict

    error = found.answer.error
    return {
        "as_agreed": found.is_as_agreed,
        "status": str(found.answer.status),
        "error": None if error is None else error.as_dict(),
        "problems": list(found.problems),
        "tables": [
            {
                "name": table.name,
                "rows": table.rows,
                "fields": [asdict(each) for each in table.fields],
                "other_keys": list(table.other_keys),
            }
            for table in found.tables
        ],
    }


def _show_probe(where: str, found: Probe) -> None:
    from yse_ingest.cli.render import plural, say, warn

    say(f"{where} answered {found.answer.status}, {plural(found.rows, 'row')} compared")
    for each in found.tables:
        if each.rows:
            _show_table(each)
    if found.problems:
        for problem in found.problems:
            warn(f"differs: {problem}")
    elif found.rows:
        say("Every field is as it was agreed.")
    elif found.is_as_agreed:
        say("It works on the question: there is nothing to compare yet.")
    else:
        warn("No row came, so nothing was compared: name an object that it has (--object).")


def _show_table(report: TableReport) -> None:
    from yse_ingest.cli.render import say, table

    say(f"\n{report.name}")
    table(
        ["field", "what it should be", "needed", "present", "example", "found"],
        [
            (
                each.field,
                each.type,
                "yes" if each.required else "",
                f"{each.present}/{report.rows}",
                each.example,
                each.problem or ("ok" if each.present else "absent"),
            )
            for each in report.fields
        ],
        right=["present"],
        styles={"ok": "green"},
    )
