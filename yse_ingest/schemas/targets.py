"""The target file: what is followed, written by people in TOML, or as a table.

::

    [defaults]              # fields of Rules, and cadence, source
    cadence = "30m"
    negatives = "drop"

    [sources.alerce]        # fields of Rules that differ for one source
    match_radius_arcsec = 2.0

    [follow]                # whatever has one of these in YSE-PZ
    status = ["Following"]
    tags = ["YSE"]
    query = "our_targets"   # title of a saved SQL query
    match = "any"           # or "all": only what has all of them

    [[targets]]             # and fields of Rules that differ for one target
    name = "2019np"
    ra = 157.3415
    dec = 29.5106667
    creation = { status = "New", obs_group = "ZTF" }

A name that ends in ``.csv`` or ``.ecsv`` is a table of targets alone
(`yse_ingest.schemas.target_tables`). A bad entry is reported with its line and never holds up
the others. The text ``"none"`` stands for no value, which TOML cannot say.
"""

from __future__ import annotations

import bisect
import difflib
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import TYPE_CHECKING, Any

from marshmallow import Schema, ValidationError

from yse_ingest.errors import SettingsError, TargetError
from yse_ingest.schemas._load import Fault, faults_of, load
from yse_ingest.schemas.target_fields import (
    DefaultsSchema,
    ExportedSchema,
    FollowSchema,
    RulesSchema,
    TargetSchema,
)
from yse_ingest.schemas.target_tables import TABLES, Table, parse_table
from yse_ingest.selection import Selection, selections
from yse_ingest.targets import Rules, Target, canonical_name, source_names

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from yse_ingest.targets import Cadence

RULE_NAMES = frozenset(item.name for item in fields(Rules))
SECTIONS = ("defaults", "sources", "follow", "targets")

_HEADER = re.compile(r"\s*\[+\s*([\w.\"'-]+)\s*\]+\s*(?:#.*)?")


@dataclass(frozen=True)
class Problem:
    """One thing in the file that cannot be used."""

    where: str
    """``defaults``, ``sources.mars`` or the number of the target from 1: ``target 3``."""
    name: str | None
    """Name of the target, where it has one."""
    line: int | None
    """Line from 1, where it could be found."""
    field: str
    value: object
    reason: str
    """To be read after the field: "is 400, outside 0 to 360"."""

    def __str__(self) -> str:
        """Return the problem as one line."""
        line = "" if self.line is None else f"line {self.line}: "
        name = "" if self.name is None else f" ({self.name})"
        return f"{line}{self.where}{name}: {self.field or 'it'} {self.reason}"


@dataclass(frozen=True)
class Following:
    """Which transients of YSE-PZ are followed: those on any of these lists."""

    lists: tuple[Selection, ...] = ()

    def __bool__(self) -> bool:
        """Tell whether any are."""
        return bool(self.lists)


@dataclass(frozen=True)
class TargetsFile:
    """What a target file says, and what in it cannot be used."""

    targets: tuple[Target, ...] = ()
    problems: tuple[Problem, ...] = ()
    defaults: Mapping[str, Any] = field(default_factory=dict)
    """Fields of `Rules` that hold for every target."""
    default_cadence_s: Cadence | None = None
    default_source: str | None = None
    source_overrides: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Name of a source to the fields of `Rules` that differ for it."""
    paused: Mapping[str, str] = field(default_factory=dict)
    """Name to why it is paused: of an exported registry alone."""
    listed: frozenset[str] = frozenset()
    """Names that are followed because of a list alone: as ``paused``."""
    lists: tuple[Selection, ...] = ()
    """Lists of YSE-PZ that are followed, besides ``following``: as ``paused``."""
    following: Following | None = Following()
    """None: what the file says of it cannot be used, so nothing is changed."""


def load_targets_file(
    path: Path, *, rules: Rules | None = None, source: str = "", exported: bool = False
) -> TargetsFile:
    """Read a target file; its ending says whether it is TOML or a table.

    Parameters
    ----------
    rules, source
        Those of the settings.
    exported
        It may be an exported registry, which says what is paused.

    Raises
    ------
    SettingsError
        When it cannot be read at all.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise SettingsError(
            f"the target file cannot be read ({error.strerror})",
            service="settings",
            field="YSE_INGEST_TARGETS",
            value=str(path),
            remedy="Check that the file exists and may be read.",
        ) from error
    except UnicodeDecodeError as error:
        raise SettingsError(
            f"the target file {path} is no UTF-8 text (byte {error.start})",
            service="settings",
            remedy="Save it as UTF-8.",
        ) from error
    schema = ExportedSchema() if exported else TargetSchema()
    suffix = path.suffix.lower()
    if suffix in TABLES:
        table = parse_table(text, schema, ecsv=suffix == ".ecsv")
        content = {"targets": list(table.entries)}
        return _Reader(content, _TableLines(table), schema, rules, source).read(table)
    try:
        content = tomllib.loads(text)
        return _Reader(content, _TomlLines(text, content), schema, rules, source).read()
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(
            f"the target file {path} is no TOML: {error}",
            service="settings",
            remedy="Correct that line; nothing of the file was taken.",
        ) from error


def parse_targets(text: str, *, rules: Rules | None = None, source: str = "") -> TargetsFile:
    """Read the text of a target file.

    Parameters
    ----------
    rules
        What holds where the file says nothing.
    source
        Where targets are asked for that name no source, if the file names none either.

    Raises
    ------
    tomllib.TOMLDecodeError
        When it is no TOML.
    """
    content = tomllib.loads(text)
    return _Reader(content, _TomlLines(text, content), TargetSchema(), rules, source).read()


class _TomlLines:
    """Where what stands in a text of TOML."""

    def __init__(self, text: str, content: Mapping[str, Any]) -> None:
        self._content = content
        self._lines = text.splitlines()

    @cached_property
    def _headers(self) -> list[tuple[int, str]]:
        return [
            (number, match[1])
            for number, line in enumerate(self._lines)
            if (match := _HEADER.fullmatch(line))
        ]

    @cached_property
    def _starts(self) -> list[int]:
        return [number for number, name in self._headers if name == "targets"]

    def of(self, where: str, key: str) -> int | None:
        """Return the line of a key, else of the header of its section, if they are found."""
        section, _, count = where.partition(" ")
        if section == "target":
            entries = self._content.get("targets")
            if not isinstance(entries, list) or len(self._starts) != len(entries):
                return None  # written in another way, as an inline list
            start = self._starts[int(count) - 1]
        else:
            starts = [number for number, name in self._headers if name == section]
            if not starts:
                return None
            start = starts[0]
        after = bisect.bisect_right(self._headers, start, key=lambda header: header[0])
        end = self._headers[after][0] if after < len(self._headers) else None
        for number, line in enumerate(self._lines[start + 1 : end], start=start + 1):
            if key and re.match(rf"\s*[\"']?{re.escape(key)}[\"']?\s*[.=]", line):
                return number + 1
        return start + 1


class _TableLines:
    """Where what stands in a table."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def of(self, where: str, _key: str) -> int | None:
        """Return the line of a target; None for what is none."""
        section, _, count = where.partition(" ")
        return self._table.lines[int(count) - 1] if section == "target" else None


class _Reader:
    def __init__(
        self,
        content: Mapping[str, Any],
        lines: _TomlLines | _TableLines,
        schema: Schema,
        rules: Rules | None,
        source: str,
    ) -> None:
        self._content = content
        self._lines = lines
        self._schema = schema
        self._rules = rules or Rules()
        self._source = source
        self._paused: dict[str, str] = {}
        self._listed: set[str] = set()
        self._exported = isinstance(schema, ExportedSchema)
        self._problems: list[Problem] = []

    def read(self, table: Table | None = None) -> TargetsFile:
        for each in table.faults if table is not None else ():
            where, fault = "table", each.fault
            self._problems.append(
                Problem(where, each.name, each.line, fault.field, fault.value, fault.reason)
            )
        for key in self._content:
            if key not in SECTIONS and not (self._exported and key == "lists"):
                self._report(key, Fault("", None, f"is no section{_meant(key, SECTIONS)}"))
        defaults = self._load(DefaultsSchema(), "defaults", self._content.get("defaults", {}))
        self._source = defaults.get("source") or self._source
        rules = self._followed("defaults", _rules_of(defaults), self._rules)
        self._rules = self._rules.with_overrides(rules)
        sources = {
            name: self._followed(f"sources.{name}", section, self._rules)
            for name, section in self._sources().items()
        }
        return TargetsFile(
            following=self._following(),
            targets=tuple(self._targets(sources)),
            paused=self._paused,
            listed=frozenset(self._listed),
            lists=tuple(self._lists()) if self._exported else (),
            source_overrides=sources,
            problems=tuple(self._problems),
            defaults=rules,
            default_cadence_s=defaults.get("cadence"),
            default_source=defaults.get("source"),
        )

    def _following(self) -> Following | None:
        before = len(self._problems)
        loaded = self._load(FollowSchema(), "follow", self._content.get("follow", {}))
        if len(self._problems) > before:
            return None
        try:
            lists = selections(
                status=loaded.get("status", ()),
                tags=loaded.get("tags", ()),
                queries=[loaded["query"]] if "query" in loaded else (),
                match=loaded.get("match", "any"),
            )
        except TargetError as error:
            reason = f"cannot be used: {error.fact}. {error.remedy}"
            self._report("follow", Fault("status", error.value, reason))
            return None
        return Following(lists)

    def _lists(self) -> Iterator[Selection]:
        sections = self._content.get("lists", [])
        if not isinstance(sections, list):
            self._report("lists", Fault("", sections, "is no list; begin each with [[lists]]"))
            return
        for number, entry in enumerate(sections, start=1):
            try:
                yield Selection.from_list(entry["terms"])
            except (TargetError, TypeError, KeyError) as error:
                reason = f"is no list of YSE-PZ: {error}"
                self._report(f"list {number}", Fault("terms", entry, reason))

    def _followed(self, where: str, section: dict[str, Any], base: Rules) -> dict[str, Any]:
        """Return a section that can be followed: without negatives, where they contradict."""
        reason = base.with_overrides(section).contradiction
        if reason is None:
            return section
        self._report(where, Fault("negatives", "flux", reason))
        return {**section, "negatives": "drop"}

    def _sources(self) -> dict[str, dict[str, Any]]:
        sections = self._content.get("sources", {})
        if not isinstance(sections, Mapping):
            self._report("sources", Fault("", sections, "is no table"))
            return {}
        return {
            name: self._load(RulesSchema(), f"sources.{name}", section)
            for name, section in sections.items()
        }

    def _targets(self, sources: Mapping[str, Mapping[str, Any]]) -> list[Target]:
        entries = self._content.get("targets", [])
        if not isinstance(entries, list):
            self._report("targets", Fault("", None, "is no list; begin each with [[targets]]"))
            return []
        schema = self._schema
        found: dict[str, Target] = {}
        for number, entry in enumerate(entries, start=1):
            target = self._target(schema, number, entry)
            if target is None:
                continue
            first, *_ = (*target.sources, *source_names(self._source), "")
            of_source = sources.get(first, {})
            rules = self._rules.with_overrides(of_source, target.overrides)
            if rules.contradiction is not None:
                fault = Fault("negatives", "flux", rules.contradiction)
                self._report(f"target {number}", fault, entry)
                continue
            # YSE-PZ compares names without case.
            key = canonical_name(target.name).casefold()
            if key in found:
                reason = f"is {target.name} a second time; the first is taken"
                self._report(f"target {number}", Fault("name", target.name, reason), entry)
                continue
            found[key] = target
            if self._exported and "paused" in entry:
                self._paused[target.name] = entry["paused"]
            if self._exported and entry.get("listed"):
                self._listed.add(target.name)
        return list(found.values())

    def _target(self, schema: Schema, number: int, entry: object) -> Target | None:
        where = f"target {number}"
        try:
            loaded = load(schema, entry)
            return Target(
                name=loaded["name"],
                ra=loaded.get("ra"),
                dec=loaded.get("dec"),
                object_id=loaded.get("object_id"),
                since=loaded.get("since"),
                source=loaded.get("source"),
                cadence_s=loaded.get("cadence"),
                until=loaded.get("until"),
                expires=loaded.get("expires"),
                priority=loaded.get("priority", 0),
                freshness_s=loaded.get("freshness"),
                creation=loaded.get("creation"),
                overrides=_rules_of(loaded),
            )
        except ValidationError as error:
            for fault in faults_of(error, entry):
                self._report(where, fault, entry, known=schema.fields)
        except TargetError as error:
            reason = f"cannot be used: {error.fact}. {error.remedy}"
            self._report(where, Fault(error.field or "", error.value, reason), entry)
        return None

    def _load(self, schema: Schema, where: str, section: object) -> dict[str, Any]:
        """Return the fields of a section that can be used, and report the others."""
        try:
            return load(schema, section)
        except ValidationError as error:
            faults = faults_of(error, section)
            for fault in faults:
                self._report(where, fault, known=schema.fields)
            if not isinstance(section, Mapping):
                return {}
            bad = {fault.field.partition(".")[0] for fault in faults}
            return load(schema, {key: one for key, one in section.items() if key not in bad})

    def _report(
        self,
        where: str,
        fault: Fault,
        entry: object = None,
        *,
        known: Sequence[str] | Mapping[str, Any] = (),
    ) -> None:
        name = entry.get("name") if isinstance(entry, Mapping) else None
        unknown = known and fault.field and fault.field.partition(".")[0] not in known
        self._problems.append(
            Problem(
                where=where,
                name=name if isinstance(name, str) else None,
                line=self._lines.of(where, fault.field.partition(".")[0]),
                field=fault.field,
                value=fault.value,
                reason=fault.reason + (_meant(fault.field, known) if unknown else ""),
            )
        )


def _rules_of(loaded: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in loaded.items() if key in RULE_NAMES}


def _meant(key: str, known: Sequence[str] | Mapping[str, Any]) -> str:
    close = difflib.get_close_matches(key, list(known), n=1)
    return f"; did you mean {close[0]}?" if close else f"; known are {', '.join(known)}"
