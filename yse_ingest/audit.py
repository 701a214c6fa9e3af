"""What a read-back teaches: the ledger before it compared with what YSE-PZ shows now.

Pure: nothing is asked, sent or kept here. A row of ours that somebody changed is told and never
changed back. A row that is still there by its pk with another time stood for its exposure, so
that nothing is sent in its stead: beside a cron that overwrites whatever lies within 0.01 d we
would else add a row per round. Gone means that the pk is gone.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import IntEnum
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from yse_ingest.delta import TRUNCATION_MS, match, outranks, window_ms
from yse_ingest.ledger import RANK_BITS, WRITTEN, Flag, Ledger, Slot, gap_key
from yse_ingest.times import MS_PER_DAY

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from yse_ingest.photometry import Bools, Ints, LightCurve, StoredPhotometry, Texts

    Tolerance = float | Callable[[str], float]
    """How far two programs' times of one exposure lie apart [ms], for all or by instrument."""

Place = tuple[str, str, str, int]
"""Instrument, group, band and time [ms] of a row."""
PLACE_MS = 1
"""A row stands in its place when its time differs by no more than YSE-PZ's truncation [ms]."""
REACH_MS = 0.5 * MS_PER_DAY
"""How far other programs may have moved a row whose place nobody has seen [ms]. An overwriting
cron shifts it by 0.01 d a round, along the exposures of a night."""


class Finding(IntEnum):
    """What one row of a read-back is."""

    OURS = 0
    """We wrote it, and it is as it was sent."""
    CHANGED = 1
    """We wrote it, and somebody changed its values, time or band since."""
    FOREIGN = 2
    """Somebody else's."""
    NEWCOMER = 3
    """Somebody else's, and new since the last read-back."""
    STRANGER = 4
    """Of our account, new, and not written by this installation."""


class Writer(NamedTuple):
    """Another account that writes where we write."""

    account: str
    instrument: str
    obs_group: str


@dataclass(frozen=True, eq=False)
class Findings:
    """What a read-back shows of each row, and of rows that it does not show."""

    kind: NDArray[np.int8]
    """`Finding` of each stored row, shape (n,)."""
    moved: Ledger
    """Rows of the ledger, at their old place, whose pk stands elsewhere now."""
    gone: Ledger
    """Rows of the ledger, written by us, whose pk is gone."""
    writers: tuple[Writer, ...]
    """Who else wrote where we write since the last read-back."""
    seat: Ints
    """Stored row of each row of the ledger, -1 where there is none; shape (m,)."""

    def where(self, finding: Finding) -> Ints:
        """Return the stored rows with this finding."""
        return np.flatnonzero(self.kind == finding)

    def counts(self) -> dict[str, int]:
        """Return how many rows there are of each kind, without zeros."""
        found = {each.name.lower(): int(np.sum(self.kind == each)) for each in Finding}
        found |= {"moved": len(self.moved), "gone": len(self.gone)}
        return {kind: count for kind, count in found.items() if count}


def examine(
    before: Ledger | None,
    now: StoredPhotometry,
    *,
    account: str,
    tolerance_ms: Tolerance,
    sent: Sequence[LightCurve] = (),
    noted: Collection[Place] = (),
    patched: Collection[int] = (),
    forgotten_ms: int = 0,
) -> Findings:
    """Tell what became of every row since the last read-back.

    Parameters
    ----------
    before
        What was known. Without it, or where it rests on no read-back, this is a first look:
        every row of our account is taken as ours, nothing is gone and nobody is a stranger.
    now
        A fresh read-back.
    account
        Ours.
    tolerance_ms
        Exposure tolerance of the source, or that of each instrument [ms]: a row within the
        window stands for a point that was accepted and never seen.
    sent
        Exposures that this installation may have sent since, such as those of an upload whose
        end nobody saw.
    noted
        Places at which this installation wrote further rows.
    patched
        Rows (pk) whose values this installation has just corrected.
    forgotten_ms
        Rows of our account that were stored until then may have been written by this
        installation, which has forgotten it [Unix ms of YSE-PZ].
    """
    first_look = before is None or not before.read_back_ms
    if before is None or first_look:
        before = Ledger.empty()
    written = before.having(WRITTEN)
    created = now.created_by == account
    seat = _positions(before.pk.astype(np.int64), now.pk)
    seat[before.pk == 0] = -1
    # A YSE-PZ that was set back gives numbers out anew: such a row is another one.
    seat[written & (seat >= 0) & ~_at(created | (now.created_by == ""), seat)] = -1
    # Who wrote a row that cannot be read is what we knew of it.
    created[seat[written & (seat >= 0)]] = True
    # A row that was moved has left its exposure: where it stands now is nobody's of ours.
    away_from = before.having(Flag.CHANGED) & np.isin(before.pk, before.memory.pk)
    placed = written & ~away_from
    gone = placed & (seat < 0)
    unseen = gone & (before.pk == 0)
    gone[unseen] = ~_stood_for(before.take(unseen), now, tolerance_ms)
    unseen &= gone

    claimed = {*noted, *_places(before.take(before.pk == 0))}
    for curve in sent:
        claimed |= set(_exposures(curve))
    known = np.zeros(len(now), dtype=bool)
    known[seat[seat >= 0]] = True
    explained = known | first_look
    new = np.flatnonzero(created & ~explained)
    for at in new[np.argsort(now.modified_by[new] != account, kind="stable")].tolist():
        place = _place(now, at)
        explained[at] = place in claimed
        if now.modified_by[at] != account:
            # Of two rows that somebody has put to one place, one stood there.
            claimed.discard(place)
    # Sent, never seen, and moved by somebody since: the row is there, at another place.
    strange = created & ~explained & (now.modified_by != account)
    for row, at in _pairs(before, np.flatnonzero(unseen), now, np.flatnonzero(strange)):
        explained[at], gone[row], seat[row] = True, False, at
    explained |= created & (now.created_ms < forgotten_ms)

    in_place = (seat >= 0) & _same_place(before, now, seat)
    as_sent = np.ones(len(now), dtype=bool)
    as_sent[seat[seat >= 0]] = (
        in_place
        & _values_stay(before, now, seat, sent, tolerance_ms=tolerance_ms, patched=patched)
    )[seat >= 0]
    as_sent &= now.modified_by == account
    kind = np.select(
        [created & ~explained, created & ~as_sent, created, known | first_look],
        [Finding.STRANGER, Finding.CHANGED, Finding.OURS, Finding.FOREIGN],
        default=Finding.NEWCOMER,
    ).astype(np.int8)
    touched = np.zeros(len(now), dtype=bool)
    was_ours = before.ours & (seat >= 0)
    touched[seat[was_ours]] = now.modified_by[seat[was_ours]] != account
    touched &= now.modified_by != ""
    return Findings(
        kind=kind,
        moved=_with_pks(before, now, seat).take(placed & (seat >= 0) & ~in_place),
        gone=before.take(gone),
        writers=_writers(before, now, kind == Finding.NEWCOMER, touched, sent),
        seat=seat,
    )


def renewed(
    before: Ledger | None,
    findings: Findings,
    now: StoredPhotometry,
    *,
    account: str,
    gaps: Mapping[str, int],
    read_back_ms: int,
) -> Ledger:
    """Return the ledger after a read-back, with what must not be forgotten of the one before.

    The hashes of what was sent stay, so that a rounding is no change; what moved or is gone for
    good stays as a memory, in whose place nothing is sent.
    """
    ledger = Ledger.from_stored(now, account=account, gaps=gaps, read_back_ms=read_back_ms)
    flags, value_hash = ledger.flags.copy(), ledger.value_hash.copy()
    changed = findings.kind == Finding.CHANGED
    flags[changed] = flags[changed] & RANK_BITS | np.uint8(Flag.CHANGED | Flag.VERIFIED)
    if before is None:
        return replace(ledger, flags=flags)
    ledger = ledger.with_gaps(before.gaps)
    if len(findings.seat) == len(before):
        kept = (findings.seat >= 0) & before.having(WRITTEN) & ~before.having(Flag.MOVED)
        value_hash[findings.seat[kept]] = before.value_hash[kept]
        near = kept & before.having(Flag.NEAR)
        flags[findings.seat[near]] |= np.uint8(Flag.NEAR)
    ledger = replace(ledger, flags=flags, value_hash=value_hash)
    tombs = before.take(before.having(Flag.GONE))
    memory = findings.moved.flagged(Flag.MOVED).joined(tombs)
    shown = set(_places(ledger))
    lost = [place not in shown for place in _places(memory)]
    return ledger.joined(memory.take(np.array(lost, dtype=bool)))


def remembered(
    curve: LightCurve, rows: Ints, ledger: Ledger, window: Mapping[str, float]
) -> Bools:
    """Return for which of ``rows`` a row stood, of no lesser rank, that is moved or gone."""
    part, memory = curve.take(rows), ledger.memory
    index, _ = match(part, memory, window)
    found: Bools = index >= 0
    found[found] = ~outranks(part.rank[found], memory.rank[index[found]])
    return found


def displaced(
    curve: LightCurve,
    rows: Ints,
    stored: StoredPhotometry,
    *,
    account: str,
    window: Mapping[str, float],
) -> dict[int, int]:
    """Return, for exposures that nothing stands for, the row of ours that was moved away.

    Used where nobody remembers where a row stood (no ledger). A row that we wrote, somebody
    else changed and no exposure needs is the nearest missing exposure's, if that is near.

    Parameters
    ----------
    curve
        The source's exposures.
    rows
        Those that nothing stands for.
    stored
        The read-back.

    Returns
    -------
    dict
        Exposure to the pk of its row.
    """
    changed = (stored.created_by == account) & (stored.modified_by != account)
    changed &= stored.modified_by != ""
    changed &= (stored.instrument == curve.instrument) & (stored.obs_group == curve.obs_group)
    found: dict[int, int] = {}
    for band, width in window.items() if np.any(changed) else ():
        shelf = (stored.instrument == curve.instrument) & (stored.band == band)
        times = np.sort(curve.time_ms[curve.band == band])
        spare = _spare(times, stored.time_ms, shelf, changed, width + TRUNCATION_MS)
        missing = rows[curve.band[rows] == band]
        pairs = _nearest_first(curve.time_ms[missing], stored.time_ms[spare])
        found |= {int(missing[row]): int(stored.pk[spare[at]]) for row, at in pairs}
    return found


def _pairs(
    before: Ledger, rows: Ints, now: StoredPhotometry, away: Ints
) -> Iterator[tuple[int, int]]:
    """Yield pairs of a row of the ledger and the stored row that was moved from there."""
    for slot in set(before.slot[rows].tolist()) if len(away) else ():
        instrument, obs_group, band = before.slots[slot]
        here = rows[before.slot[rows] == slot]
        shelf = (now.instrument == instrument) & (now.obs_group == obs_group)
        there = away[(shelf & (now.band == band))[away]]
        for row, at in _nearest_first(before.time_ms[here], now.time_ms[there]):
            yield int(here[row]), int(there[at])


def _nearest_first(wanted: Ints, offered: Ints) -> list[tuple[int, int]]:
    """Return pairs of positions, each used once, the nearest first, within `REACH_MS`."""
    distance = np.abs(wanted[:, None] - offered[None, :])
    pairs: list[tuple[int, int]] = []
    rows: set[int] = set()
    taken: set[int] = set()
    for flat in np.argsort(distance, axis=None, kind="stable").tolist():
        row, at = divmod(flat, len(offered))
        if distance[row, at] < REACH_MS and row not in rows and at not in taken:
            pairs.append((row, at))
            rows.add(row)
            taken.add(at)
    return pairs


def _with_pks(before: Ledger, now: StoredPhotometry, seat: Ints) -> Ledger:
    """Return the ledger with the pk of every row that was found."""
    pk = before.pk.copy()
    pk[seat >= 0] = now.pk[seat[seat >= 0]]
    return replace(before, pk=pk)


def _spare(
    times: Ints, stored_ms: Ints, shelf: Bools, changed: Bools, width: float
) -> list[int]:
    """Return the changed rows of a shelf that no exposure needs: another stands there."""
    spare: list[int] = []
    needed: set[int] = set()
    # Rows that nobody changed come first: they keep the exposures that they stand for.
    for at in sorted(np.flatnonzero(shelf).tolist(), key=lambda row: bool(changed[row])):
        gaps = np.abs(times - stored_ms[at])
        nearest = int(gaps.argmin()) if len(gaps) else -1
        stands = nearest >= 0 and gaps[nearest] < width and nearest not in needed
        if stands:
            needed.add(nearest)
        elif changed[at]:
            spare.append(at)
    return spare


def _positions(wanted: Ints, among: Ints) -> Ints:
    """Return where each wanted number is, -1 where it is not."""
    if not len(among):
        return np.full(len(wanted), -1, dtype=np.int64)
    order = np.argsort(among, kind="stable")
    at = order[np.clip(np.searchsorted(among[order], wanted), 0, len(among) - 1)]
    return np.where(among[at] == wanted, at, -1)


def _at(column: Bools, seat: Ints) -> Bools:
    """Return a column of the read-back for each row of the ledger; False where it has none."""
    found = np.zeros(len(seat), dtype=bool)
    found[seat >= 0] = column[seat[seat >= 0]]
    return found


def _same_place(before: Ledger, now: StoredPhotometry, seat: Ints) -> Bools:
    same = np.zeros(len(before), dtype=bool)
    held = seat >= 0
    at = seat[held]
    same[held] = (
        (np.abs(before.time_ms[held] - now.time_ms[at]) <= PLACE_MS)
        & (before.instrument[held] == now.instrument[at])
        & (before.obs_group[held] == now.obs_group[at])
        & (before.band[held] == now.band[at])
    )
    return same


def _values_stay(
    before: Ledger,
    now: StoredPhotometry,
    seat: Ints,
    sent: Sequence[LightCurve],
    *,
    tolerance_ms: Tolerance,
    patched: Collection[int],
) -> Bools:
    """Return which rows hold the values sent last, or those of a correction on its way."""
    stays = before.having(Flag.NEAR) | (seat < 0)
    held = seat >= 0
    stays[held] |= before.value_hash[held] == now.value_hash[seat[held]]
    corrected = np.isin(now.pk, np.array(sorted(patched), dtype=np.int64))
    for curve in sent:
        # An upper limit that becomes a detection keeps the time that the limit had.
        window = {
            band: window_ms(
                _tolerance_of(curve.instrument, tolerance_ms),
                before.gaps.get(gap_key(curve.instrument, band)),
            )
            for band in np.unique(curve.band).tolist()
        }
        index, elsewhere = match(curve, now, window)
        corrected[index[(index >= 0) & ~elsewhere]] = True
    stays[held] |= corrected[seat[held]]
    return stays


def _tolerance_of(instrument: str, tolerance_ms: Tolerance) -> float:
    return tolerance_ms(instrument) if callable(tolerance_ms) else tolerance_ms


def _stood_for(points: Ledger, now: StoredPhotometry, tolerance_ms: Tolerance) -> Bools:
    """Return for which points, accepted and never seen, a row stands, whoever wrote it."""
    found = np.zeros(len(points), dtype=bool)
    for row in range(len(points)):
        instrument, band = str(points.instrument[row]), str(points.band[row])
        width = window_ms(
            _tolerance_of(instrument, tolerance_ms),
            points.gaps.get(gap_key(instrument, band)),
        )
        shelf = (now.instrument == instrument) & (now.band == band)
        near = np.abs(now.time_ms[shelf] - points.time_ms[row]) < width + TRUNCATION_MS
        found[row] = bool(np.any(near))
    return found


def _writers(
    before: Ledger,
    now: StoredPhotometry,
    newcomer: Bools,
    touched: Bools,
    sent: Sequence[LightCurve],
) -> tuple[Writer, ...]:
    ours = before.take(before.having(WRITTEN))
    shelves = set(zip(ours.instrument.tolist(), ours.obs_group.tolist(), strict=True))
    shelves |= {(curve.instrument, curve.obs_group) for curve in sent}
    who: Texts = np.where(touched, now.modified_by, now.created_by)
    found = {
        Writer(str(who[row]), str(now.instrument[row]), str(now.obs_group[row]))
        for row in np.flatnonzero(newcomer | touched)
    }
    return tuple(sorted(each for each in found if each.account and each[1:] in shelves))


def _place(rows: StoredPhotometry | Ledger, row: int) -> Place:
    return (
        str(rows.instrument[row]),
        str(rows.obs_group[row]),
        str(rows.band[row]),
        int(rows.time_ms[row]),
    )


def _places(rows: Ledger) -> Iterator[Place]:
    labels = [rows.slots[code] for code in rows.slot.tolist()]
    for slot, time_ms in zip(labels, rows.time_ms.tolist(), strict=True):
        yield (*slot, time_ms)


def _exposures(curve: LightCurve) -> Iterator[Place]:
    for band, time_ms in zip(curve.band.tolist(), curve.time_ms.tolist(), strict=True):
        yield (*Slot(curve.instrument, curve.obs_group, band), time_ms)
