"""What `yse-ingest doctor` looks at: one `Check` per thing, each with its remedy.

Every function asks one collaborator and returns what it found; an error of that collaborator is
a finding, never the end of the examination.
"""

from __future__ import annotations

import contextlib
import inspect
import os
import time
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from yse_ingest.cli.overview import sources, unlisted
from yse_ingest.cli.render import plural
from yse_ingest.errors import (
    SettingsError,
    StateError,
    StateUnavailableError,
    VocabularyError,
    YseIngestError,
    YsePzError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path

    from yse_ingest.service import Service
    from yse_ingest.sources import Survey
    from yse_ingest.state import State
    from yse_ingest.targets import Target
    from yse_ingest.ysepz import MissingRow, Vocabulary

CLOCK_DRIFT_MAX_S = 2.0
"""Wall clocks of this host and of Redis may differ by so much [s]."""
BACKLOG = 1000
"""More waiting messages than this mean that workers do not keep up."""
PING_S = 1.0
"""How long workers have to answer [s]."""
OVERDUE_S = 120.0
"""A target that is due for longer means that nothing dispatches [s]."""
PROBE = (157.3415, 29.5106667)
"""Where a source is asked to look when no target has coordinates: SN 2019np [deg]."""

Level = Literal["ok", "warn", "fail"]


@dataclass(frozen=True)
class Check:
    """One thing that was looked at."""

    subject: str
    level: Level
    fact: str
    remedy: str | None = None
    rows: tuple[MissingRow, ...] | None = None
    """What an administrator of YSE-PZ must add, in this order."""

    def as_dict(self) -> dict[str, Any]:
        """Return it for JSON."""
        plain: dict[str, Any] = {
            "subject": self.subject,
            "level": self.level,
            "fact": self.fact,
            "remedy": self.remedy,
            "rows": [row.as_dict() for row in self.rows] if self.rows else None,
        }
        return {key: value for key, value in plain.items() if value is not None}


def examine(env_file: Path | None) -> Iterator[Check]:
    """Look at everything, in the order in which things depend on each other."""
    from yse_ingest.service import Service
    from yse_ingest.settings import Settings

    yield from _env_file(env_file)
    try:
        service = Service.from_settings(Settings.from_env(os.environ))
        # Nothing else can be looked at where the state cannot be told from the broker.
        _ = service.settings.service_state_url
    except SettingsError as error:
        yield _failed("settings", error)
        return
    yield Check("settings", "ok", f"default source {service.settings.default_source}")
    yield from _guarded("targets file", lambda: _targets_file(service))
    yield from _guarded("Redis", lambda: _redis(service))
    yield from _lists(service)
    yield from _guarded("broker", lambda: _queues(service))
    for name in sources(service):
        yield from _guarded(f"source {name}", partial(_source, service, name))
    yield from _guarded("no magnitude", lambda: _without_magnitude(service))
    if service.settings.ysepz_url is None:
        yield Check(
            "YSE-PZ",
            "fail",
            "none is configured",
            "Set YSE_PZ_URL, YSE_PZ_USERNAME and YSE_PZ_PASSWORD; until then only fetch works.",
        )
    else:
        yield from _guarded("YSE-PZ", lambda: _ysepz(service))
        yield from _guarded("account", lambda: _account(service))
    yield from _guarded("schedule", lambda: _schedule(service))
    yield from _guarded("workers", lambda: _workers(service))


def _guarded(subject: str, look: Callable[[], Iterable[Check]]) -> Iterator[Check]:
    try:
        yield from look()
    except YseIngestError as error:
        yield _failed(subject, error)


def _failed(subject: str, error: YseIngestError) -> Check:
    who = error.service if error.service not in {None, subject, "settings"} else None
    where = ": ".join(part for part in (who, error.target) if part)
    bare = type(error)(error.fact, field=error.field, value=error.value)
    return Check(subject, "fail", f"{where}: {bare}" if where else str(bare), error.remedy)


def _env_file(path: Path | None) -> Iterator[Check]:
    from yse_ingest.envfile import ENV_FILE, readable_by_others

    if path is None:
        yield Check("env file", "ok", f"no {ENV_FILE} here: the environment alone")
    elif readable_by_others(path):
        yield Check("env file", "warn", f"{path} may be read by others", f"chmod 600 {path}")
    else:
        yield Check("env file", "ok", f"{path} (mode 600); the environment wins")


def _targets_file(service: Service) -> Iterator[Check]:
    path = service.settings.targets_file
    if path is None:
        yield Check("targets file", "ok", "none: targets are added by hand")
        return
    file = service.targets_file()
    for problem in file.problems:
        yield Check("targets file", "fail", str(problem), f"Correct {path}.")
    if file.targets or file.following:
        lists = ", and what [follow] names in YSE-PZ" if file.following else ""
        told = f"{path}: {plural(len(file.targets), 'target')}{lists}"
        yield Check("targets file", "ok", told)
    else:
        remedy = f"Write [[targets]] or [follow] into {path}, or `yse-ingest enqueue NAME`."
        yield Check("targets file", "warn", f"{path} names no target yet", remedy)


def _lists(service: Service) -> Iterator[Check]:
    """Say which lists people follow, and whether they could be read."""
    # Redis is told in a line of its own.
    with contextlib.suppress(StateError):
        lists = service.state.lists.all()
        told = f"{', '.join(map(str, lists))}: followed because people want it"
        if (why := unlisted(service.state)) is not None:
            remedy = "`yse-ingest targets sync --list` shows whose list it is."
            yield Check("lists of YSE-PZ", "fail", why, remedy)
        elif lists:
            yield Check("lists of YSE-PZ", "ok", told)


def _targets(service: Service) -> list[Target]:
    """Return one of whom nothing is said, then those of the file and those added by hand.

    Of all that differ in name and place alone the first stands for the others.
    """
    from yse_ingest.targets import Target

    found = {each.name: each for each in service.targets_file().targets}
    # Redis is told in a line of its own.
    with contextlib.suppress(StateError):
        found |= {each.name: each for each, _ in service.state.targets.all()}
    alike: dict[tuple[str, ...], Target] = {}
    for each in found.values():
        said = (each.source, sorted(each.overrides.items()), each.creation)
        alike.setdefault(tuple(map(str, said)), each)
    return [Target("doctor", ra=0.0, dec=0.0), *alike.values()]


def _without_magnitude(service: Service) -> Iterator[Check]:
    """Say what YSE-PZ makes of rows without a magnitude, to those who switch them on."""
    from yse_ingest.sources import Kind

    words = {Kind.LIMIT: "upper limits", Kind.FORCED: "forced photometry below 3 sigma"}
    asked = [(each, name) for each in _targets(service) for name in service.sources_of(each)]
    wanted = {kind for target, name in asked for kind in service.kinds(target, name)}
    found = [word for kind, word in words.items() if kind in wanted]
    if found:
        yield Check(
            "no magnitude",
            "warn",
            f"{' and '.join(found)} will be sent: where such a row is "
            "the newest of a transient, YSE-PZ's recent_magdate moves to it, and its queries "
            "for risers leave the transient out until the next detection",
            "Nothing to do where that is meant; docs/sources/rules.md says how to "
            "switch them off.",
        )


def _redis(service: Service) -> Iterator[Check]:
    state = service.state
    for finding in state.check():
        level: dict[str, Level] = {"ok": "ok", "warning": "warn", "failure": "fail"}
        yield Check(
            f"Redis {finding.subject}", level[finding.level], finding.fact, finding.remedy
        )
    drift = abs(state.now_ms() / 1000 - time.time())
    if drift > CLOCK_DRIFT_MAX_S:
        yield Check(
            "clock",
            "fail",
            f"this host and Redis differ by {drift:.0f} s",
            "Run NTP on both: leases and redelivery are measured by their clocks.",
        )
    else:
        yield Check("clock", "ok", "this host and Redis agree")
    if state.quiet_until_ms() > state.now_ms():
        yield Check(
            "state",
            "warn",
            "the state was lost; nothing is sent until YSE-PZ must have ended its requests",
            "Nothing to do: it is rebuilt by reading YSE-PZ back.",
        )
    if (reason := state.outbox.held()) is not None:
        yield Check(
            "uploads", "warn", f"held: {reason}", "`yse-ingest resume` when it is over."
        )
    yield from _beside_us(state)
    if state.outbox.breaker()["open"]:
        yield Check(
            "uploads",
            "warn",
            "YSE-PZ did not answer for a while; it is tried now and then",
            "See the line of YSE-PZ; what is owed waits.",
        )
    for name in sources(service):
        if (breaker := state.source_breaker(name).state())["open"]:
            yield Check(
                "fetches",
                "warn",
                f"{name} is down ({breaker['reason']}); it is tried now and then",
                f"See the line of source {name}; what it has is fetched when it is back.",
            )
    yield _budget(service)


def _budget(service: Service) -> Check:
    from yse_ingest.cli.sharing import held, spent

    budget, turns = service.budget.state(), service.state.gate.state()
    fact = f"{spent(budget)}; up to {turns['turns']} requests at once"
    if turns["waiting"]:
        fact += f", {turns['waiting']} wait for their turn"
    waits = held(budget)
    if waits is None:
        return Check("budget", "ok", fact)
    remedy = "Nothing to do; YSE_INGEST_BUDGET allows more."
    return Check("budget", "warn", f"{fact}; {waits}", remedy)


def _beside_us(state: State) -> Iterator[Check]:
    """Tell who else writes to YSE-PZ where we do, be it under our own account."""
    from yse_ingest.cli.status import second_writer

    for writer in state.audits.writers():
        yield Check(
            "second writer",
            "warn",
            second_writer(writer),
            "Its rows are never touched. Where it overwrites ours, end the old job.",
        )
    for key, reason in state.audits.stops().items():
        name = (state.ledgers.about(int(key)) or {}).get("name", f"transient {key}")
        yield Check(
            "second installation",
            "fail",
            f"{name}: {reason}",
            "End one of them, then `yse-ingest targets resume NAME`.",
        )


def _queues(service: Service) -> Iterator[Check]:
    from yse_ingest.cli.overview import queue_lengths

    lengths = queue_lengths(service)
    shown = ", ".join(f"{queue} {length}" for queue, length in lengths.items())
    if max(lengths.values()) > BACKLOG:
        yield Check(
            "queues",
            "warn",
            f"{shown} messages wait",
            "Start workers, or more of them; lost or old messages are made anew.",
        )
    else:
        yield Check("queues", "ok", f"waiting messages: {shown}")


def _source(service: Service, name: str) -> Iterator[Check]:
    from yse_ingest.sources import Ask
    from yse_ingest.targets import Target

    source = service.source(name)
    ra, dec = PROBE
    # Since now: an answer without a row.
    ask = Ask(
        target=Target("doctor", ra=ra, dec=dec),
        rules=service.settings.rules,
        since_ms=int(time.time() * 1000),
    )
    started = time.monotonic()
    (answer,) = source.fetch([ask])
    answer.clean_up()
    if answer.error is not None:
        answer.error.target = None
        yield _failed(f"source {name}", answer.error)
    else:
        took = 1000 * (time.monotonic() - started)
        yield Check(f"source {name}", "ok", f"{source.title} answers in {took:.0f} ms")


def _ysepz(service: Service) -> Iterator[Check]:
    client = service.ysepz.for_purpose("doctor")
    try:
        client.check_login()
    except StateUnavailableError:
        # Redis is told in a line of its own; YSE-PZ can be asked without it.
        alone = type(service)(replace(service.settings, state_url=None))
        client = alone.ysepz.for_purpose("doctor")
        client.check_login()
    account = client.account
    yield Check("YSE-PZ", "ok", f"{client.url} takes {account.username} ({account.origin})")
    vocabulary = client.vocabulary()
    missing = list(_missing(service, vocabulary))
    lacking = {row.fields["name"] for check in missing for row in check.rows or ()}
    wrong: dict[str, Check] = {}
    nobody, *targets = _targets(service)
    for target in (nobody, *targets):
        try:
            for name in service.sources_of(target):
                vocabulary.check_photometry(service.rules(target, name))
            if target.creation is not None:
                vocabulary.check_creation(_declared(target))
        except VocabularyError as error:
            who = "" if target is nobody else f"{target.name}: "
            told = "It is among the rows below." if error.value in lacking else error.remedy
            check = Check("vocabulary", "fail", f"{who}{error.fact}", told)
            wrong.setdefault(error.fact, check)
    yield from wrong.values()
    if not wrong:
        rules = service.settings.rules
        names = [rules.instrument, rules.obs_group, *rules.band_map.values()]
        if targets:
            names.append("every name that the targets use")
        yield Check("vocabulary", "ok", f"YSE-PZ knows {', '.join(names)}")
    yield from missing


def _missing(service: Service, vocabulary: Vocabulary) -> Iterator[Check]:
    """Tell what this YSE-PZ lacks for the surveys whose photometry is fetched."""
    from yse_ingest.plot.styles import STYLES
    from yse_ingest.ysepz.missing import in_words, missing_rows

    for survey, names in _surveys_in_use(service):
        rows = missing_rows(
            vocabulary,
            instrument=survey.instrument,
            obs_group=survey.obs_group,
            bands=survey.band_map.values(),
            colours={
                band: STYLES[letter].colour
                for letter, band in survey.band_map.items()
                if letter in STYLES
            },
        )
        if rows:
            yield Check(
                f"rows of {survey.name}",
                "warn",
                f"this YSE-PZ lacks {in_words(rows)}: what {', '.join(names)} finds is "
                "refused before it is sent",
                "Ask its administrator to add these rows in the Django admin, in this order:",
                tuple(rows),
            )


def _surveys_in_use(service: Service) -> Iterator[tuple[Survey, list[str]]]:
    """Iterate over surveys whose own names are sent, each with the sources that deliver it.

    Names that the operator gives instead are those of this YSE-PZ, or a slip: the check of the
    vocabulary tells of them.
    """
    from yse_ingest.sources import SOURCES

    found: dict[str, tuple[Survey, list[str]]] = {}
    asked = [(each, name) for each in _targets(service) for name in service.sources_of(each)]
    for target, name in asked:
        if name not in SOURCES:
            continue
        survey, rules = SOURCES[name].capabilities.survey, service.rules(target, name)
        if all(getattr(rules, field) == own for field, own in survey.rules.items()):
            _, names = found.setdefault(survey.name, (survey, []))
            if name not in names:
                names.append(name)
    yield from found.values()


def _account(service: Service) -> Iterator[Check]:
    """Tell whether others write under our account, as far as YSE-PZ shows it."""
    from yse_ingest.account_use import look

    try:
        use = look(service)
    except (StateError, YsePzError):
        # Told in a line of its own.
        return
    for sign in use.signs:
        yield Check(
            "account",
            "warn",
            sign,
            "Give the service an account of its own in YSE-PZ: under a shared one the rows of "
            "other jobs count as ours, and ours as theirs (docs/cut-over.md).",
        )
    if not use.signs:
        yield Check("account", "ok", use.fact)


def _declared(target: Target) -> dict[str, Any]:
    return {key: value for key, value in (target.creation or {}).items() if key != "beside"}


def _schedule(service: Service) -> Iterator[Check]:
    from workers.celery import app, deployment
    from workers.schedule import TICKS, faults_of

    app.loader.import_default_modules()
    for problem in deployment.problems:
        yield Check("celeryconfig", "warn", problem, "Correct it, or take the line away.")
    entries = app.conf.beat_schedule
    faults: dict[str, str | None] = {
        **{name: _fault_of(entry, app.tasks) for name, entry in entries.items()},
        **faults_of(deployment.choices.get("beat_schedule", {})),
    }
    for name, fault in faults.items():
        if fault:
            yield Check(
                "schedule",
                "fail",
                f"entry {name!r} {fault}",
                "Correct beat_schedule in celeryconfig.py; an entry stands in its first lines.",
            )
    if not any(faults.values()):
        added = len(entries) - len(TICKS)
        yield Check("schedule", "ok", f"{', '.join(TICKS)} and {added} entries of this folder")
    for name, entry in entries.items():
        for target in () if faults[name] else _asked_for(entry):
            if service.state.targets.get(target) is None:
                yield Check(
                    "schedule",
                    "warn",
                    f"entry {name!r} asks for {target!r}, which is not followed",
                    f"Follow it (`yse-ingest targets add {target}`), or correct the entry.",
                )


def _fault_of(entry: Mapping[str, Any], tasks: Mapping[str, Any]) -> str | None:
    task = entry["task"]
    if task not in tasks:
        return f"names the task {task!r}, which is not ours"
    try:
        inspect.signature(tasks[task].run).bind(
            *entry.get("args", ()), **entry.get("kwargs") or {}
        )
    except TypeError as error:
        return f"does not fit {task}: {error}"
    return None


def _asked_for(entry: Mapping[str, Any]) -> Iterator[str]:
    """Return the targets that an entry of the schedule asks about, by name."""
    if entry["task"].startswith("yse_ingest.fetch_photometry"):
        for given in (*entry.get("args", ()), *(entry.get("kwargs") or {}).values()):
            names = given if isinstance(given, list | tuple) else [given]
            yield from map(str, names)


def _workers(service: Service) -> Iterator[Check]:
    from workers.celery import app
    from yse_ingest.state import QUEUES

    with app.connection_for_read(service.settings.broker_url) as connection:
        try:
            # Not as kombu's own errors: only the workers may name those.
            connection.ensure_connection(
                max_retries=1, interval_start=0, reraise_as_library_errors=False
            )
            nodes_of = app.control.inspect(timeout=PING_S, connection=connection)
            answers = nodes_of.ping() or {}
            consumed = (nodes_of.active_queues() or {}) if answers else {}
        except connection.connection_errors as error:
            yield Check(
                "workers", "fail", f"the broker gives no answer: {error}", "Start Redis."
            )
            return
    beats = [name for name in answers if name.startswith("celerybeat@")]
    nodes = sorted(set(answers) - set(beats))
    served = {queue["name"] for queues in consumed.values() for queue in queues}
    unserved = [queue for queue in QUEUES if queue not in served]
    if not nodes:
        yield Check("workers", "warn", "none answers", "Start them: `yse-ingest up`.")
    elif unserved:
        yield Check(
            "workers",
            "fail",
            f"{', '.join(nodes)} answer; nobody works on {', '.join(unserved)}",
            f"Start a worker with -Q {','.join(unserved)}.",
        )
    else:
        yield Check("workers", "ok", f"{', '.join(nodes)} answer")
    if beats:
        yield Check("beat", "ok", f"{', '.join(beats)} answers")
    else:
        yield Check("beat", "warn", "it does not answer", "Start it: `yse-ingest up`.")
    state = service.state
    late = state.targets.due(state.now_ms() - int(OVERDUE_S * 1000), 1000)
    if late and nodes and beats:
        yield Check(
            "dispatch",
            "warn",
            f"{len(late)} targets are due since more than {OVERDUE_S:.0f} s",
            "Look at the log of the control worker.",
        )
