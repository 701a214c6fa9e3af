"""The ledger: what YSE-PZ holds of one transient, 16 bytes a point.

It is derivable: `Ledger.from_stored` makes it anew from a read-back. It holds no measurement,
only what is needed to tell new, changed and known exposures apart without asking YSE-PZ.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import IntFlag
from typing import TYPE_CHECKING, NamedTuple, Self

import numpy as np

from yse_ingest.errors import YsePzReplyError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from yse_ingest.photometry import Bools, Ints, LightCurve, StoredPhotometry, Texts

_PACKED = np.dtype(
    [("time", "u1", 6), ("slot", "u1"), ("flags", "u1"), ("pk", "<u4"), ("value_hash", "<u4")]
)
BYTES_PER_POINT = _PACKED.itemsize
TIME_MS_MAX = 2**47 - 1
SLOTS_MAX = 256


class Flag(IntFlag):
    """What the ledger knows of a row."""

    OURS = 1
    """Our account wrote it and nobody touched it since."""
    VERIFIED = 2
    """It was seen in a read-back."""
    CHANGED = 4
    """We wrote it, and somebody changed it since: it stands, and is never changed back."""
    MOVED = 8
    """Not a row, a memory of one: it stood here, and has another time or band now."""
    GONE = 16
    """Not a row, a memory of one: it is gone, and is sent again on a person's word alone."""
    NEAR = 32
    """``value_hash`` is the source's; what is stored differs from it by a rounding."""


RANK_SHIFT = np.uint8(6)
"""The two highest bits of the flags are the row's `yse_ingest.photometry.Rank`."""
RANK_BITS = np.uint8(0b1100_0000)
WRITTEN = Flag.OURS | Flag.CHANGED | Flag.MOVED
"""Rows that we wrote, whatever became of them."""
MEMORY = Flag.MOVED | Flag.GONE
"""Rows that YSE-PZ does not show at their place: nothing is sent in their stead."""


class Slot(NamedTuple):
    """The shelf a row stands on: rows are matched within one instrument and band."""

    instrument: str
    obs_group: str
    band: str


@dataclass(frozen=True, eq=False)
class Ledger:
    """Rows of one transient; columns (n,) in no particular order."""

    time_ms: Ints
    """UTC, as YSE-PZ shows it: truncated to milliseconds."""
    slot: NDArray[np.uint8]
    """Index into ``slots``."""
    flags: NDArray[np.uint8]
    pk: NDArray[np.uint32]
    """Primary key of the row; 0 until a read-back has shown it."""
    value_hash: NDArray[np.uint32]
    """`yse_ingest.photometry.value_hash` of what was sent last, or of what is stored."""
    slots: tuple[Slot, ...]
    gaps: Mapping[str, int]
    """"instrument|band" to the smallest gap between exposures of the source ever seen [ms]."""
    read_back_ms: int = 0
    """When YSE-PZ was last read back for it, Unix time [ms]; 0: never."""

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.time_ms)

    @classmethod
    def empty(cls, *, gaps: Mapping[str, int] | None = None) -> Self:
        """Return the ledger of a transient without photometry."""
        return cls(
            time_ms=np.empty(0, np.int64),
            slot=np.empty(0, np.uint8),
            flags=np.empty(0, np.uint8),
            pk=np.empty(0, np.uint32),
            value_hash=np.empty(0, np.uint32),
            slots=(),
            gaps=dict(gaps or {}),
        )

    @classmethod
    def from_stored(
        cls,
        stored: StoredPhotometry,
        *,
        account: str,
        gaps: Mapping[str, int],
        read_back_ms: int,
    ) -> Self:
        """Derive the ledger from a read-back."""
        shelves = list(
            zip(
                stored.instrument.tolist(),
                stored.obs_group.tolist(),
                stored.band.tolist(),
                strict=True,
            )
        )
        slots = _within_a_byte(tuple(Slot(*shelf) for shelf in dict.fromkeys(shelves)))
        index = {slot: code for code, slot in enumerate(slots)}
        ours = stored.written_by(account)
        return cls(
            # Beyond the year 6429 six bytes are not enough, and no exposure is near.
            time_ms=np.clip(stored.time_ms, -TIME_MS_MAX, TIME_MS_MAX),
            slot=np.array([index[Slot(*shelf)] for shelf in shelves], np.uint8),
            flags=np.where(ours, Flag.OURS | Flag.VERIFIED, Flag.VERIFIED).astype(np.uint8)
            | (stored.rank << RANK_SHIFT),
            pk=stored.pk.astype(np.uint32),
            value_hash=stored.value_hash,
            slots=slots,
            gaps=dict(gaps),
            read_back_ms=read_back_ms,
        )

    @property
    def ours(self) -> Bools:
        """Return which rows are ours."""
        ours: Bools = (self.flags & np.uint8(Flag.OURS)) != 0
        return ours

    @property
    def rank(self) -> NDArray[np.uint8]:
        """Return `yse_ingest.photometry.Rank` of each row."""
        return self.flags >> RANK_SHIFT

    def having(self, flags: Flag) -> Bools:
        """Return which rows have any of these flags."""
        having: Bools = (self.flags & np.uint8(flags)) != 0
        return having

    @property
    def standing(self) -> Ledger:
        """Return the rows that YSE-PZ holds, without the memory of others."""
        return self.take(~self.having(MEMORY))

    @property
    def memory(self) -> Ledger:
        """Return what stood once and must not be sent again."""
        return self.take(self.having(MEMORY))

    def take(self, rows: Ints | Bools) -> Ledger:
        """Return the rows that a mask or an index array selects."""
        return replace(
            self,
            time_ms=self.time_ms[rows],
            slot=self.slot[rows],
            flags=self.flags[rows],
            pk=self.pk[rows],
            value_hash=self.value_hash[rows],
        )

    def flagged(self, flags: Flag) -> Ledger:
        """Return the ledger with these flags alone on every row; each keeps its rank."""
        return replace(self, flags=self.flags & RANK_BITS | np.uint8(flags))

    def joined(self, other: Ledger) -> Ledger:
        """Return the ledger with the rows of another below its own."""
        slots = tuple(dict.fromkeys((*self.slots, *other.slots)))
        codes = np.array([slots.index(slot) for slot in other.slots] or [0], np.uint8)
        return replace(
            self,
            time_ms=np.concatenate([self.time_ms, other.time_ms]),
            slot=np.concatenate([self.slot, codes[other.slot]]),
            flags=np.concatenate([self.flags, other.flags]),
            pk=np.concatenate([self.pk, other.pk]),
            value_hash=np.concatenate([self.value_hash, other.value_hash]),
            slots=slots,
        )

    def _labels(self, part: int) -> Texts:
        names = np.array([slot[part] for slot in self.slots] or [""], dtype="U")
        return names[self.slot]

    @property
    def instrument(self) -> Texts:
        """Return the instrument of each row."""
        return self._labels(0)

    @property
    def obs_group(self) -> Texts:
        """Return the observing group of each row."""
        return self._labels(1)

    @property
    def band(self) -> Texts:
        """Return the band of each row."""
        return self._labels(2)

    def with_gaps(self, gaps: Mapping[str, int]) -> Ledger:
        """Return the ledger with gaps that are smaller than the known ones taken over."""
        return replace(self, gaps=merge_gaps(self.gaps, gaps))

    def with_sent(self, curve: LightCurve) -> Ledger:
        """Return the ledger with points that YSE-PZ has accepted and nobody has seen yet."""
        shelves = [
            Slot(curve.instrument, curve.obs_group, band) for band in curve.band.tolist()
        ]
        slots = _within_a_byte(tuple(dict.fromkeys((*self.slots, *shelves))))
        index = {slot: code for code, slot in enumerate(slots)}
        codes = np.array([index[shelf] for shelf in shelves], np.uint8)
        flags = curve.rank << RANK_SHIFT | np.uint8(Flag.OURS)
        return replace(
            self,
            time_ms=np.concatenate([self.time_ms, curve.time_ms]),
            slot=np.concatenate([self.slot, codes]),
            flags=np.concatenate([self.flags, flags]),
            pk=np.concatenate([self.pk, np.zeros(len(curve), np.uint32)]),
            value_hash=np.concatenate([self.value_hash, curve.value_hash]),
            slots=slots,
        )

    def with_hashes(self, rows: Ints, hashes: NDArray[np.uint32]) -> Ledger:
        """Return the ledger with the hashes of ``rows`` renewed."""
        value_hash = self.value_hash.copy()
        value_hash[rows] = hashes
        return replace(self, value_hash=value_hash)

    def pack(self) -> bytes:
        """Return the columns as 16 bytes a row (slots and gaps are kept beside it)."""
        packed = np.zeros(len(self), _PACKED)
        packed["time"] = self.time_ms.astype("<i8").view("u1").reshape(-1, 8)[:, :6]
        packed["slot"] = self.slot
        packed["flags"] = self.flags
        packed["pk"] = self.pk
        packed["value_hash"] = self.value_hash
        return packed.tobytes()

    @classmethod
    def unpack(
        cls,
        data: bytes,
        *,
        slots: tuple[Slot, ...],
        gaps: Mapping[str, int],
        read_back_ms: int,
    ) -> Self:
        """Return the ledger that `pack` wrote.

        Raises
        ------
        ValueError
            When the bytes are no whole number of rows, or name a slot that is not there.
        """
        packed = np.frombuffer(data, _PACKED)
        wide = np.zeros((len(packed), 8), "u1")
        wide[:, 2:] = packed["time"]
        # Shifted up and back down: the sign of a time before 1970 is kept.
        time_ms = wide.view("<i8").ravel().astype(np.int64) >> np.int64(16)
        if len(packed) and int(packed["slot"].max()) >= len(slots):
            msg = "a row names a slot that the ledger does not have"
            raise ValueError(msg)
        return cls(
            time_ms=time_ms,
            slot=packed["slot"].copy(),
            flags=packed["flags"].copy(),
            pk=packed["pk"].copy(),
            value_hash=packed["value_hash"].copy(),
            slots=slots,
            gaps=dict(gaps),
            read_back_ms=read_back_ms,
        )


def _within_a_byte(slots: tuple[Slot, ...]) -> tuple[Slot, ...]:
    if len(slots) > SLOTS_MAX:
        raise YsePzReplyError(
            f"one transient has photometry in {len(slots)} combinations of instrument, group "
            f"and band, and {SLOTS_MAX} can be told apart",
            service="YSE-PZ",
            remedy="Nothing is sent for it; is its photometry in YSE-PZ what it should be?",
        )
    return slots


def gap_key(instrument: str, band: str) -> str:
    """Return the key of `Ledger.gaps`."""
    return f"{instrument}|{band}"


def merge_gaps(known: Mapping[str, int], seen: Mapping[str, int]) -> dict[str, int]:
    """Return the smaller of both gaps for each key: a gap only ever shrinks."""
    merged = dict(known)
    for key, gap in seen.items():
        merged[key] = min(gap, merged.get(key, gap))
    return merged
