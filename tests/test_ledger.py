"""The ledger: what is packed comes back, and nothing damaged is believed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from yse_ingest.ledger import BYTES_PER_POINT, Flag, Ledger, Slot, gap_key, merge_gaps
from yse_ingest.photometry import LightCurve, StoredPhotometry

if TYPE_CHECKING:
    from collections.abc import Mapping

COLUMNS = ("time_ms", "slot", "flags", "pk", "value_hash")
NAMES = st.text(min_size=1, max_size=8)
SLOTS = st.lists(st.builds(Slot, NAMES, NAMES, NAMES), min_size=1, max_size=5, unique=True)


@st.composite
def ledgers(draw: st.DrawFn) -> Ledger:
    """Draw a ledger with any times that a light curve may have, also before 1970."""
    slots = tuple(draw(SLOTS))
    count = draw(st.integers(0, 30))

    def column(low: int, high: int, dtype: Any) -> Any:
        values = draw(st.lists(st.integers(low, high), min_size=count, max_size=count))
        return np.array(values, dtype=dtype)

    return Ledger(
        time_ms=column(-(2**47), 2**47 - 1, np.int64),
        slot=column(0, len(slots) - 1, np.uint8),
        flags=column(0, 3, np.uint8),
        pk=column(0, 2**32 - 1, np.uint32),
        value_hash=column(0, 2**32 - 1, np.uint32),
        slots=slots,
        gaps=draw(st.dictionaries(NAMES, st.integers(1, 10**9), max_size=3)),
        read_back_ms=draw(st.integers(0, 2**42)),
    )


def unpacked(ledger: Ledger, data: bytes) -> Ledger:
    return Ledger.unpack(
        data, slots=ledger.slots, gaps=ledger.gaps, read_back_ms=ledger.read_back_ms
    )


@given(ledgers())
def test_what_is_packed_comes_back(ledger: Ledger) -> None:
    """Every row, in its order, in sixteen bytes."""
    data = ledger.pack()
    assert len(data) == BYTES_PER_POINT * len(ledger) == 16 * len(ledger)
    back = unpacked(ledger, data)
    for name in COLUMNS:
        np.testing.assert_array_equal(getattr(back, name), getattr(ledger, name))
        assert getattr(back, name).dtype == getattr(ledger, name).dtype
    assert (back.slots, back.gaps, back.read_back_ms) == (
        ledger.slots,
        ledger.gaps,
        ledger.read_back_ms,
    )


@given(ledgers(), st.integers(1, 15))
def test_half_a_row_is_refused(ledger: Ledger, excess: int) -> None:
    """Bytes that are no whole number of rows are no ledger."""
    with pytest.raises(ValueError, match="size"):
        unpacked(ledger, ledger.pack() + b"\0" * excess)


@given(ledgers().filter(len))
def test_a_row_on_an_unknown_shelf_is_refused(ledger: Ledger) -> None:
    """A slot that is not there would be somebody else's band."""
    with pytest.raises(ValueError, match="slot"):
        Ledger.unpack(
            ledger.pack(),
            slots=ledger.slots[: int(ledger.slot.max())],
            gaps={},
            read_back_ms=0,
        )


@given(ledgers())
def test_a_ledger_from_bytes_can_be_written_to(ledger: Ledger) -> None:
    """Hashes are renewed and points added after it was loaded; the original stays."""
    back = unpacked(ledger, ledger.pack())
    rows = np.arange(len(back))
    renewed = back.with_hashes(rows, np.full(len(back), 7, np.uint32))
    assert (renewed.value_hash == 7).all()
    np.testing.assert_array_equal(back.value_hash, ledger.value_hash)


STORED = st.lists(
    st.fixed_dictionaries(
        {
            "pk": st.integers(1, 2**31),
            "time_ms": st.integers(0, 2**41),
            "instrument": st.sampled_from(["ZTF-Cam", "GPC1"]),
            "obs_group": st.sampled_from(["ZTF", "YSE", "Unknown"]),
            "band": st.sampled_from(["g-ZTF", "r-ZTF"]),
            "mag": st.one_of(st.just(np.nan), st.floats(10, 25)),
            "mag_err": st.floats(0.001, 1),
            "flux": st.one_of(st.just(np.nan), st.floats(1e-3, 1e6), st.floats(-1e6, -1e-3)),
            "flux_err": st.floats(0.1, 10),
            "zero_point": st.just(27.5),
            "forced": st.booleans(),
            "created_by": st.sampled_from(["ingest", "somebody"]),
            "modified_by": st.sampled_from(["ingest", "somebody"]),
            "header": st.integers(1, 9),
            "restricted": st.booleans(),
        }
    ),
    max_size=20,
)


@given(STORED)
def test_a_read_back_is_a_ledger(rows: list[Mapping[str, Any]]) -> None:
    """Row by row: where it stands, whether it is ours, its key and the hash of its values."""
    stored = StoredPhotometry.from_rows(rows)
    ledger = Ledger.from_stored(stored, account="ingest", gaps={"a|b": 5}, read_back_ms=99)
    assert len(ledger) == len(rows)
    for name in ("time_ms", "pk", "instrument", "obs_group", "band", "value_hash"):
        assert getattr(ledger, name).tolist() == getattr(stored, name).tolist()
    assert ledger.ours.tolist() == [
        row["created_by"] == row["modified_by"] == "ingest" for row in rows
    ]
    assert ((ledger.flags & Flag.VERIFIED) != 0).all()
    assert (ledger.gaps, ledger.read_back_ms) == ({"a|b": 5}, 99)
    again = unpacked(ledger, ledger.pack())
    np.testing.assert_array_equal(again.band, ledger.band)


def test_what_was_sent_is_ours_and_unseen() -> None:
    """Points that YSE-PZ accepted are known at once, without a primary key yet."""
    count = 2
    curve = LightCurve(
        native_id=np.array(["1", "2"]),
        time_ms=np.array([1, 2], dtype=np.int64),
        band=np.array(["g-ZTF", "r-ZTF"]),
        mag=np.full(count, 19.0),
        mag_err=np.full(count, 0.1),
        flux=np.full(count, 2500.0),
        flux_err=np.full(count, 230.0),
        instrument="ZTF-Cam",
        obs_group="ZTF",
    )
    ledger = Ledger.empty().with_sent(curve).with_sent(curve.take(slice(0, 1)))
    assert ledger.band.tolist() == ["g-ZTF", "r-ZTF", "g-ZTF"]
    assert ledger.pk.tolist() == [0, 0, 0]
    assert ledger.flags.tolist() == [Flag.OURS] * 3
    assert len(ledger.slots) == 2


@given(
    st.dictionaries(NAMES, st.integers(1, 10**6)), st.dictionaries(NAMES, st.integers(1, 10**6))
)
def test_a_gap_only_shrinks(known: dict[str, int], seen: dict[str, int]) -> None:
    """The smallest gap ever seen counts, in whatever order gaps are seen."""
    merged = merge_gaps(known, seen)
    assert merged == merge_gaps(seen, known)
    for key, gap in merged.items():
        assert gap == min(part[key] for part in (known, seen) if key in part)
    assert Ledger.empty(gaps=known).with_gaps(seen).gaps == merged
    assert gap_key("ZTF-Cam", "r-ZTF") == "ZTF-Cam|r-ZTF"
