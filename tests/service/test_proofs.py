"""What only proves an upload counts as verification, and waits where the budget is short."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from yse_ingest.limits import CEILING
from yse_ingest.pipeline import deliver, fetch_light_curve, plan_upload
from yse_ingest.push import push
from yse_ingest.reconcile import Auditor, reconcile
from yse_ingest.targets import Target

if TYPE_CHECKING:
    from tests.service.conftest import House
    from yse_ingest.service import Service

OBJECT = "ZTF19aacgslb"
RA, DEC = 157.3415, 29.5106667
NP = Target("2019np")
FOREIGN = {"obs_date": "2018-06-01T00:00:00", "band": "g-ZTF", "mag": 19.0, "mag_err": 0.1}


def followed(house: House, target: Target = NP, *, alerts: int = 4, **env: Any) -> Service:
    """Return a service that follows a target of the targets file, with a known header."""
    house.alerts(OBJECT, alerts)
    house.ysepz.add_photometry(target.name, [FOREIGN])
    service = house.service(**env)
    service.state.targets.put(target, origin="file", due_ms=0)
    return service


def spend(service: Service, share: float = 0.95) -> None:
    """Let so much of the hour's budget be spent that verification waits, and uploads do not."""
    budget = service.budget
    assert CEILING["verify"] < share < CEILING["upload"]
    bucket = service.state.now_ms() // budget.bucket_ms
    spent_ms = round(1000 * share * budget.spending().limit())
    service.state._connection.call("HSET", budget.key, f"{bucket}:upload", spent_ms)


def free(service: Service) -> None:
    """Let the hour be over."""
    service.state._connection.call("DEL", service.budget.key)


def by(service: Service) -> set[str]:
    """Return which purposes YSE-PZ has worked for."""
    return {each for spent in service.budget.spending().spent.values() for each in spent}


def receipt(service: Service) -> dict[str, Any]:
    last = service.state.receipts.last("1")
    assert last is not None
    return last


def read_backs(house: House) -> int:
    return sum(each.path.startswith("/download_data/") for each in house.ysepz.log)


def proven(service: Service) -> list[str]:
    """Return how one tick of audits ended."""
    return [
        service.upload(hint.name, hint.key, hint.fence, attempt=1).state
        for hint in Auditor(service).tick()
    ]


def unseen(service: Service) -> int:
    ledger = service.state.ledgers.get(1)
    assert ledger is not None
    return int((ledger.pk == 0).sum())


def test_a_proof_counts_as_verification(house: House) -> None:
    """Where there is time it is made at once: not on the account of uploads."""
    service = followed(house)
    house.cycle(service, "2019np")
    assert receipt(service)["state"] == "verified"
    assert "verify" in by(service)
    assert service.state.audits.unproven(9) == []
    assert unseen(service) == 0


def test_a_proof_waits_for_the_budget(house: House) -> None:
    """The receipt says accepted; later the oldest proof is made first, as verification."""
    service = followed(house)
    spend(service)
    house.cycle(service, "2019np")

    assert len(house.ysepz.rows("2019np")) == 5
    assert receipt(service)["state"] == "accepted"
    assert receipt(service)["counts"] == {"accepted": 4}
    assert "verify" not in by(service)
    assert service.state.audits.unproven(9) == ["1"]
    assert unseen(service) == 4
    assert proven(service) == []

    free(service)
    assert proven(service) == ["audited"]
    assert by(service) & {"verify", "audit"} == {"verify"}
    assert service.state.audits.unproven(9) == []
    assert service.state.audits.found("1")["ours"] == 4
    assert unseen(service) == 0
    assert proven(service) == []


def test_what_comes_before_the_proof_is_sent_without_reading_back(house: House) -> None:
    """The light curve was compared before the first upload: the next one needs no look."""
    service = followed(house)
    spend(service)
    house.cycle(service, "2019np")
    before = read_backs(house)
    house.mars.add_alert(OBJECT, 2458600.5, "g", 19.0, 0.1, RA, DEC)
    house.cycle(service, "2019np")
    assert len(house.ysepz.rows("2019np")) == 6
    assert read_backs(house) == before
    free(service)
    assert proven(service) == ["audited"]
    assert (service.state.audits.found("1")["ours"], unseen(service)) == (5, 0)


def test_a_proof_that_fails_later_mends_what_is_missing(house: House) -> None:
    """A point that was accepted and is not there when the proof is made is sent again."""
    service = followed(house)
    spend(service)
    house.cycle(service, "2019np")
    with house.ysepz.store.connect() as database:
        pk = house.ysepz.rows("2019np")[-1]["pk"]
        database.run("DELETE FROM YSE_App_transientphotdata WHERE id = ?", [pk])
    free(service)
    assert proven(service) == ["audited"]
    house.cycle(service, "2019np")
    assert len(house.ysepz.rows("2019np")) == 5
    assert service.state.audits.found("1")["gone"] == 1


def test_a_moved_row_is_remembered_where_the_proof_waits(house: House) -> None:
    """A row of ours that somebody moved stands for its exposure: found at the first look."""
    service = followed(house)
    house.cycle(service, "2019np")
    row = house.ysepz.rows("2019np")[2]
    with house.ysepz.store.connect() as database:
        database.run(
            "UPDATE YSE_App_transientphotdata SET obs_date = ?, modified_by_id = "
            "(SELECT created_by_id FROM YSE_App_transientphotdata WHERE id = 1) WHERE id = ?",
            [row["obs_date"].replace("T00:", "T01:").replace("T12:", "T13:"), row["pk"]],
        )
    service.state.ledgers.drop_all()
    service.state.clocks.forget("2019np", "mars")
    house.mars.add_alert(OBJECT, 2458600.5, "g", 19.0, 0.1, RA, DEC)
    spend(service)
    house.cycle(service, "2019np")
    assert receipt(service)["counts"]["moved"] == 1
    assert receipt(service)["state"] == "accepted"
    before = len(house.ysepz.rows("2019np"))
    for _ in range(2):
        service.state.clocks.forget("2019np", "mars")
        house.cycle(service, "2019np")
    assert len(house.ysepz.rows("2019np")) == before


@pytest.mark.parametrize("way", ["push", "reconcile", "by hand"])
def test_what_a_person_asked_for_is_proven_at_once(house: House, way: str) -> None:
    """It is counted, and never held."""
    service = followed(house)
    spend(service)
    if way == "push":
        (result,) = push(service, [NP])
        assert result.state == "verified"
        assert "push" in by(service)
        assert "verify" not in by(service)
    elif way == "reconcile":
        (done,) = reconcile(service, [NP])
        assert done.state == "verified"
        assert "verify" in by(service)
    else:
        service.enqueue(NP)
        house.cycle(service, "2019np")
    assert receipt(service)["state"] == "verified"
    assert service.state.audits.unproven(9) == []


def test_a_private_target_is_proven_at_once(house: House) -> None:
    """Whether this account sees what it sends is no matter for later."""
    private = Target("2019np", overrides={"groups": ("YSE",), "obs_group": "YSE"})
    service = followed(house, private, YSE_PZ_USERNAME="human")
    spend(service)
    house.cycle(service, "2019np")
    assert receipt(service)["state"] == "verified"
    house.mars.add_alert(OBJECT, 2458600.5, "g", 19.0, 0.1, RA, DEC)
    house.cycle(service, "2019np")
    assert receipt(service)["state"] == "verified"
    assert service.state.audits.unproven(9) == []


def test_a_header_that_is_new_is_proven_at_once(house: House) -> None:
    """It may be one that this account cannot see: only the proof tells."""
    house.alerts(OBJECT, 4)
    service = house.service()
    service.state.targets.put(NP, origin="file", due_ms=0)
    spend(service)
    house.cycle(service, "2019np")
    assert receipt(service)["state"] == "verified"
    assert "verify" in by(service)


def test_nothing_under_a_header_that_shows_none_of_it_counts_as_stored(house: House) -> None:
    """A private header of others takes public points, too: each upload says that it hides.

    The second one sends a point that stands there already, and no other.
    """
    house.ysepz.add_photometry(
        "2019np",
        [{"obs_date": "2018-01-17T00:00:00", "band": "g-ZTF", "mag": 18.0, "mag_err": 0.1}],
        user="human",
        groups=["YSE"],
    )
    service = house.service()
    service.enqueue(NP)
    for day in range(2):
        house.mars.add_alert(OBJECT, 2458530.5 + day, "g", 19.0, 0.1, RA, DEC)
        house.cycle(service, "2019np")

        (row,) = service.state.outbox.rows(10)
        assert row.place == "refused"
        assert "1 point was accepted, but invisible to this user" in str(row.reason)
    assert len(house.ysepz.rows("2019np")) == 2


def test_a_correction_is_proven_at_once(house: House) -> None:
    """Which value its row has now is known from the read-back alone."""
    service = followed(house, alerts=0)
    candid = 740000000315015001
    house.mars.add_alert(OBJECT, 2458530.5, "g", 19.0, 0.1, RA, DEC, candid=candid)
    house.cycle(service, "2019np")
    spend(service)
    house.mars.update_alert(candid, magpsf=18.5)
    service.state.clocks.forget("2019np", "mars")
    house.cycle(service, "2019np")
    assert receipt(service)["counts"] == {"corrected": 1}
    assert receipt(service)["state"] == "verified"
    free(service)
    Auditor(service).claim("1", NP, early=True)
    assert [row["mag"] for row in house.ysepz.rows("2019np")] == [19.0, 18.5]
    assert service.state.audits.unproven(9) == []


def test_a_delivery_without_proof_is_never_called_verified(house: House) -> None:
    """The read-back that the plan rests on does not show what was sent since."""
    service = followed(house)
    client, transient = service.ysepz, service.locate(NP)
    assert transient is not None
    fetched = fetch_light_curve(NP.at(RA, DEC), service.source("mars"))

    def delivered(*, verify: bool) -> Any:
        plan = plan_upload(
            fetched.curve,
            transient,
            rules=fetched.rules,
            gaps=fetched.gaps,
            tolerance_ms=fetched.tolerance_ms,
            account=client.account.username,
            vocabulary=client.vocabulary(),
            stored=client.read_back(transient.slug),
        )
        return deliver(plan, client, verify=verify)

    sent = delivered(verify=False)
    assert (sent.state, sent.read_back) == ("accepted", None)
    assert len(sent.ledger(None, account="ingest")) == 4
    # Nothing is sent now: what was read back is all there is.
    assert delivered(verify=False).state == "verified"


def test_the_oldest_proof_comes_first(house: House) -> None:
    """One that is not to be had now, or that nobody follows, stops no other."""
    house.ysepz.add_transient("2020abc", 10.0, 10.0)
    service = followed(house)
    spend(service)
    house.cycle(service, "2019np")
    audits = service.state.audits
    audits.owe_proof("77")
    free(service)

    claim = service.claim("1")
    assert claim is None  # nothing is owed to it
    hint = Auditor(service).claim("1", NP)
    assert hint is not None  # another worker has it now
    assert Auditor(service).tick() == []
    assert audits.unproven(9) == ["1"]
    service.state.outbox.release(hint.key, hint.fence)
    assert proven(service) == ["audited"]
    assert audits.unproven(9) == []
