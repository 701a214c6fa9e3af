"""Whether others write under our account: what YSE-PZ shows, and what it cannot show."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from click.testing import CliRunner

from yse_ingest.account_use import look
from yse_ingest.cli import main
from yse_ingest.sandbox.faults import Fault
from yse_ingest.targets import Target

if TYPE_CHECKING:
    import pytest

    from tests.service.conftest import House
    from yse_ingest.service import Service

NP = Target("2019np")
ROW = {"band": "g-ZTF", "mag": 19.0, "mag_err": 0.1}


def stored(house: House, target: Target = NP) -> Service:
    house.alerts("ZTF19aacgslb", 3)
    service = house.service()
    service.enqueue(target)
    house.cycle(service, target.name)
    assert len(house.ysepz.rows(target.name)) == 3
    return service


def others(house: House, name: str, *dates: str, user: str = "ingest") -> None:
    """Store points as a cron would that runs under this account."""
    rows = [{"obs_date": date, **ROW} for date in dates]
    house.ysepz.add_photometry(name, rows, user=user)


def signs(service: Service) -> list[str]:
    return list(look(service).signs)


def test_what_this_installation_wrote_is_no_sign(house: House) -> None:
    """Proven points, and those that were accepted and not seen since; others' do not count."""
    service = stored(house)
    others(house, "2019np", "2019-03-01T00:00:00", user="othercron")
    house.mars.add_alert("ZTF19aacgslb", 2458600.5, "g", 19.0, 0.1, 157.3415, 29.5106667)
    service.state.clocks.forget("2019np", "mars")
    house.cycle(service, "2019np")
    ledger = service.state.ledgers.get(1)
    assert ledger is not None
    assert 0 in ledger.pk.tolist()

    use = look(service)

    assert use.signs == ()
    assert use.fact.startswith("of 5 points stored in the last day, 4 are of ingest, none")


def test_a_point_of_our_account_in_our_own_target(house: House) -> None:
    """A cron under the account adds one: told at once, not at the next audit in a week."""
    service = stored(house)
    others(house, "2019np", "2019-03-01T00:00:00")
    (sign,) = signs(service)
    assert sign == (
        "in the last day 1 point was stored under ingest that this installation did not "
        "send: in 2019np"
    )


def test_points_of_our_account_in_another_transient(house: House) -> None:
    """A light curve that this installation does not know of is somebody else's work."""
    service = stored(house)
    for number in range(5):
        house.ysepz.add_transient(f"2020a{number}", 10.0 + number, 5.0)
        others(house, f"2020a{number}", "2020-03-01T00:00:00", "2020-03-02T00:00:00")
    (sign,) = signs(service)
    assert "10 points were stored under ingest" in sign
    assert sign.endswith(" and 2 more")


def test_an_installation_that_wrote_nothing_yet(house: House) -> None:
    """Which number is our account's is learnt from a name; others' rows tell nothing."""
    service = house.service()
    others(house, "2019np", "2019-03-01T00:00:00", user="othercron")
    assert look(service).signs == ()
    assert "is not known" in look(service).fact
    others(house, "2019np", "2019-03-02T00:00:00")
    (sign,) = signs(service)
    assert sign.endswith("did not send: in 2019np")


def test_in_shadow_every_point_of_our_account_is_a_sign(house: House) -> None:
    """Nothing is sent in shadow: also in a target that is followed."""
    house.alerts("ZTF19aacgslb", 3)
    service = house.service(YSE_INGEST_SHADOW="1")
    service.enqueue(NP)
    house.cycle(service, "2019np")
    assert signs(service) == []
    others(house, "2019np", "2019-03-02T00:00:00")
    assert len(signs(service)) == 1


def test_a_push_of_this_machine_is_no_sign(house: House) -> None:
    """It leaves no trace in Redis; its journal tells where it wrote."""
    house.alerts("ZTF19aacgslb", 3)
    assert house.push(NP).state == "verified"
    use = look(house.service())
    assert use.signs == ()
    assert "3 are of ingest" in use.fact


def test_what_may_be_under_way_is_no_sign(house: House) -> None:
    """A point whose reply was lost is still owed, and may stand there already."""
    service = stored(house)
    house.ysepz.faults.add(Fault("drop_after", path="add_transient_phot", times=1))
    house.mars.add_alert("ZTF19aacgslb", 2458600.5, "g", 19.0, 0.1, 157.3415, 29.5106667)
    (hint,) = service.refresh(["2019np"])
    assert service.upload(hint.name, hint.key, hint.fence, attempt=1).state == "settling"
    assert len(house.ysepz.rows("2019np")) == 4
    assert signs(service) == []


def test_a_lost_ledger_is_no_sign(house: House) -> None:
    """What Redis forgot of a followed target is not taken for somebody else's."""
    service = stored(house)
    service.state.ledgers.drop_all()
    assert signs(service) == []


def test_points_of_long_ago_are_no_sign(house: House) -> None:
    """What an earlier job wrote under the account before the cut-over is over."""
    service = stored(house)
    others(house, "2019np", "2019-03-01T00:00:00")
    with house.ysepz.store.connect() as database:
        database.run(
            "UPDATE YSE_App_transientphotdata SET created_date = '2020-01-01T00:00:00.000000'",
            [],
        )
    assert signs(service) == []


def test_a_target_whose_row_was_taken_over(house: House) -> None:
    """A job that posts whole transients under our account becomes their creator."""
    service = stored(house)
    assert signs(service) == []
    minimal = {"noupdatestatus": True, "2019np": {"name": "2019np", "transientphotometry": {}}}
    service.ysepz.add_transient(minimal)
    (sign,) = signs(service)
    assert sign.startswith("YSE-PZ shows ingest as the creator of 2019np, which this")

    service.state.targets.put(
        Target("2019np", creation={"status": "New", "obs_group": "ZTF"}), origin="adhoc"
    )
    assert signs(service) == []


def test_it_asks_little(house: House) -> None:
    """However many light curves the account writes to: some thirty requests, all reads."""
    service = stored(house)
    for number in range(40):
        house.ysepz.add_transient(f"2020a{number}", 10.0 + number, 5.0)
        others(house, f"2020a{number}", "2020-03-01T00:00:00")
    before = len(house.ysepz.log)
    assert len(signs(service)) == 1
    asked = list(house.ysepz.log)[before:]
    assert len(asked) <= 30
    assert {one.method for one in asked} == {"GET"}
    spent = service.budget.spending().spent.values()
    assert any("doctor" in each for each in spent)


def test_doctor_says_so(house: House, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Yellow with the remedy, and no failure; green with what it cannot tell."""
    monkeypatch.chdir(tmp_path)
    stored(house)
    env = {
        **house.environment,
        "CELERY_BROKER_URL": house.redis.url(),
        "YSE_INGEST_STATE_URL": house.redis.url(1),
    }
    well = CliRunner().invoke(main, ["doctor"], env=env)
    assert "ok    account: of 3 points stored in the last day, 3 are of ingest" in well.output
    others(house, "2019np", "2019-03-01T00:00:00")
    told = CliRunner().invoke(main, ["doctor"], env=env)
    assert told.exit_code == 0, told.output
    assert "warn  account: in the last day 1 point was stored under ingest" in told.output
    assert "Give the service an account of its own in YSE-PZ" in told.output
