"""``yse-ingest targets sync``: in step with the targets file, and with lists of YSE-PZ."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from yse_ingest.cli.terminal import FAILED, Terminal, terminal_options
from yse_ingest.selection import MATCHES

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from yse_ingest.follow import Followed
    from yse_ingest.selection import Selection
    from yse_ingest.service import Service
    from yse_ingest.state import FileSync

NAMES_SHOWN = 5
"""So many names are shown of those that something happened to; --json has all."""


@click.command(short_help="Follow what has a status or a tag in YSE-PZ; all lists, now.")
@click.option("--status", multiple=True, metavar="NAME", help="What has this status in YSE-PZ.")
@click.option("--tag", "tags", multiple=True, metavar="NAME", help="What has this tag there.")
@click.option(
    "--query",
    "queries",
    multiple=True,
    metavar="TITLE",
    help="What this saved SQL query of YSE-PZ lists.",
)
@click.option(
    "--match",
    type=click.Choice(MATCHES),
    default="any",
    show_default=True,
    help="Follow what has any of these, or only what has all of them.",
)
@click.option("--dry-run", is_flag=True, help="Show what would change, and change nothing.")
@click.option("--list", "only_list", is_flag=True, help="Show which lists are followed.")
@click.option("--forget", is_flag=True, help="Follow the lists that are named no more.")
@terminal_options
def sync(
    terminal: Terminal, *, dry_run: bool, only_list: bool, forget: bool, **chosen: Any
) -> None:
    """Bring what is followed in step with YSE-PZ's lists and the targets file, now.

    With --status, --tag or --query what YSE-PZ has under these is followed from now on, beside
    what [follow] in the targets file says; each may be repeated. It is a list until --forget
    ends it, and the service keeps all of them in step by itself. What left every list is
    paused, not forgotten; what a person added, or the targets file has, is left as it is. Exit
    code 1 where something in the file cannot be used, or YSE-PZ could not be asked.

    \b
    Examples:
      yse-ingest targets sync --status Following --tag YSE --dry-run
      yse-ingest targets sync --status Following --tag YSE
      yse-ingest targets sync --status Following --tag YSE --match all    only what has both
      yse-ingest targets sync --list
      yse-ingest targets sync --forget --tag YSE
      yse-ingest targets sync                                  all as it stands, at once
    """
    from yse_ingest.cli.render import busy
    from yse_ingest.selection import selections

    named = selections(**chosen)
    service = terminal.service()
    if only_list:
        if named or forget or dry_run:
            raise click.UsageError("--list goes alone.")
        _show_lists(terminal, service)
        return
    if forget and not named:
        raise click.UsageError("Name what to --forget: --status, --tag or --query.")
    if forget:
        _refuse_unknown(service, named)
    run = _Run(terminal, service, named, forget=forget, dry_run=dry_run)
    with busy("reading the lists of YSE-PZ", shown=not terminal.as_json):
        run.sync()
    run.tell()
    if run.problems:
        raise SystemExit(FAILED)


class _Run:
    """One sync, and what came of it."""

    def __init__(
        self,
        terminal: Terminal,
        service: Service,
        named: Sequence[Selection],
        *,
        forget: bool,
        dry_run: bool,
    ) -> None:
        self.terminal, self.service = terminal, service
        self.adding = () if forget else tuple(named)
        self.ending = tuple(named) if forget else ()
        self.dry_run = dry_run
        self.of_file: FileSync | None = None
        self.of_lists: Followed | None = None
        self.problems = [str(each) for each in service.targets_file().problems]

    def sync(self) -> None:
        """Look, and unless it is a dry run, change what has to be."""
        service = self.service
        if self.dry_run:
            has_file = service.settings.targets_file is not None
            self.of_file, self.of_lists = service.preview_lists(
                adding=self.adding,
                ending=self.ending,
                file=service.targets_file().targets if has_file else None,
            )
        else:
            if self.adding:  # what is wrong with them is told before anything is written
                self.of_lists = service.follow_lists(self.adding)
            service.state.targets.forget_file()
            self.of_file = service.sync_targets_file()
            service.state.lists.end(self.ending)
            if not self.adding:
                self._follow()
        if self.of_lists is not None:
            self.problems += [
                *(
                    f"{each}: {why}; nothing is paused"
                    for each, why in self.of_lists.unread.items()
                ),
                *(f"{name} of YSE-PZ cannot be followed" for name in self.of_lists.unusable),
                *self.of_lists.odd,
            ]

    def _follow(self) -> None:
        from yse_ingest.cli.overview import unlisted
        from yse_ingest.follow import wanted_lists

        self.of_lists = self.service.follow(now=True)
        if self.of_lists is None and (self.ending or wanted_lists(self.service)):
            why = unlisted(self.service.state) or "YSE-PZ's lists could not be read"
            self.problems.append(f"{why}. All targets stay as they are.")

    def tell(self) -> None:
        """Print what came of it."""
        if self.terminal.as_json:
            self.terminal.result(self._told())
            return
        for problem in self.problems:
            click.echo(problem, err=True)
        self._say()

    def _told(self) -> dict[str, Any]:
        lists = self.of_lists
        counts: dict[str, dict[str, int]] = {}
        if self.of_file is not None:
            counts["targets file"] = _counts(*self.of_file)
        told: dict[str, Any] = {"dry_run": self.dry_run, "synced": counts}
        if lists is not None:
            counts["YSE-PZ"] = _counts(lists.new, lists.gone, lists.back) | {
                "renamed": len(lists.renamed)
            }
            told["changes"] = _changes(lists)
            told["requests"] = lists.requests
        return {**told, "lists": self._rows(), "problems": self.problems}

    def _rows(self) -> list[dict[str, Any]]:
        counts = {} if self.of_lists is None else self.of_lists.counts
        rows = _rows(self.service, adding=self.adding, ending=self.ending)
        return [{**row, "transients": counts.get(each)} for each, row in rows.items()]

    def _say(self) -> None:
        from yse_ingest.cli.render import duration, plural, say, table

        lists = self.of_lists
        if self.of_file is not None:
            counts = _counts(*self.of_file).items()
            say("targets file: " + ", ".join(f"{count} {what}" for what, count in counts))
        if lists is None:
            if self.of_file is None and not self.problems:
                say("there is neither a targets file (YSE_INGEST_TARGETS) nor a list of YSE-PZ")
            return
        for row in self._rows():
            count = "not read" if row["transients"] is None else row["transients"]
            say(f"{row['list']}: {count} in YSE-PZ, wanted by {_whose(row)}")
        table(
            ["YSE-PZ", "targets", "which"],
            [(what, len(names), _some(names)) for what, names in _changes(lists).items()],
            right=["targets"],
        )
        say(f"{plural(lists.requests, 'request')} to YSE-PZ")
        if self.dry_run:
            say("nothing was changed: without --dry-run it is")
        elif self.adding:
            every = duration(self.service.settings.follow_every_s)
            say(f"followed from now on, and looked at every {every}; --forget ends it")


def _counts(changed: Sequence[str], gone: Sequence[str], back: Sequence[str]) -> dict[str, int]:
    return {"new or changed": len(changed), "gone and paused": len(gone), "back": len(back)}


def _changes(lists: Followed) -> dict[str, Sequence[str] | Mapping[str, str]]:
    return {
        "added": lists.new,
        "renamed": lists.renamed,
        "paused": lists.gone,
        "back": lists.back,
        "kept": lists.kept,
    }


def _some(names: Sequence[str] | Mapping[str, str]) -> str:
    """Return the first of some names; of renamed ones with the old name."""
    if isinstance(names, Mapping):
        names = [f"{new} (was {old})" for new, old in names.items()]
    rest = len(names) - NAMES_SHOWN
    return ", ".join([*names[:NAMES_SHOWN], *([f"and {rest} more"] if rest > 0 else [])])


def _rows(
    service: Service,
    *,
    adding: Collection[Selection] = (),
    ending: Collection[Selection] = (),
) -> dict[Selection, dict[str, Any]]:
    """Return the lists that are followed, each with whose it is and since when."""
    from yse_ingest.follow import lists_of_file

    people = service.state.lists.all()
    of_person = dict.fromkeys((*people, *adding))
    of_file = lists_of_file(service) or ()
    return {
        each: {
            "list": str(each),
            "terms": each.as_list(),
            "person": each in of_person and each not in ending,
            "file": each in of_file,
            "since_ms": people.get(each),
        }
        for each in dict.fromkeys((*of_file, *of_person))
        if each in of_file or each not in ending
    }


def _whose(row: Mapping[str, Any]) -> str:
    both = {"a person": row["person"], "the targets file": row["file"]}
    return " and ".join(who for who, wants in both.items() if wants)


def _refuse_unknown(service: Service, named: Collection[Selection]) -> None:
    """Refuse lists that no person follows.

    Raises
    ------
    TargetError
        Saying who follows them, or which are followed.
    """
    from yse_ingest.errors import TargetError

    rows = _rows(service)
    for each in named:
        if each not in rows:
            known = ", ".join(row["list"] for row in rows.values()) or "none"
            raise TargetError(
                f"no list of {each} is followed",
                service="targets",
                value=str(each),
                remedy=f"Followed are: {known}. One of several terms goes with --match all."
                if any(len(one.terms) > 1 for one in rows)
                else f"Followed are: {known}.",
            )
        if not rows[each]["person"]:
            raise TargetError(
                f"{each} stands in [follow] of the targets file",
                service="targets",
                value=str(each),
                remedy=f"Take it out of {service.settings.targets_file}.",
            )


def _show_lists(terminal: Terminal, service: Service) -> None:
    from yse_ingest.cli.render import both_times, say, table

    rows = list(_rows(service).values())
    if terminal.as_json:
        terminal.result(rows)
    elif rows:
        table(
            ["list of YSE-PZ", "wanted by", "since"],
            [
                (
                    row["list"],
                    _whose(row),
                    both_times(row["since_ms"]) if row["since_ms"] else "",
                )
                for row in rows
            ],
        )
    else:
        say("no list of YSE-PZ is followed: `yse-ingest targets sync --tag NAME`")
