"""What read-back teaches: changed, gone, strange and foreign rows, and what then happens."""

from __future__ import annotations

import sqlite3
import time
from typing import TYPE_CHECKING, Any, Literal

import pytest

from yse_ingest.errors import HeldError
from yse_ingest.pipeline import Plan, deliver, fetch_light_curve, plan_upload
from yse_ingest.push import PushResult, push
from yse_ingest.reconcile import Auditor
from yse_ingest.sandbox.faults import Fault
from yse_ingest.state.embedded import EmbeddedRedis
from yse_ingest.targets import Target
from yse_ingest.times import format_time_ms
from yse_ingest.watch import audits
from yse_ingest.watch.sight import look
from yse_ingest.ysepz import Account, YsePz

if TYPE_CHECKING:
    from pathlib import Path

    from tests.service.conftest import House
    from yse_ingest.ledger import Ledger
    from yse_ingest.service import Service

RA, DEC = 157.3415, 29.5106667
NP = Target("2019np")
OBJECT = "ZTF19aacgslb"
DAY = "2019-01-{:02d}T00:00:00.000"


def sql(house: House, statement: str, *values: Any) -> None:
    """Do to YSE-PZ's database what only its administrators can."""
    with house.ysepz.store.connect() as database:
        database.run(statement, values)


def remove(house: House, pk: int) -> None:
    """Delete one row, which no API of YSE-PZ can."""
    sql(house, "DELETE FROM YSE_App_transientphotdata WHERE id = ?", pk)


def rows(house: House, name: str = "2019np") -> list[dict[str, Any]]:
    return house.ysepz.rows(name)


def pks(house: House, name: str = "2019np") -> set[int]:
    return {row["pk"] for row in rows(house, name)}


def followed(house: House, count: int = 6, **alerts: Any) -> Service:
    """Return a service that has stored 2019np, and proved it."""
    house.alerts(OBJECT, count, **alerts)
    service = house.service()
    service.enqueue(NP)
    house.cycle(service, "2019np")
    assert len(rows(house)) == count
    return service


def audited(house: House, service: Service, *names: str) -> None:
    """Audit now, whatever was proved when, then do what follows from it."""
    for name in names or ("2019np",):
        auditor = Auditor(service)
        hint = auditor.claim(auditor.key(name), Target(name), early=True)
        assert hint is not None
        service.upload(hint.name, hint.key, hint.fence, attempt=1)
    house.cycle(service, *(names or ("2019np",)))


def pushed(house: House) -> PushResult:
    """Push the whole light curve, with the service's own state and leases."""
    (result,) = push(house.service(), [NP])
    return result


def other_cron(house: House) -> YsePz:
    """Return the client of another account."""
    return YsePz(house.ysepz.url, Account("othercron", "sandbox-only", origin="test"))


def test_an_edited_row_of_ours_is_told_and_never_changed_back(house: House) -> None:
    """Somebody's edit stays through audits and fetches, also when the source changes."""
    candid = 740000000315015001
    house.mars.add_alert(OBJECT, 2458530.5, "g", 19.0, 0.1, RA, DEC, candid=candid)
    service = followed_with(house, 1)
    (row,) = rows(house)
    other_cron(house).patch_point(row["pk"], {"mag": 17.0})
    before = rows(house)

    audited(house, service)
    house.mars.update_alert(candid, magpsf=18.5)
    audited(house, service)

    assert rows(house) == before
    assert service.state.audits.found("1")["changed"] == 1


def followed_with(house: House, count: int) -> Service:
    service = house.service()
    service.enqueue(NP)
    house.cycle(service, "2019np")
    assert len(rows(house)) == count
    return service


def test_an_edit_under_our_own_account_is_not_undone(house: House) -> None:
    """A value that differs from what was sent is somebody's, whoever's account it was."""
    candid = 740000000315015001
    house.mars.add_alert(OBJECT, 2458530.5, "g", 19.0, 0.1, RA, DEC, candid=candid)
    service = followed_with(house, 1)
    (row,) = rows(house)
    service.ysepz.patch_point(row["pk"], {"mag": 17.0})
    audited(house, service)
    house.mars.update_alert(candid, magpsf=18.5)

    audited(house, service)
    assert pushed(house).state == "verified"

    assert [row["mag"] for row in rows(house)] == [17.0]
    assert service.state.audits.found("1")["changed"] == 1


def test_a_correction_that_had_no_time_left_is_made_later(house: House) -> None:
    """Its row keeps the hash it had: the next look is no person's edit, and corrects it."""
    candid = 740000000315015001
    house.mars.add_alert(OBJECT, 2458530.5, "g", 19.0, 0.1, RA, DEC, candid=candid)
    service = followed_with(house, 1)
    house.mars.update_alert(candid, magpsf=18.5)
    fetched = fetch_light_curve(NP.at(RA, DEC), service.source("mars"))
    client, ledger = service.ysepz, service.state.ledgers.get(1)
    transient = service.locate(NP)
    assert transient is not None

    def planned(known: Ledger | None) -> Plan:
        return plan_upload(
            fetched.curve,
            transient,
            rules=fetched.rules,
            gaps=fetched.gaps,
            tolerance_ms=fetched.tolerance_ms,
            account=client.account.username,
            vocabulary=client.vocabulary(),
            stored=client.read_back(transient.slug),
            ledger=known,
        )

    late = deliver(planned(ledger), client, deadline=0.0)
    assert late.state == "owed"
    again = planned(late.ledger(ledger, account="ingest"))

    assert [each.changes["mag"] for each in again.corrections] == [18.5]


@pytest.mark.parametrize("forget", [False, True])
def test_a_moved_row_is_not_sent_again(house: House, forget: bool) -> None:
    """A row still there by its pk, an hour away, stands for its exposure: nothing is added.

    Also where the ledger was lost in between: then the nearest row of ours that somebody
    moved, and no exposure needs, is taken for it.
    """
    service = followed(house)
    moved = rows(house)[2]
    other_cron(house).patch_point(moved["pk"], {"obs_date": "2019-01-19T01:00:00.000"})
    before = rows(house)
    for _ in range(3):
        if forget:
            service.state.ledgers.drop_all()
        service.state.clocks.forget("2019np", "mars")
        audited(house, service)
        assert pushed(house).left == 1
        assert house.push(NP).left == 1

    assert rows(house) == before
    assert service.state.audits.found("1")["changed"] == 1


def test_a_gone_row_is_sent_again_once(house: House) -> None:
    """Gone once: sent again. Gone twice: not until a person says so, through a lost ledger."""
    service = followed(house)
    remove(house, rows(house)[2]["pk"])
    audited(house, service)
    assert len(rows(house)) == 6

    remove(house, rows(house)[-1]["pk"])
    audited(house, service)
    assert len(rows(house)) == 5
    service.state.ledgers.drop_all()
    for _ in range(2):
        service.state.clocks.forget("2019np", "mars")
        audited(house, service)
    assert pushed(house).left == 1
    assert len(rows(house)) == 5

    Auditor(service).send_gone("2019np")
    house.cycle(service, "2019np")
    assert len(rows(house)) == 6


def test_tombstones_outlive_flushall(house: House) -> None:
    """A row gone for good stays gone when Redis forgets everything."""
    service = followed(house)
    for _ in range(2):
        remove(house, rows(house)[-1]["pk"])
        audited(house, service)
    assert len(rows(house)) == 5
    service.state._connection.call("FLUSHALL")

    again = house.service()
    again.enqueue(NP)
    quiet_over(again)
    house.cycle(again, "2019np")
    audited(house, again)

    assert len(rows(house)) == 5


def quiet_over(service: Service) -> None:
    """Let the quiet time after a loss be over."""
    service.listen()
    service.state._connection.call("DEL", service.state._quiet)


# A second writer ----------------------------------------------------------------------------


def test_a_clobbering_cron_beside_us_adds_no_row(house: House) -> None:
    """The documented cron (clobber, 0.01 d) runs 50 rounds beside us: nothing grows or changes.

    It moves our rows onto its own; each is told as changed, none is sent a second time, and no
    row of the other account is ever written by us.
    """
    # Three exposures of one band 4 minutes apart, on three nights: the cron merges them.
    for each in range(9):
        jd = 2458500.5 + each // 3 + (each % 3) * 240 / 86400
        house.mars.add_alert(OBJECT, jd, "g", 18.0 + 0.01 * each, 0.05, RA, DEC)
    house.alerts(OBJECT, 5, gap_d=1.0, band="r")
    cron = other_cron(house)
    clobber(house, cron)
    service = house.service()
    service.enqueue(NP)
    house.cycle(service, "2019np")
    count = 14 + 6  # the two of each night that the cron is about to move
    for number in range(50):
        clobber(house, cron)
        theirs = [row for row in rows(house) if row["created_by"] == "othercron"]
        if number % 5 == 0:
            service.state.clocks.forget("2019np", "mars")
            audited(house, service)
        house.cycle(service, "2019np")
        after = [row for row in rows(house) if row["created_by"] == "othercron"]
        assert after == theirs
        assert len(rows(house)) == count
    assert service.state.audits.found("1")["changed"] > 0
    (writer,) = service.state.audits.writers()
    assert (writer["account"], writer["targets"]) == ("othercron", ["2019np"])


def clobber(house: House, cron: YsePz) -> None:
    """Post the whole light curve as the documented cron does."""
    every = fetch_light_curve(NP.at(RA, DEC), house.service().source("mars")).curve
    points = {
        str(number): {
            "obs_date": str(date),
            "band": str(every.band[number]),
            "mag": float(every.mag[number]),
            "mag_err": float(every.mag_err[number]),
            "flux": None,
            "flux_err": None,
            "flux_zero_point": None,
            "data_quality": 0,
            "diffim": 1,
            "forced": 0,
            "discovery_point": 0,
        }
        for number, date in enumerate(format_time_ms(every.time_ms))
    }
    block = {"instrument": "ZTF-Cam", "obs_group": "ZTF", "photdata": points}
    light = {"mjdmatchmin": 0.01, "clobber": True, "P48": block}
    cron.add_transient(
        {"noupdatestatus": True, "2019np": {"name": "2019np", "transientphotometry": light}}
    )


def test_history_of_another_account_is_no_second_writer(house: House) -> None:
    """What somebody stored before we came is adopted; who writes on is named."""
    foreign = {"obs_date": DAY.format(17), "band": "g-ZTF", "mag": 18.0, "mag_err": 0.05}
    house.ysepz.add_photometry("2019np", [foreign])
    house.alerts(OBJECT, 4)
    service = followed_with(house, 4)
    audited(house, service)
    assert service.state.audits.writers() == []

    house.ysepz.add_photometry("2019np", [{**foreign, "obs_date": DAY.format(29)}])
    audited(house, service)

    (told,) = audits.second_writer(look(service, service.state))
    assert told.fact == "othercron writes ZTF-Cam of ZTF too, in 1 transient"
    (writer,) = service.state.audits.writers()
    assert writer["account"] == "othercron"
    assert (writer["instrument"], writer["obs_group"]) == ("ZTF-Cam", "ZTF")


# A second installation ----------------------------------------------------------------------

OURS = {"obs_date": DAY.format(29), "band": "g-ZTF", "mag": 18.0, "mag_err": 0.05}


def test_a_second_installation_stops_its_target_alone(house: House) -> None:
    """A row of our account that nobody here wrote: nothing is sent until a person says so."""
    service = followed(house)
    house.ysepz.add_photometry("2019np", [OURS], user="ingest")
    house.mars.add_alert(OBJECT, 2458540.5, "r", 19.0, 0.1, RA, DEC)
    audited(house, service)
    (told,) = audits.second_installation(look(service, service.state))
    assert told.key == "second-installation:1"
    reason = service.state.audits.stopped("1")
    assert reason is not None
    assert "1 rows of ingest" in reason
    assert len(rows(house)) == 7

    house.ysepz.add_transient("2020abc", 10.0, 5.0)
    house.mars.add_alert("ZTF20abc", 2458900.5, "g", 18.0, 0.1, 10.0, 5.0)
    service.enqueue(Target("2020abc"))
    house.cycle(service, "2020abc")
    assert len(rows(house, "2020abc")) == 1

    service.state._connection.call("FLUSHALL")
    service = house.service()
    quiet_over(service)
    assert service.state.audits.stopped("1") == reason

    service.enqueue(NP)
    house.cycle(service, "2019np")
    assert len(rows(house)) == 7
    assert Auditor(service).take("2019np")
    house.cycle(service, "2019np")
    assert len(rows(house)) == 8
    audited(house, service)
    assert service.state.audits.stops() == {}


def test_rows_found_while_a_ledger_is_derived_are_ours(house: House) -> None:
    """A lost ledger, a lost state and a first look are no second installation."""
    service = followed(house)
    house.ysepz.add_photometry("2019np", [OURS], user="ingest")
    service.state.ledgers.drop_all()
    audited(house, service)
    assert service.state.audits.stops() == {}

    house.ysepz.add_photometry("2019np", [{**OURS, "obs_date": DAY.format(28)}], user="ingest")
    service.state._connection.call("FLUSHALL")
    again = house.service()
    again.enqueue(NP)
    quiet_over(again)
    house.cycle(again, "2019np")
    audited(house, again)

    assert again.state.audits.stops() == {}


@pytest.mark.parametrize("kind", ["drop_after", "drop_before"])
def test_a_lost_reply_is_no_second_installation(
    house: House, kind: Literal["drop_after", "drop_before"]
) -> None:
    """What an upload stored whose end nobody saw is ours, after settling and after an audit."""
    service = followed(house)
    house.mars.add_alert(OBJECT, 2458540.5, "r", 19.0, 0.1, RA, DEC)
    house.ysepz.faults.add(Fault(kind, path="add_transient_phot", times=1))
    house.cycle(service, "2019np")
    give_up = time.monotonic() + 30
    while service.state.outbox.owed("1") is not None and time.monotonic() < give_up:
        for hint in service.drain():
            service.upload(hint.name, hint.key, hint.fence, attempt=1)
    assert service.state.audits.stops() == {}
    audited(house, service)

    assert service.state.audits.stops() == {}
    assert len(rows(house)) == 7


@pytest.mark.parametrize("restarted", [True, False])
def test_what_a_killed_redis_forgot_is_no_second_installation(
    house: House, tmp_path: Path, restarted: bool
) -> None:
    """A kill may cost Redis its last second: what is owed may have been sent in it."""
    with EmbeddedRedis(tmp_path / "redis") as server:
        house.redis = server
        service = followed(house)
        house.mars.add_alert(OBJECT, 2458540.5, "r", 18.0, 0.05, RA, DEC)
        (hint,) = service.refresh(["2019np"])
        assert service.state.outbox.release(hint.key, hint.fence)
        time.sleep(1.2)  # beyond the second that the server keeps in memory
        if restarted:
            server.kill()
            server.restart()
            service.state.notice_loss(0.1)
            quiet_over(service)
        sent = {**OURS, "obs_date": "2019-02-26T00:00:00.000", "band": "r-ZTF"}
        house.ysepz.add_photometry("2019np", [sent], user="ingest")

        (claim,) = service.drain()
        service.upload(claim.name, claim.key, claim.fence, attempt=1, verify=True)

        assert (service.state.audits.stops() == {}) == restarted
        assert len(rows(house)) == 7


def test_what_redis_forgot_and_the_source_corrected_is_corrected(
    house: House, tmp_path: Path
) -> None:
    """YSE-PZ keeps what it was sent first, and the service once took it for what it sent next.

    Another row of the forgotten second, of which this round does not tell, is ours as well.
    """
    candid = 786000000315015001
    with EmbeddedRedis(tmp_path / "redis") as server:
        house.redis = server
        service = followed(house)
        house.mars.add_alert(OBJECT, 2458540.5, "r", 18.0, 0.05, RA, DEC, candid=candid)
        (hint,) = service.refresh(["2019np"])
        assert service.state.outbox.release(hint.key, hint.fence)
        time.sleep(1.2)  # beyond the second that the server keeps in memory
        for night in ("2019-02-26", "2019-02-27"):
            sent = {**OURS, "obs_date": f"{night}T00:00:00.000", "band": "r-ZTF", "mag": 18.0}
            house.ysepz.add_photometry("2019np", [sent], user="ingest")
        server.kill()
        server.restart()
        service.state.notice_loss(0.1)
        quiet_over(service)
        house.mars.update_alert(candid, magpsf=17.7)

        house.cycle(service, "2019np")

        assert service.state.audits.stops() == {}
        stored = {row["obs_date"][:10]: row["mag"] for row in rows(house)}
        assert len(rows(house)) == 8
        assert stored["2019-02-26"] == pytest.approx(17.7)


def test_points_that_were_accepted_and_never_seen_are_ours(house: House) -> None:
    """A later audit finds the points of uploads that were not read back, and knows them."""
    service = followed(house)
    house.mars.add_alert(OBJECT, 2458540.5, "r", 19.0, 0.1, RA, DEC)
    house.cycle(service, "2019np")
    audited(house, service)

    assert service.state.audits.found("1") | {"at_ms": 0} == {"ours": 7, "at_ms": 0}
    assert service.state.audits.stops() == {}


def test_a_push_of_this_machine_is_known_from_its_journal(house: House) -> None:
    """`push` without Redis shares the account: what its journal names is taken as ours."""
    service = followed(house)
    house.mars.add_alert(OBJECT, 2458540.5, "r", 19.0, 0.1, RA, DEC)
    assert house.push(NP).sent == 1
    audited(house, service)
    assert service.state.audits.stops() == {}

    house.mars.add_alert(OBJECT, 2458541.5, "r", 19.0, 0.1, RA, DEC)
    assert house.push(NP, XDG_STATE_HOME="/tmp/elsewhere").sent == 1
    audited(house, service)
    assert set(service.state.audits.stops()) == {"1"}


# YSE-PZ is set back -------------------------------------------------------------------------


def copied(house: House, into: Path) -> None:
    """Copy YSE-PZ's database into a file."""
    with sqlite3.connect(house.ysepz.store.path) as now, sqlite3.connect(into) as copy:
        now.backup(copy)
    now.close()
    copy.close()


def put_back(house: House, copy_of: Path) -> None:
    """Put a copy of YSE-PZ's database in the place of what it holds now."""
    with sqlite3.connect(copy_of) as copy, sqlite3.connect(house.ysepz.store.path) as now:
        copy.backup(now)
    now.close()
    copy.close()


def several(house: House, count: int = 5) -> list[str]:
    """Store a few transients with five alerts each, and return their names."""
    names = [f"2020aa{letter}" for letter in "abcdefgh"[:count]]
    for number, name in enumerate(names):
        house.ysepz.add_transient(name, 10.0 + number, 5.0)
        night(house, number, range(5))
    return names


def night(house: House, number: int, nights: range) -> None:
    for each in nights:
        jd = 2458900.5 + each
        house.mars.add_alert(f"ZTF20aa{number}", jd, "g", 18.0, 0.1, 10.0 + number, 5.0)


def yesterday(house: House, tmp_path: Path) -> tuple[Service, list[str]]:
    """Return a service beside a YSE-PZ that has lost three points of each transient."""
    names = several(house)
    service = house.service()
    for name in names:
        service.enqueue(Target(name))
    house.cycle(service, *names)
    copied(house, tmp_path / "yesterday.sqlite")
    for number, _ in enumerate(names):
        night(house, number, range(5, 8))
    house.cycle(service, *names)
    for name in names:
        audited(house, service, name)
        assert len(rows(house, name)) == 8
    put_back(house, tmp_path / "yesterday.sqlite")
    return service, names


def test_a_set_back_is_recognised_and_healed_by_one_command(
    house: House, tmp_path: Path
) -> None:
    """Verified rows gone in three transients: writing is held; one command brings all back."""
    service, names = yesterday(house, tmp_path)
    for name in names[:3]:
        audited(house, service, name)
    held = service.state.outbox.held()
    assert held is not None
    assert "set back" in held
    writes = len(house.writes())
    night(house, 4, range(8, 9))
    house.cycle(service, *names)
    assert len(house.writes()) == writes

    with pytest.raises(HeldError, match="--send-again"):
        Auditor(service).resume()
    Auditor(service).resume(send_again=True)
    house.cycle(service, *names)

    assert service.state.outbox.held() is None
    assert [len(rows(house, name)) for name in names] == [8, 8, 8, 8, 9]
    for name in names:
        audited(house, service, name)
    assert [len(rows(house, name)) for name in names] == [8, 8, 8, 8, 9]
    assert service.state.outbox.held() is None
    assert service.state.tombstones.transients() == []


def test_one_gone_row_has_the_newest_proofs_renewed(house: House, tmp_path: Path) -> None:
    """A set-back is found soon: ticks then look at the newest proofs, whatever their age."""
    service, names = yesterday(house, tmp_path)
    audited(house, service, names[0])
    for _ in range(10):
        for hint in Auditor(service).tick():
            service.upload(hint.name, hint.key, hint.fence, attempt=1)

    assert service.state.outbox.held() is not None


def test_deletions_by_people_can_be_kept(house: House, tmp_path: Path) -> None:
    """Where people removed the rows, `--keep-gone` ends the hold and sends none of them."""
    service, names = yesterday(house, tmp_path)
    for name in names[:3]:
        audited(house, service, name)
    before = [len(rows(house, name)) for name in names[:3]]
    Auditor(service).resume(keep_gone=True)
    for name in names[:3]:
        audited(house, service, name)

    assert [len(rows(house, name)) for name in names[:3]] == before


def test_a_hold_for_a_set_back_outlives_flushall(house: House, tmp_path: Path) -> None:
    """The hold, and that it asks for a choice, are restored from the file of decisions."""
    service, names = yesterday(house, tmp_path)
    for name in names[:3]:
        audited(house, service, name)
    service.state._connection.call("FLUSHALL")

    again = house.service()

    assert again.state.outbox.held() is not None
    with pytest.raises(HeldError):
        Auditor(again).resume()


def test_a_transient_that_is_gone_is_looked_up_again(house: House) -> None:
    """A deleted transient stops its own target, with its number; no other is touched."""
    service = followed(house)
    number = "SELECT id FROM YSE_App_transientphotometry WHERE transient_id = 1"
    sql(house, f"DELETE FROM YSE_App_transientphotdata WHERE photometry_id IN ({number})")
    sql(house, "DELETE FROM YSE_App_transientphotometry WHERE transient_id = 1")
    sql(house, "DELETE FROM YSE_App_transient WHERE id = 1")
    auditor = Auditor(service)
    hint = auditor.claim("1", NP)
    assert hint is not None

    outcome = service.upload(hint.name, hint.key, hint.fence, attempt=1)

    assert outcome.state == "refused"
    assert "number 1 of this name any more" in str(outcome.error)
    assert service.state.resolutions.get("2019np") is None


# The rolling audit --------------------------------------------------------------------------


def test_the_oldest_proof_is_renewed_when_it_is_due(house: House) -> None:
    """A tick takes the oldest proof once it is old enough, and none within the share's wait."""
    names = several(house, 2)
    service = house.service(YSE_INGEST_AUDIT_AGE="1h")
    for name in names:
        service.enqueue(Target(name))
        house.cycle(service, name)
    assert Auditor(service).tick() == []

    late = house.service(YSE_INGEST_AUDIT_AGE="0.001", YSE_INGEST_AUDIT_SHARE="0.000001")
    (hint,) = Auditor(late).tick()
    assert hint.name == names[0]
    late.ysepz.vocabulary()
    requests = len(house.ysepz.log)
    house.ysepz.faults.add(Fault("slow", path="download_data", seconds=0.05, times=1))
    assert late.upload(hint.name, hint.key, hint.fence, attempt=1).state == "audited"

    assert [each.method for each in list(house.ysepz.log)[requests:]] == ["GET"]
    oldest = late.state.ledgers.oldest(2)
    assert [transient for transient, _ in oldest] == [3, 2]
    assert Auditor(late).tick() == []


def test_an_audit_never_races_an_upload(house: House) -> None:
    """It takes the transient's own lease: while an upload has it, there is no audit."""
    service = followed(house)
    house.mars.add_alert(OBJECT, 2458540.5, "r", 19.0, 0.1, RA, DEC)
    (upload,) = service.refresh(["2019np"])
    assert Auditor(service).claim("1", NP, early=True) is None
    assert service.upload(upload.name, upload.key, upload.fence, attempt=1).state == "verified"


def test_a_target_that_is_followed_under_another_name_is_audited(house: House) -> None:
    """YSE-PZ calls it otherwise; names are compared once, not at each tick."""
    followed(house)
    house.ysepz.add_alias(OBJECT, "2019np")
    service = house.service(YSE_INGEST_AUDIT_AGE="0.001", YSE_INGEST_AUDIT_SHARE="1")
    service.state.targets.remove("2019np")
    service.enqueue(Target(OBJECT))
    house.cycle(service, OBJECT)
    auditor = Auditor(service)
    (hint,) = auditor.tick()
    assert (hint.name, hint.key) == (OBJECT, "1")
    service.upload(hint.name, hint.key, hint.fence, attempt=1)
    service.state.targets.remove(OBJECT)
    # Nobody follows it any more: what was known of it is forgotten, once that is sure.
    assert auditor.tick() == []
    assert service.state.ledgers.count() == 1
    assert Auditor(service).tick() == []
    assert service.state.ledgers.count() == 0
