"""Targets: what is followed, when each is due, and what people decided about them."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

from yse_ingest.cadence import BASE_S
from yse_ingest.state import scripts
from yse_ingest.state.clocks import troubled_member
from yse_ingest.state.connection import Read
from yse_ingest.state.keys import dumps, loads
from yse_ingest.state.packed import PackedHash
from yse_ingest.targets import ADAPTIVE, Target, canonical_name, phase_of
from yse_ingest.times import time_ms_of_date

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from yse_ingest.state.connection import Connection
    from yse_ingest.state.decisions import DecisionLog
    from yse_ingest.state.keys import Keys
    from yse_ingest.targets import Cadence

Origin = Literal["file", "adhoc", "list"]
"""The targets file, a person, a list of YSE-PZ."""

LEFT_FILE = "it left the targets file"
LEFT_LIST = "it left the list of YSE-PZ"
LEFT = {"file": LEFT_FILE, "list": LEFT_LIST}
"""Why a target is paused that is where it came from no more."""

AT_ONCE = 1000
"""Targets that one script, or one request to Redis, is given."""
EXPIRED: Final = "expired "
"""How the reason of a pause begins that ends by itself once the date is changed."""

_PACKED = ("clock", "refused", "waiting", "quarantine", "resolution")
"""Hashes in which something of a target is noted."""

FETCH_LOST_S = 600.0
"""A target claimed so long ago and never asked about lost its message [s]."""


class DueTarget(NamedTuple):
    """A target whose time has come."""

    name: str
    source: str
    """Where to ask; "" for the default source."""


class FileSync(NamedTuple):
    """What reading the targets file changed."""

    changed: list[str]
    """Targets that are new or differ."""
    gone: list[str]
    """Targets that left the file: paused, not forgotten."""
    back: list[str]
    """Targets that are in the file again."""


class TargetStore:
    """The targets of one namespace. Names are taken in any spelling (``SN2019np``)."""

    def __init__(self, connection: Connection, keys: Keys, decisions: DecisionLog) -> None:
        self._connection = connection
        self._keys = keys
        self._decisions = decisions
        self._targets = keys("targets")
        self._due = keys("targets", "due")
        self._paused = keys("targets", "paused")
        self._cadence = keys("targets", "cadence")
        self._pending = keys("targets", "pending")
        self._pace = keys("targets", "pace")
        self._priority = keys("targets", "priority")
        self._backfill = keys("targets", "backfill")
        self._pressed = keys("targets", "pressed")
        self._synced = keys("targets", "synced")
        self._listed = keys("targets", "listed")
        self._added = keys("targets", "added")
        self._looks = keys("watch", "looks")

    def put(self, target: Target, *, origin: Origin, due_ms: int | None = None) -> bool:
        """Follow a target, or change how; return whether it is new or changed."""
        return bool(self.put_many([target], origin=origin, due_ms=due_ms))

    def put_many(
        self, targets: Iterable[Target], *, origin: Origin, due_ms: int | None = None
    ) -> list[str]:
        """Follow targets, or change how; return the names of those that are new or changed.

        A new target is due at once, a known one when it was, unless ``due_ms`` says when. A
        change by a person is a decision, and kept as one; what was paused because it had left
        the targets file, or a list, goes on then.
        """
        wanted = {target.name: target for target in targets}
        changed = self._put(list(wanted.values()), origin=origin, due_ms=due_ms)
        if changed and origin == "adhoc":
            self._decisions.append_many(
                ("target_added", {"target": target_to_json(wanted[name])}) for name in changed
            )
            self._resume(self.that_left(changed))
        return changed

    def that_left(self, names: Sequence[str]) -> list[str]:
        """Return which of these are paused because they are where they came from no more."""
        reasons = self.paused_of(names)
        return [name for name, reason in reasons.items() if reason in LEFT.values()]

    def _put(
        self, targets: Sequence[Target], *, origin: Origin, due_ms: int | None = None
    ) -> list[str]:
        now_ms = self._connection.now_ms()
        changed: list[str] = []
        for start in range(0, len(targets), AT_ONCE):
            some = targets[start : start + AT_ONCE]
            self._connection.batch(
                [
                    ("ZADD", self._priority, each.priority, each.name)
                    if each.priority
                    else ("ZREM", self._priority, each.name)
                    for each in some
                ]
            )
            records = [part for each in some for part in (each.name, _record(each, origin))]
            changed += self._connection.run(
                scripts.TARGETS_PUT,
                keys=[self._targets, self._due, self._added, self._looks],
                args=["" if due_ms is None else due_ms, now_ms, *records],
            )
        return changed

    def get(self, name: str) -> Target | None:
        """Return a target with the cadence that holds, or None."""
        name = canonical_name(name)
        raw, cadence = self._connection.batch([read.command for read in self.reads_of(name)])
        return _target(raw, cadence)[0] if raw else None

    def reads_of(self, name: str) -> tuple[Read, Read]:
        """Return what `get` reads."""
        name = canonical_name(name)
        return Read(("HGET", self._targets, name)), Read(("HGET", self._cadence, name))

    def by_hand(self, names: Iterable[str]) -> set[str]:
        """Return which of these were added by hand, or are not followed at all."""
        names = list(names)
        records = self._connection.call("HMGET", self._targets, *names) if names else []
        return {
            name
            for name, raw in zip(names, records, strict=True)
            if raw is None or _origin(raw) == "adhoc"
        }

    def many(self, names: Iterable[str]) -> list[tuple[Target, Origin]]:
        """Return those of these targets that are followed, with their origin, in order."""
        wanted = [canonical_name(name) for name in names]
        found = []
        for start in range(0, len(wanted), AT_ONCE):
            some = wanted[start : start + AT_ONCE]
            records, cadences = self._connection.batch(
                [("HMGET", self._targets, *some), ("HMGET", self._cadence, *some)]
            )
            pairs = zip(records, cadences, strict=True)
            found += [_target(raw, cadence) for raw, cadence in pairs if raw is not None]
        return found

    def names(self) -> list[str]:
        """Return the names of all targets, sorted."""
        return sorted(self._connection.call("HKEYS", self._targets))

    def all(self) -> list[tuple[Target, Origin]]:
        """Return all targets with their origin, sorted by name."""
        records, cadences = self._connection.batch(
            [("HGETALL", self._targets), ("HGETALL", self._cadence)]
        )
        return [_target(records[name], cadences.get(name)) for name in sorted(records)]

    def added_ms(self, names: Sequence[str] | None = None) -> dict[str, int]:
        """Return since when targets are followed, by name [Unix ms]; all without ``names``."""
        if names is None:
            raw = self._connection.call("HGETALL", self._added)
            return {name: int(added_ms) for name, added_ms in raw.items()}
        return self._of(self._added, "HMGET", names)

    def due_times(self, names: Sequence[str]) -> dict[str, int]:
        """Return when these targets are due, by name [Unix ms]; paused ones too."""
        return self._of(self._due, "ZMSCORE", names)

    def _of(self, key: str, command: str, names: Sequence[str]) -> dict[str, int]:
        found: dict[str, int] = {}
        for start in range(0, len(names), AT_ONCE):
            some = names[start : start + AT_ONCE]
            values = self._connection.call(command, key, *some)
            known = zip(some, values, strict=True)
            found |= {name: int(value) for name, value in known if value is not None}
        return found

    def by_due(self, limit: int) -> list[str]:
        """Return the names that are due first."""
        names: list[str] = self._connection.call("ZRANGE", self._due, 0, limit - 1)
        return names

    def count_due(self, before_ms: int) -> int:
        """Return how many are due before a time [Unix ms], paused ones among them."""
        return int(self._connection.call("ZCOUNT", self._due, "-inf", before_ms))

    def count_paused(self) -> int:
        """Return how many are paused."""
        return int(self._connection.call("HLEN", self._paused))

    def count(self) -> int:
        """Return how many targets there are."""
        return int(self._connection.call("HLEN", self._targets))

    def remove(self, name: str) -> bool:
        """Forget a target and what was noted about it; return whether it was known."""
        name = canonical_name(name)
        raw = self._connection.call("HGET", self._targets, name)
        clocks = PackedHash(self._connection, self._keys("clock")).get(name)
        troubled = {troubled_member(name, source) for source in clocks or ()}
        self._connection.batch(
            [
                ("ZREM", self._keys("clocks", "troubled"), name, *troubled),
                ("HDEL", self._targets, name),
                ("ZREM", self._due, name),
                ("ZREM", self._pending, name),
                ("HDEL", self._paused, name),
                ("HDEL", self._cadence, name),
                ("HDEL", self._added, name),
                ("HDEL", self._pace, name),
                ("ZREM", self._priority, name),
                ("ZREM", self._looks, name),
                ("HDEL", self._backfill, name),
                ("HDEL", self._keys("targets", "hinted"), name),
                *(("HDEL", self._keys(kind), name) for kind in _PACKED),
                ("DEL", *(self._keys(kind, name) for kind in ("choice", "sightings"))),
            ],
            atomic=True,
        )
        if raw and _origin(raw) == "adhoc":
            self._decisions.append("target_removed", name=name)
        return raw is not None

    def rename(self, old: str, new: str) -> None:
        """Follow a target under another name: all that people decided goes with it.

        What is known of its source is not: it is asked in full under the new name, and at
        once. Safe to repeat; a target that has the new name already stays as it is.
        """
        old, new = canonical_name(old), canonical_name(new)
        raw, cadence_ms, reason, added_ms, backfill, taken = self._connection.batch(
            [
                ("HGET", self._targets, old),
                ("HGET", self._cadence, old),
                ("HGET", self._paused, old),
                ("HGET", self._added, old),
                ("HGET", self._backfill, old),
                ("HEXISTS", self._targets, new),
            ]
        )
        if raw is None:
            return
        target, origin = _target(raw, None)
        if not taken:
            # The record comes last: a crash before it leaves all to be done again.
            if added_ms is not None:
                self._connection.call("HSETNX", self._added, new, added_ms)
            if backfill is not None:
                self._connection.call("HSET", self._backfill, new, backfill)
            if cadence_ms is not None:
                self.set_cadence(new, _cadence(int(cadence_ms)))
            if reason is not None and (reason in LEFT.values() or reason.startswith(EXPIRED)):
                self._connection.call("HSET", self._paused, new, reason)
            elif reason is not None:
                self.pause(new, reason)
            self.put(replace(target, name=new), origin=origin)
        self.remove(old)

    def set_all_due(self, due_ms: int) -> int:
        """Set when all that are not paused are asked about next; return how many."""
        paused = set(self._connection.call("HKEYS", self._paused))
        names = [name for name in self.names() if name not in paused]
        self.set_due_many(names, due_ms)
        return len(names)

    def set_due_many(self, names: Sequence[str], due_ms: int) -> None:
        """Set when these known targets are asked about next."""
        for start in range(0, len(names), AT_ONCE):
            scores = [
                part for name in names[start : start + AT_ONCE] for part in (due_ms, name)
            ]
            self._connection.call("ZADD", self._due, "XX", *scores)

    def set_due(self, name: str, due_ms: int) -> None:
        """Set when a known target is asked about next."""
        self._connection.call("ZADD", self._due, "XX", due_ms, canonical_name(name))

    def put_off(
        self,
        name: str,
        due_ms: int,
        *,
        since_ms: int,
        until_ms: int | None = None,
        every_s: float | None = None,
    ) -> None:
        """Have a known target asked about then, unless somebody wants it sooner.

        Parameters
        ----------
        name, due_ms
            Which, and when [Unix ms].
        since_ms, until_ms
            What is due between these stays so: it was wanted meanwhile [Unix ms]; None: now.
        every_s
            How often the adaptive rule wants to ask from now on [s]; None: as before.
        """
        until_ms = self._connection.now_ms() if until_ms is None else until_ms
        pace = "" if every_s is None else max(1, round(every_s * 1000))
        self._connection.run(
            scripts.TARGETS_PUT_OFF,
            keys=[self._due, self._pace],
            args=[canonical_name(name), due_ms, since_ms, until_ms, pace],
        )

    def due_ms(self, name: str) -> int | None:
        """Return when a target is due, or None when nobody follows it."""
        score = self._connection.call("ZSCORE", self._due, canonical_name(name))
        return None if score is None else int(score)

    def due(self, now_ms: int, limit: int) -> list[str]:
        """Return names whose time has come, longest due first; paused ones are left out."""
        names = self._connection.call(
            "ZRANGE", self._due, "-inf", now_ms, "BYSCORE", "LIMIT", 0, limit
        )
        paused = self._connection.call("HMGET", self._paused, *names) if names else []
        return [name for name, reason in zip(names, paused, strict=True) if reason is None]

    def due_count(self, now_ms: int) -> int:
        """Return how many targets are due, paused ones with them."""
        return int(self._connection.call("ZCOUNT", self._due, "-inf", now_ms))

    def claim_due(self, now_ms: int, limit: int, *, cadence_s: Cadence) -> list[DueTarget]:
        """Take targets whose time has come, and move each to its next time.

        At once for all callers: a second beat, or a tick that came twice, gets none of them.
        The next time lies on the target's own grid (cadence, shifted by a hash of the name),
        so that the load stays flat, and never in the past. Where more are due than are taken,
        higher priorities go first, and a quarter of the places to those who wait longest. A
        target that has expired is paused.

        Parameters
        ----------
        now_ms
            The time [Unix ms].
        limit
            How many at most.
        cadence_s
            How often to ask about a target that does not say it [s], or "adaptive".
        """
        flat = self._connection.run(
            scripts.TARGETS_CLAIM_DUE,
            keys=[
                self._targets,
                self._due,
                self._paused,
                self._cadence,
                self._pending,
                self._pace,
                self._priority,
                self._looks,
            ],
            args=[now_ms, limit, _cadence_ms(cadence_s), round(BASE_S * 1000)],
        )
        return [DueTarget(*pair) for pair in zip(flat[::2], flat[1::2], strict=True)]

    def sweep(self, *, older_than_s: float = FETCH_LOST_S) -> int:
        """Make targets due that were claimed and never asked about; return how many.

        The message that was to fetch them got lost. `yse_ingest.state.clocks.Clocks.record`
        tells that a target was asked about, whatever came of it.
        """
        now_ms = self._connection.now_ms()
        return int(
            self._connection.run(
                scripts.TARGETS_SWEEP,
                keys=[self._due, self._pending],
                args=[now_ms, now_ms - round(older_than_s * 1000)],
            )
        )

    def set_cadence(self, name: str, cadence_s: Cadence | None) -> None:
        """Ask about a target this often [s], or "adaptive"; None: as its record says."""
        name = canonical_name(name)
        if cadence_s is None:
            self._connection.call("HDEL", self._cadence, name)
        else:
            self._connection.call("HSET", self._cadence, name, _cadence_ms(cadence_s))
        self._connection.call("ZADD", self._looks, "XX", 0, name)
        self._decisions.append("cadence", name=name, cadence_s=cadence_s)

    def cadences(self) -> dict[str, Cadence]:
        """Return the cadences set by `set_cadence`, by name [s]."""
        raw = self._connection.call("HGETALL", self._cadence)
        return {name: _cadence(int(cadence_ms)) for name, cadence_ms in raw.items()}

    def cadence(self, name: str) -> Cadence | None:
        """Return the cadence of a target set by `set_cadence` [s]."""
        raw = self._connection.call("HGET", self._cadence, canonical_name(name))
        return None if raw is None else _cadence(int(raw))

    def set_pace(self, name: str, every_s: float, due_ms: int) -> None:
        """Keep how often the adaptive rule wants to ask [s], and when it does next."""
        self.put_off(name, due_ms, since_ms=due_ms, until_ms=due_ms, every_s=every_s)

    def pace_s(self, name: str) -> float | None:
        """Return how often the adaptive rule last wanted to ask [s]."""
        raw = self._connection.call("HGET", self._pace, canonical_name(name))
        return None if raw is None else int(raw) / 1000

    def pending_ms(self, name: str) -> int | None:
        """Return since when a claimed target waits to be asked about [Unix ms]."""
        score = self._connection.call("ZSCORE", self._pending, canonical_name(name))
        return None if score is None else int(float(score))

    def press(self, waiting: int | None) -> bool:
        """Note that claiming waits for a queue of this length, or (None) goes on.

        Return whether that is a change: each is told once, whoever notices it.
        """
        if waiting is None:
            return bool(self._connection.call("DEL", self._pressed))
        return bool(self._connection.call("SET", self._pressed, waiting, "NX"))

    def pause(self, name: str, reason: str) -> None:
        """Do not ask about a target until `resume`."""
        name = canonical_name(name)
        self._connection.call("HSET", self._paused, name, reason)
        self._decisions.append("paused", name=name, reason=reason)

    def pause_many(self, reasons: Mapping[str, str]) -> None:
        """Do not ask about these targets until `resume`: name to why."""
        if not reasons:
            return
        by_reason: dict[str, list[str]] = {}
        for name, reason in reasons.items():
            by_reason.setdefault(reason, []).append(canonical_name(name))
        for reason, names in by_reason.items():
            self._pause(names, reason)
        self._decisions.append_many(
            ("paused", {"name": name, "reason": reason})
            for reason, names in by_reason.items()
            for name in names
        )

    def resume(self, name: str) -> bool:
        """Ask about a target again, at once; return whether it was paused."""
        name = canonical_name(name)
        was_paused = self._resume([name])
        if was_paused:
            self._decisions.append("resumed", name=name)
        return was_paused

    def _pause(self, names: Sequence[str], reason: str) -> None:
        for start in range(0, len(names), AT_ONCE):
            some = names[start : start + AT_ONCE]
            pairs = [part for name in some for part in (name, reason)]
            self._connection.call("HSET", self._paused, *pairs)

    def _resume(self, names: Sequence[str]) -> bool:
        now_ms = self._connection.now_ms()
        count = 0
        for start in range(0, len(names), AT_ONCE):
            some = names[start : start + AT_ONCE]
            scores = [part for name in some for part in (now_ms, name)]
            looks = [part for name in some for part in (0, name)]
            known, *_ = self._connection.batch(
                [
                    ("HDEL", self._paused, *some),
                    ("ZADD", self._due, "XX", *scores),
                    ("ZADD", self._looks, "XX", *looks),
                ],
                atomic=True,
            )
            count += known
        return count > 0

    def paused_of(self, names: Sequence[str]) -> dict[str, str]:
        """Return those of these names that are paused, with their reasons."""
        found: dict[str, str] = {}
        for start in range(0, len(names), AT_ONCE):
            some = names[start : start + AT_ONCE]
            reasons = self._connection.call("HMGET", self._paused, *some)
            known = zip(some, reasons, strict=True)
            found |= {name: reason for name, reason in known if reason is not None}
        return found

    def paused(self) -> dict[str, str]:
        """Return the paused names with their reasons."""
        reply: dict[str, str] = self._connection.call("HGETALL", self._paused)
        return reply

    def why_paused(self, name: str) -> str | None:
        """Return why a target is paused; None: it is not."""
        reason: str | None = self._connection.call("HGET", self._paused, canonical_name(name))
        return reason

    def sync_file(self, targets: Iterable[Target], *, gone: str = LEFT_FILE) -> FileSync:
        """Make the targets of the file those that are followed because of it.

        A target that left the file is paused with the reason ``gone``, not forgotten; one that
        is there again goes on. Safe to repeat. No decision is noted: the file is one itself.
        """
        wanted = {target.name: target for target in targets}
        held = self._held()
        sync = held.against_file(wanted, gone=gone)
        changed = self._put([wanted[name] for name in sync.changed], origin="file")
        self._resume(sync.back)
        self._pause(sync.gone, gone)
        self._connection.call("SET", self._synced, 1)
        return sync._replace(changed=changed)

    def sync_list(self, targets: Iterable[Target], *, whole: bool = True) -> FileSync:
        """Make these the targets that are followed because a list of YSE-PZ has them.

        As `sync_file`; a target that a person added, or that stands in the targets file, is
        left as it is.

        Parameters
        ----------
        whole
            These are all; else nothing is paused.
        """
        wanted = {target.name: target for target in targets}
        held = self._held()
        sync = held.against_list(wanted, whole=whole)
        changed = self._put([wanted[name] for name in sync.changed], origin="list")
        self._resume(sync.back)
        self._pause(sync.gone, LEFT_LIST)
        if wanted:
            self._connection.call("SET", self._listed, 1)
        return sync._replace(changed=changed)

    def preview(
        self,
        *,
        file: Iterable[Target] | None,
        renamed: Iterable[tuple[str, str]],
        listed: Iterable[Target] | None,
        whole: bool = True,
    ) -> tuple[FileSync | None, FileSync | None]:
        """Return what `sync_file`, then `rename` (old, new), then `sync_list` would change.

        Nothing is written. None: not asked for.
        """
        held = self._held()
        of_file = of_list = None
        if file is not None:
            wanted = {target.name: target for target in file}
            of_file = held.against_file(wanted)
            held.take_file(wanted, of_file)
        for old, new in renamed:
            held.rename(old, new)
        if listed is not None:
            of_list = held.against_list({each.name: each for each in listed}, whole=whole)
        return of_file, of_list

    def _held(self) -> _Held:
        records, paused = self._connection.batch(
            [("HGETALL", self._targets), ("HGETALL", self._paused)]
        )
        return _Held(records, paused)

    def knows_list(self) -> bool:
        """Tell whether anything was ever followed because of a list of YSE-PZ."""
        return bool(self._connection.call("EXISTS", self._listed))

    def knows_file(self) -> bool:
        """Tell whether a targets file was brought in: a lost state knows none."""
        return bool(self._connection.call("EXISTS", self._synced))

    def forget_file(self) -> None:
        """Have the targets file brought in again: what is known of it may be old."""
        self._connection.call("DEL", self._synced)


@dataclass
class _Held:
    """The registry at one moment, compared with what should be in it."""

    records: dict[str, str]
    paused: dict[str, str]

    def against_file(self, wanted: Mapping[str, Target], *, gone: str = LEFT_FILE) -> FileSync:
        """Return what differs from the targets file."""
        return FileSync(
            changed=[
                name
                for name, target in wanted.items()
                if self.records.get(name) != _record(target, "file")
            ],
            gone=self._left("file", wanted),
            back=[name for name in wanted if self.paused.get(name) in {gone, LEFT_LIST}],
        )

    def against_list(self, wanted: Mapping[str, Target], *, whole: bool) -> FileSync:
        """Return what differs from YSE-PZ's lists; what others have is theirs."""
        mine = [
            name
            for name in wanted
            if (raw := self.records.get(name)) is None
            or _origin(raw) == "list"
            or self.paused.get(name) == LEFT_FILE
        ]
        return FileSync(
            changed=[
                name for name in mine if self.records.get(name) != _record(wanted[name], "list")
            ],
            gone=self._left("list", wanted) if whole else [],
            back=[name for name in mine if self.paused.get(name) in LEFT.values()],
        )

    def _left(self, origin: Origin, wanted: Mapping[str, Target]) -> list[str]:
        return [
            name
            for name, raw in sorted(self.records.items())
            if name not in wanted and name not in self.paused and _origin(raw) == origin
        ]

    def take_file(self, wanted: Mapping[str, Target], sync: FileSync) -> None:
        """Become what the registry is after `TargetStore.sync_file`."""
        self.records |= {name: _record(wanted[name], "file") for name in sync.changed}
        for name in sync.back:
            del self.paused[name]
        self.paused |= dict.fromkeys(sync.gone, LEFT_FILE)

    def rename(self, old: str, new: str) -> None:
        """Become what the registry is after `TargetStore.rename`."""
        target, origin = _target(self.records.pop(old), None)
        reason = self.paused.pop(old, None)
        if new in self.records:
            return
        self.records[new] = _record(replace(target, name=new), origin)
        if reason is not None:
            self.paused[new] = reason


def target_to_json(target: Target) -> dict[str, Any]:
    """Return a target as JSON values, without the fields that are not set."""
    values = {item.name: getattr(target, item.name) for item in fields(target)}
    return {
        name: dict(value) if name in {"creation", "overrides"} else value
        for name, value in values.items()
        if value is not None and not (name in {"overrides", "priority"} and not value)
    }


def target_from_json(values: Mapping[str, Any]) -> Target:
    """Return the target that `target_to_json` wrote; fields of a newer version are ignored.

    Raises
    ------
    TargetError
        When it cannot be a target.
    """
    known = {item.name for item in fields(Target)}
    return Target(**{name: value for name, value in values.items() if name in known})


def _record(target: Target, origin: Origin) -> str:
    record: dict[str, Any] = {
        "origin": origin,
        "phase": phase_of(target.name),
        "target": target_to_json(target),
    }
    if target.source is not None:
        record["source"] = target.source
    if target.cadence_s is not None:
        record["cadence_ms"] = _cadence_ms(target.cadence_s)
    if target.until is not None:
        record["until_ms"] = time_ms_of_date(target.until)
    if target.expires is not None:
        record["expires_ms"] = time_ms_of_date(target.expires)
    return dumps(record)


def _origin(raw: str) -> Origin:
    origin: Origin = loads(raw)["origin"]
    return origin


def _cadence_ms(cadence: Cadence) -> int:
    return 0 if cadence == ADAPTIVE else max(1, round(cadence * 1000))


def _cadence(cadence_ms: int) -> Cadence:
    return cadence_ms / 1000 if cadence_ms else ADAPTIVE


def _target(raw: str, cadence_ms: str | None) -> tuple[Target, Origin]:
    record = loads(raw)
    target = target_from_json(record["target"])
    if cadence_ms is not None:
        # What a person set holds until it is taken back.
        target = replace(target, cadence_s=_cadence(int(cadence_ms)), until=None)
    return target, record["origin"]
