"""The outbox: what YSE-PZ is owed, who may upload it now, and when it is tried again.

One row per transient. Whoever uploads holds a claim: a lease that ends, and a fence that no
other claim ever had. Every step (START, renewal, FINISH) is refused under any other fence, so
that a late or second copy of a task changes nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from yse_ingest.state import scripts
from yse_ingest.state.keys import dumps
from yse_ingest.state.owed import (
    PLACES,
    Claim,
    OwedRow,
    RowSummary,
    Standing,
    owed_row,
    points_of,
    row_summary,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from yse_ingest.photometry import LightCurve
    from yse_ingest.state.breaker import Breaker
    from yse_ingest.state.connection import Connection
    from yse_ingest.state.decisions import DecisionLog
    from yse_ingest.state.keys import Keys

Result = Literal["done", "later", "settling", "refused"]

VANISHED = "the upload began and its worker vanished"
STATE_LOST = "the state was lost while it was in flight"

_EXPIRED_AT_ONCE = 1000
_SUMMARIES_AT_ONCE = 500
_COUNTED_AT_ONCE = 1000


class Outbox:
    """Rows by key: a transient's numeric id as text, or "name:<NAME>" until it is created."""

    def __init__(
        self,
        connection: Connection,
        keys: Keys,
        decisions: DecisionLog,
        *,
        breaker: Breaker,
        installation: Callable[[], str] = str,
        lost: Callable[[], object] = bool,
    ) -> None:
        self._connection = connection
        self._keys = keys
        self._installation = installation
        self._lost = lost
        self._decisions = decisions
        self._rows = keys("outbox", "rows")
        self._due = keys("outbox", "due")
        self._inflight = keys("outbox", "inflight")
        self._refused = keys("outbox", "refused")
        self._settling = keys("outbox", "settling")
        self._hold = keys("outbox", "hold")
        self._breaker = breaker
        self._gate = [
            keys("installed"),
            keys("quiet"),
            self._hold,
            self._breaker.key,
            keys("fence"),
            self._due,
            self._inflight,
            self._settling,
        ]

    def owe(
        self,
        key: str,
        points: LightCurve,
        *,
        target: str,
        gaps: Mapping[str, int],
        tolerance_ms: float,
        due_ms: int | None = None,
    ) -> int:
        """Add points to what a transient is owed; return how many are new or have new values.

        Safe to repeat: an exposure is owed once, its newest values count. A row that is waiting
        keeps its time; one that was refused is tried again only when something is new.

        Parameters
        ----------
        key
            The transient.
        points
            Exposures to send; none is allowed (something else is owed, such as a creation).
        target
            Name of the target they are of.
        gaps
            "instrument|band" to the smallest gap between exposures seen [ms].
        tolerance_ms
            How far two programs' times of one exposure may lie apart, with the instrument of
            these points [ms].
        due_ms
            When to upload a new row [Unix ms]; None: now.
        """
        args: list[Any] = [
            key,
            target,
            tolerance_ms,
            "" if due_ms is None else due_ms,
            points.instrument,
            len(gaps),
        ]
        for pair in (*gaps.items(), *points_of(points, target=target).items()):
            args.extend(pair)
        return int(
            self._connection.run(
                scripts.OWE,
                keys=[self._rows, self._due, self._inflight, self._refused, *self._of(key)],
                args=args,
            )
        )

    def owed(self, key: str) -> OwedRow | None:
        """Return what a transient is owed, as of one moment; None: nothing."""
        row, points = self._of(key)
        fields, stored, settling, refused = self._connection.batch(
            [
                ("HGETALL", row),
                ("HGETALL", points),
                ("SISMEMBER", self._settling, key),
                ("ZSCORE", self._refused, key),
            ],
            atomic=True,
        )
        if not fields:
            return None
        return owed_row(
            key, fields, stored, settling=bool(settling), refused=refused is not None
        )

    def claim(self, limit: int, *, lease_s: float, cap: int) -> list[Claim]:
        """Take up to ``limit`` rows that are due, expired ones first given back.

        None is taken in the quiet time after a lost state, while uploads are held, beyond
        ``cap`` rows in flight, or while YSE-PZ is down (then one probe per interval).
        """
        self._reclaim(self._connection.call("ZRANGE", self._inflight, 0, _EXPIRED_AT_ONCE - 1))
        keys = self._connection.call("ZRANGE", self._due, 0, limit - 1) if limit > 0 else []
        return self._claim(keys, limit=limit, lease_s=lease_s, cap=cap, early=False)

    def due_targets(self, limit: int) -> dict[str, list[str]]:
        """Return the rows that are due, the oldest first, each with its targets."""
        keys = self._connection.call(
            "ZRANGE", self._due, "-inf", self._connection.now_ms(), "BYSCORE", "LIMIT", 0, limit
        )
        fields = self._connection.batch([("HKEYS", self._of(key)[0]) for key in keys])
        return {
            key: [name.removeprefix("target:") for name in row if name.startswith("target:")]
            for key, row in zip(keys, fields, strict=True)
        }

    def claim_key(
        self, key: str, *, lease_s: float, cap: int, early: bool = False
    ) -> Claim | None:
        """Take one row, under the same rules; None when it is not to be had.

        ``early`` takes it before its time, but never shortens the waits of settling.
        """
        self._reclaim([key])
        claims = self._claim([key], limit=1, lease_s=lease_s, cap=cap, early=early)
        return claims[0] if claims else None

    def _claim(
        self, keys: list[str], *, limit: int, lease_s: float, cap: int, early: bool
    ) -> list[Claim]:
        if not keys:
            return []
        flat = self._connection.run(
            scripts.CLAIM,
            keys=[*self._gate, *(self._of(key)[0] for key in keys)],
            args=[_ms(lease_s), cap, limit, int(early), self._installation(), *keys],
        )
        if flat is None:
            # This Redis is not the one that the process began with, or was started again.
            self._lost()
            return []
        return [
            Claim(key, int(fence)) for key, fence in zip(flat[::2], flat[1::2], strict=True)
        ]

    def _reclaim(self, keys: list[str], *, everything: bool = False) -> int:
        if not keys:
            return 0
        return int(
            self._connection.run(
                scripts.RECLAIM,
                keys=[
                    self._due,
                    self._inflight,
                    self._settling,
                    *(self._of(key)[0] for key in keys),
                ],
                args=[int(everything), STATE_LOST if everything else VANISHED, *keys],
            )
        )

    def start(self, key: str, fence: int, attempt: int, *, lease_s: float) -> bool:
        """Begin attempt ``attempt`` (from 1) of a claim, and renew its lease.

        Accepted are the current fence, a lease that has not ended and exactly the next attempt:
        False means that this is a stale or second copy, and nothing may be sent.
        """
        return bool(
            self._connection.run(
                scripts.START,
                keys=[self._inflight, self._of(key)[0], self._gate[0]],
                args=[key, fence, _ms(lease_s), attempt],
            )
        )

    def renew(self, key: str, fence: int, *, lease_s: float) -> bool:
        """Extend a lease; False: it is lost, and not another byte may be sent."""
        return bool(
            self._connection.run(
                scripts.RENEW,
                keys=[self._inflight, self._of(key)[0]],
                args=[key, fence, _ms(lease_s)],
            )
        )

    def finish(
        self,
        key: str,
        fence: int,
        *,
        sent: OwedRow,
        result: Result,
        due_ms: int | None = None,
        reason: str | None = None,
        attempts_delta: int = 0,
        attempts_reset: bool = False,
        settle: Mapping[str, Any] | None = None,
        drop_fields: Iterable[str] = (),
    ) -> bool:
        """End a claim; False when the fence is not the current one, and nothing changed.

        Only the values that ``sent`` holds are removed: an exposure that got a newer value in
        the meantime stays owed. Where something stays, the row is due again.

        Parameters
        ----------
        key, fence
            The claim.
        sent
            The row as it was read before the upload.
        result
            "done": nothing of ``sent`` is owed any more; the row goes when it is empty.
            "later": try again. "settling": the outcome is unknown. "refused": not again until
            there are new points or a person says so; points that came after START are new.
        due_ms
            When to go on [Unix ms]; None: now.
        reason
            Why it is not done.
        attempts_delta, attempts_reset
            What becomes of the count of failures; "done" resets it.
        settle
            Where settling stands; a refused row goes on with it once it is tried again.
        drop_fields
            Points (`exposure_field`) not owed any more, whatever the result.
        """
        dropped = sent.versions if result == "done" else set(drop_fields)
        args: list[Any] = [
            key,
            fence,
            result,
            "" if due_ms is None else due_ms,
            reason or "",
            attempts_delta,
            int(attempts_reset),
            _stage(result, settle),
        ]
        for field in dropped:
            if field in sent.versions:
                args += [field, sent.versions[field]]
        return bool(self._connection.run(scripts.FINISH, keys=self._all(key), args=args))

    def move(self, key_from: str, key_to: str, *, fence: int | None = None) -> bool:
        """Hand what one key is owed to another: a transient was created and has its id now.

        A row in flight is moved by the holder of its ``fence`` alone, whose claim ends with it.
        False: there is no such row, or somebody else holds it.
        """
        return bool(
            self._connection.run(
                scripts.MOVE,
                keys=[*self._all(key_from), *self._of(key_to)],
                args=[key_from, key_to, "" if fence is None else fence],
            )
        )

    def release(self, key: str, fence: int) -> bool:
        """Give a claim back that was never started; False when it is not there, or was."""
        return bool(
            self._connection.run(
                scripts.RELEASE,
                keys=[self._due, self._inflight, self._of(key)[0]],
                args=[key, fence],
            )
        )

    def release_refused(self, key: str) -> bool:
        """Try a refused row again; False when it is not refused."""
        return bool(
            self._connection.run(
                scripts.RELEASE_REFUSED,
                keys=[self._due, self._refused, self._of(key)[0]],
                args=[key],
            )
        )

    def drop(self, key: str) -> bool:
        """Forget what a transient is owed; False when nothing is, or it is in flight."""
        return bool(self._connection.run(scripts.DROP, keys=self._all(key), args=[key]))

    def sweep(self) -> int:
        """Bring back what got lost; return how many rows.

        Leases that ended are taken back, and rows that are nowhere become due.
        """
        found, lost = self._connection.batch(
            [
                ("ZRANGE", self._inflight, 0, _EXPIRED_AT_ONCE - 1),
                ("ZDIFF", 4, self._rows, self._due, self._inflight, self._refused),
            ]
        )
        count = self._reclaim(found)
        if lost:
            count += self._connection.run(
                scripts.RESTORE_LOST,
                keys=[self._rows, self._due, self._inflight, self._refused],
                args=lost,
            )
        return count

    def void_claims(self) -> int:
        """End every claim as one of unknown outcome: the state is older than the world."""
        keys = self._connection.call("ZRANGE", self._inflight, 0, -1)
        return self._reclaim(keys, everything=True)

    def hold(self, reason: str) -> None:
        """Claim nothing any more until `unhold`; what is in flight ends."""
        self._connection.call("SET", self._hold, reason)
        self._decisions.append("held", reason=reason)

    def unhold(self) -> bool:
        """Claim again; return whether uploads were held."""
        was_held = bool(self._connection.call("DEL", self._hold))
        if was_held:
            self._decisions.append("unheld")
        return was_held

    def held(self) -> str | None:
        """Return why uploads are held, or None."""
        reason: str | None = self._connection.call("GET", self._hold)
        return reason

    def record(self, *, ok: bool) -> None:
        """Tell the breaker how YSE-PZ answered; see `Breaker.record`."""
        self._breaker.record(ok=ok)

    def breaker(self) -> dict[str, Any]:
        """Return the breaker's state; see `Breaker.state`."""
        return self._breaker.state()

    def counts(self) -> dict[str, int]:
        """Return how many rows are due, inflight, settling and refused, and how many points."""
        due, inflight, settling, refused, rows = self._connection.batch(
            [
                ("ZCARD", self._due),
                ("ZCARD", self._inflight),
                ("SCARD", self._settling),
                ("ZCARD", self._refused),
                ("ZRANGE", self._rows, 0, -1, "WITHSCORES"),
            ]
        )
        return {
            "due": due,
            "inflight": inflight,
            "settling": settling,
            "refused": refused,
            "points": sum(int(score) for score in rows[1::2]),
        }

    def in_flight(self, key: str) -> bool:
        """Tell whether somebody holds a claim of this row."""
        lease_end = self._connection.call("ZSCORE", self._inflight, key)
        return lease_end is not None and lease_end > self._connection.now_ms()

    def rows(self, limit: int) -> list[RowSummary]:
        """Return rows for people: in flight first, then refused, then by due time."""
        groups = self._connection.batch(
            [
                ("ZRANGE", place, 0, limit - 1)
                for place in (self._inflight, self._refused, self._due, self._rows)
            ]
        )
        keys = list(dict.fromkeys(key for group in groups for key in group))[:limit]
        found: list[RowSummary] = []
        for start in range(0, len(keys), _SUMMARIES_AT_ONCE):
            found += self._summaries(keys[start : start + _SUMMARIES_AT_ONCE])
        return found

    def standing(self, before_ms: int, *, named: int) -> Standing:
        """Return what is owed in all, and since before a time [Unix ms].

        A hundred thousand rows are counted by Redis; ``named`` of the late ones are read.
        """
        flat = self._connection.call("ZRANGE", self._rows, 0, -1, "WITHSCORES")
        keys, points = flat[::2], [int(score) for score in flat[1::2]]
        late: list[tuple[int, int]] = []
        for start in range(0, len(keys), _COUNTED_AT_ONCE):
            some = [self._of(key)[0] for key in keys[start : start + _COUNTED_AT_ONCE]]
            found = self._connection.run(scripts.OWED_BEFORE, keys=some, args=[before_ms])
            late += [
                (since_ms, start + place)
                for place, since_ms in zip(found[::2], found[1::2], strict=True)
                if points[start + place]
            ]
        oldest = [keys[place] for _, place in sorted(late)[:named]]
        return Standing(
            transients=len(keys),
            points=sum(points),
            late_transients=len(late),
            late_points=sum(points[place] for _, place in late),
            oldest=tuple(self._summaries(oldest)),
        )

    def _summaries(self, keys: list[str]) -> list[RowSummary]:
        replies = iter(
            self._connection.batch(
                [
                    command
                    for key in keys
                    for command in (
                        ("HGETALL", self._of(key)[0]),
                        ("HLEN", self._of(key)[1]),
                        ("SISMEMBER", self._settling, key),
                        ("ZSCORE", self._inflight, key),
                        ("ZSCORE", self._refused, key),
                        ("ZSCORE", self._due, key),
                    )
                ]
            )
        )
        found = []
        for key in keys:
            fields, points, settling, *scores = (next(replies) for _ in range(6))
            if fields:
                at = {place: at for place, at in zip(PLACES, scores, strict=True) if at}
                found.append(
                    row_summary(key, fields, points=points, settling=bool(settling), at=at)
                )
        return found

    def _of(self, key: str) -> tuple[str, str]:
        return self._keys("outbox", "row", key), self._keys("outbox", "points", key)

    def _all(self, key: str) -> list[str]:
        return [
            self._rows,
            self._due,
            self._inflight,
            self._refused,
            self._settling,
            *self._of(key),
        ]


def _stage(result: Result, settle: Mapping[str, Any] | None) -> str:
    if settle is None:
        return dumps({"stage": "ping"}) if result == "settling" else ""
    return dumps(dict(settle))


def _ms(seconds: float) -> int:
    return max(1, round(seconds * 1000))
