"""The comparison of a ledger with a read-back: what every row is, and what is remembered."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from yse_ingest.audit import Finding, Writer, displaced, examine, renewed
from yse_ingest.ledger import Flag, Ledger, Slot
from yse_ingest.photometry import LightCurve, StoredPhotometry

ME, OTHER = "ingest", "othercron"
T0 = 1_700_000_000_000
HOUR = 3_600_000


def row(pk: int, time_ms: int = T0, **changes: Any) -> dict[str, Any]:
    """Return one stored row of ours."""
    return {
        "pk": pk,
        "time_ms": time_ms,
        "instrument": "ZTF-Cam",
        "obs_group": "ZTF",
        "band": "g-ZTF",
        "mag": 18.0,
        "mag_err": 0.05,
        "flux": None,
        "flux_err": None,
        "zero_point": 27.5,
        "forced": False,
        "created_by": ME,
        "modified_by": ME,
        "header": 1,
        "restricted": False,
        **changes,
    }


def stored(*rows: dict[str, Any]) -> StoredPhotometry:
    return StoredPhotometry.from_rows(list(rows))


def ledger(*rows: dict[str, Any]) -> Ledger:
    """Return the ledger that a read-back of these rows gave."""
    return Ledger.from_stored(stored(*rows), account=ME, gaps={}, read_back_ms=1)


def curve(*times: int, mag: float = 18.0) -> LightCurve:
    count = len(times)
    return LightCurve(
        native_id=np.array([str(time) for time in times], dtype="U20"),
        time_ms=np.array(times, dtype=np.int64),
        band=np.full(count, "g-ZTF"),
        mag=np.full(count, mag),
        mag_err=np.full(count, 0.05),
        flux=np.full(count, 6309.6),
        flux_err=np.full(count, 290.0),
        instrument="ZTF-Cam",
        obs_group="ZTF",
    )


def look(before: Ledger | None, *rows: dict[str, Any], **known: Any) -> Any:
    return examine(before, stored(*rows), account=ME, tolerance_ms=16_000.0, **known)


def kinds(findings: Any) -> list[Finding]:
    return [Finding(code) for code in findings.kind.tolist()]


def after(before: Ledger | None, *rows: dict[str, Any]) -> Ledger:
    findings = look(before, *rows)
    return renewed(before, findings, stored(*rows), account=ME, gaps={}, read_back_ms=2)


def test_what_stands_as_sent_is_ours() -> None:
    """Same pk, place, values and account: nothing is said about it."""
    findings = look(ledger(row(1), row(2, T0 + HOUR)), row(1), row(2, T0 + HOUR))
    assert findings.counts() == {"ours": 2}
    assert findings.writers == ()


@pytest.mark.parametrize(
    "change",
    [
        {"modified_by": OTHER},
        {"modified_by": OTHER, "mag": 17.0},
        {"mag": 17.0},
        {"mag_err": 0.5},
    ],
)
def test_what_somebody_changed_is_changed(change: dict[str, Any]) -> None:
    """A row that another account touched, or whose values differ: ours, and not any more."""
    before = ledger(row(1))
    assert kinds(look(before, row(1, **change))) == [Finding.CHANGED]
    now = after(before, row(1, **change))
    assert now.flags.tolist() == [Flag.CHANGED | Flag.VERIFIED]
    assert not now.ours.any()
    assert kinds(look(now, row(1, **change))) == [Finding.CHANGED]


def test_a_rounding_that_was_taken_as_such_is_no_change() -> None:
    """A ledger that holds the source's hash of a value stored a little otherwise says so."""
    before = ledger(row(1))
    before = before.with_hashes(np.array([0]), np.array([7], dtype=np.uint32))
    assert kinds(look(before, row(1))) == [Finding.CHANGED]
    near = replace(before, flags=before.flags | np.uint8(Flag.NEAR))
    assert kinds(look(near, row(1))) == [Finding.OURS]
    assert kinds(look(after(near, row(1)), row(1))) == [Finding.OURS]


def test_a_correction_on_its_way_is_no_edit() -> None:
    """A row whose new value we may have sent ourselves is ours."""
    before = ledger(row(1))
    sent = [curve(T0, mag=17.0)]
    assert kinds(look(before, row(1, mag=17.0), sent=sent)) == [Finding.OURS]


@pytest.mark.parametrize(
    "change", [{"time_ms": T0 + HOUR}, {"band": "r-ZTF"}, {"obs_group": "YSE"}]
)
def test_a_moved_row_leaves_a_memory_in_its_place(change: dict[str, Any]) -> None:
    """The pk is there, elsewhere: changed, not gone; its old place is remembered."""
    before = ledger(row(1))
    changed = row(1) | change | {"modified_by": OTHER}
    findings = look(before, changed)
    assert (len(findings.moved), len(findings.gone)) == (1, 0)
    assert kinds(findings) == [Finding.CHANGED]
    now = after(before, changed)
    assert len(now.standing) == 1
    assert now.memory.time_ms.tolist() == [T0]
    assert now.memory.slots[now.memory.slot[0]] == Slot("ZTF-Cam", "ZTF", "g-ZTF")
    for _ in range(3):
        now = after(now, changed)
        assert now.memory.pk.tolist() == [1]
    assert len(after(now, row(1)).memory) == 0


def test_gone_means_that_the_pk_is_gone() -> None:
    """A row of ours without a trace is gone; somebody else's is nobody's business."""
    before = ledger(row(1), row(2, T0 + HOUR, created_by=OTHER, modified_by=OTHER))
    findings = look(before)
    assert findings.gone.pk.tolist() == [1]
    assert len(after(before)) == 0


def test_a_number_that_was_given_out_anew_is_another_row() -> None:
    """After a set-back another account's row may have the pk of ours: ours is gone."""
    findings = look(ledger(row(1)), row(1, T0 + HOUR, created_by=OTHER, modified_by=OTHER))
    assert findings.gone.pk.tolist() == [1]
    assert kinds(findings) == [Finding.NEWCOMER]


def test_a_new_row_of_our_account_is_a_strangers() -> None:
    """Nobody here wrote it: a second installation."""
    assert kinds(look(ledger(row(1)), row(1), row(2, T0 + HOUR))) == [
        Finding.OURS,
        Finding.STRANGER,
    ]


@pytest.mark.parametrize("before", [None, Ledger.empty()])
def test_a_first_look_takes_what_it_finds(before: Ledger | None) -> None:
    """Without a ledger rows of our account are ours, changed ones too, and nothing is gone."""
    findings = look(before, row(1), row(2, modified_by=OTHER), row(3, created_by=OTHER))
    assert kinds(findings) == [Finding.OURS, Finding.CHANGED, Finding.FOREIGN]
    assert findings.writers == ()


def test_what_we_sent_is_no_strangers() -> None:
    """Rows accepted and never seen, of an unfinished upload, or noted by a push: ours."""
    before = ledger(row(1)).with_sent(curve(T0 + HOUR))
    assert kinds(look(before, row(1), row(2, T0 + HOUR)))[1] == Finding.OURS
    unfinished = look(ledger(row(1)), row(1), row(2, T0 + HOUR), sent=[curve(T0 + HOUR)])
    assert kinds(unfinished)[1] == Finding.OURS
    noted = [("ZTF-Cam", "ZTF", "g-ZTF", T0 + HOUR)]
    assert (
        kinds(look(ledger(row(1)), row(1), row(2, T0 + HOUR), noted=noted))[1] == Finding.OURS
    )


def test_a_point_that_somebodys_row_stands_for_is_not_gone() -> None:
    """YSE-PZ drops a point that has a row within the window, and answers success."""
    before = ledger(row(1)).with_sent(curve(T0 + HOUR))
    other = row(2, T0 + HOUR + 5000, created_by=OTHER, modified_by=OTHER)
    assert len(look(before, row(1), other).gone) == 0
    far = row(2, T0 + HOUR + 50_000, created_by=OTHER, modified_by=OTHER)
    assert len(look(before, row(1), far).gone) == 1


def test_a_point_moved_before_it_was_ever_seen_is_moved() -> None:
    """Sent, accepted, and overwritten by a cron before the first read-back: found again."""
    before = ledger(row(1)).with_sent(curve(T0 + HOUR))
    findings = look(before, row(1), row(2, T0 + HOUR + 600_000, modified_by=OTHER))
    assert (len(findings.gone), findings.moved.pk.tolist()) == (0, [2])
    assert kinds(findings) == [Finding.OURS, Finding.CHANGED]


def test_of_two_unseen_points_put_to_one_place_one_was_moved() -> None:
    """A cron made copies of two points before anybody saw them: neither is gone."""
    before = ledger(row(1)).with_sent(curve(T0 + HOUR, T0 + HOUR + 480_000))
    copies = [row(pk, T0 + HOUR + 480_000, modified_by=OTHER) for pk in (2, 3)]
    findings = look(before, row(1), *copies)
    assert (len(findings.gone), len(findings.moved)) == (0, 1)
    assert kinds(findings)[1:] == [Finding.CHANGED, Finding.CHANGED]


def test_who_writes_where_we_write_is_a_second_writer() -> None:
    """New rows in our shelf and changes of our rows name an account; others' shelves do not."""
    before = ledger(row(1), row(2, created_by=OTHER, modified_by=OTHER))
    foreign: dict[str, Any] = {"created_by": OTHER, "modified_by": OTHER}
    still = row(2, **foreign)
    assert look(before, row(1), still).writers == ()
    writer = (Writer(OTHER, "ZTF-Cam", "ZTF"),)
    assert look(before, row(1), still, row(3, T0 + HOUR, **foreign)).writers == writer
    assert look(before, row(1, modified_by=OTHER), still).writers == writer
    elsewhere = row(3, T0 + HOUR, **foreign, obs_group="ATLAS")
    assert look(before, row(1), still, elsewhere).writers == ()


def test_a_tombstone_is_kept_until_its_place_is_taken() -> None:
    """What is gone for good stays a memory; a row at its place ends it."""
    tomb = ledger(row(9, T0 + HOUR)).flagged(Flag.GONE)
    before = ledger(row(1)).joined(tomb)
    now = after(before, row(1))
    assert now.memory.time_ms.tolist() == [T0 + HOUR]
    assert len(look(before, row(1)).gone) == 0
    back = row(10, T0 + HOUR, created_by=OTHER, modified_by=OTHER)
    assert len(after(now, row(1), back).memory) == 0


def test_a_displaced_row_stands_for_the_nearest_missing_exposure() -> None:
    """Without a ledger: a changed row that no exposure needs is the missing exposure's."""
    light = curve(T0, T0 + HOUR // 4)
    foreign = row(1, T0 + HOUR // 4, created_by=OTHER, modified_by=OTHER)
    ours = row(2, T0 + HOUR // 4, modified_by=OTHER)
    window = {"g-ZTF": 16_000.0}

    def asked(*rows: dict[str, Any]) -> dict[int, int]:
        missing = np.array([0])
        return displaced(light, missing, stored(*rows), account=ME, window=window)

    assert asked(foreign, ours) == {0: 2}
    assert asked(ours) == {}  # it stands for the other exposure
    assert asked(foreign) == {}
    assert asked(foreign, ours | {"modified_by": ME}) == {}


@given(st.lists(st.integers(0, 5), max_size=12), st.lists(st.integers(0, 5), max_size=12))
def test_every_row_is_accounted_for(before: list[int], now: list[int]) -> None:
    """Whatever was and is there: each row of ours stands, was moved, or is gone."""
    old = [row(pk + 1, T0 + HOUR * place) for pk, place in enumerate(before)]
    new = [row(pk + 1, T0 + HOUR * place) for pk, place in enumerate(now)]
    findings = look(ledger(*old) if old else None, *new)
    standing = sum(
        old[pk]["time_ms"] == new[pk]["time_ms"] for pk in range(min(len(old), len(new)))
    )
    assert standing + len(findings.moved) + len(findings.gone) == len(old)
    assert len(findings.kind) == len(new)
