"""Several sources of one survey: fallback, union, disagreement, on the stand-ins."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from yse_ingest.cli.overview import look as overview
from yse_ingest.cli.progress import look as progress
from yse_ingest.sandbox.alerce import AlerceStandIn
from yse_ingest.sandbox.faults import Fault
from yse_ingest.sandbox.fink import FinkStandIn
from yse_ingest.sandbox.ztf import candid_of
from yse_ingest.targets import Target
from yse_ingest.watch.conditions import conditions
from yse_ingest.watch.sight import look
from yse_ingest.why import schedule_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from yse_ingest.sandbox.mars import MarsStandIn
    from yse_ingest.service import Service

RA, DEC = 157.3415, 29.5106667
NP = Target("2019np", source="alerce,fink,mars")
OBJECT = "ZTF19aacgslb"


@dataclass
class Brokers:
    """Three brokers of one survey, and the house that asks them."""

    house: Any
    alerce: AlerceStandIn
    fink: FinkStandIn
    service: Service
    urls: dict[str, str]

    @property
    def mars(self) -> MarsStandIn:
        mars: MarsStandIn = self.house.mars
        return mars

    def publish(self, first: int, last: int, *, to: str = "alerce fink mars") -> None:
        """Let brokers have the alerts of some nights."""
        for night in range(first, last):
            jd, band = 2458500.5 + night, "gr"[night % 2]
            row = (OBJECT, jd, band, 18.0 + 0.01 * night, 0.05, RA, DEC)
            if "alerce" in to:
                self.alerce.add_detection(*row, candid=candid_of(jd))
            if "fink" in to:
                self.fink.add_alert(*row, candid=candid_of(jd))
            if "mars" in to:
                self.mars.add_alert(*row, candid=candid_of(jd))

    def cycle(self) -> None:
        """Fetch and upload until nothing is due."""
        self.house.cycle(self.service, "2019np")

    def asked(self) -> dict[str, int]:
        """Return how many requests each source had since the last look."""
        servers = {"alerce": self.alerce, "fink": self.fink, "mars": self.mars}
        counts = {name: len(server.log) for name, server in servers.items() if server.log}
        for server in servers.values():
            server.log.clear()
        return counts

    def mags(self) -> list[float]:
        """Return the stored magnitudes, in order of time."""
        rows = sorted(self.house.ysepz.rows("2019np"), key=lambda row: str(row["obs_date"]))
        return [round(row["mag"], 6) for row in rows]


@pytest.fixture
def brokers(house: Any) -> Iterator[Brokers]:
    with AlerceStandIn() as alerce, FinkStandIn() as fink:
        urls = {
            "ALERCE_URL": alerce.api_url,
            "FINK_URL": fink.api_url,
            "YSE_INGEST_BREAKER_FAILURES": "1",
            "YSE_INGEST_PROBE_WAIT": "0.1",
            "YSE_INGEST_PROBE_WAIT_MAX": "0.1",
            "YSE_INGEST_SOURCE_GET_TIMEOUT": "1",
        }
        service = house.service(**urls)
        service.enqueue(NP)
        yield Brokers(house, alerce, fink, service, urls)


def expected(count: int) -> list[float]:
    return [round(18.0 + 0.01 * night, 6) for night in range(count)]


def test_all_are_asked_at_first_and_then_the_first_alone(brokers: Brokers) -> None:
    """A new target is the union of all; afterwards one broker is asked, the others rest."""
    brokers.publish(0, 4, to="alerce")
    brokers.publish(2, 6, to="fink")
    brokers.publish(5, 8, to="mars")

    brokers.cycle()
    assert set(brokers.asked()) == {"alerce", "fink", "mars"}
    assert brokers.mags() == expected(8)
    assert brokers.service.state.choices.get("2019np")["ZTF"].speaks == "alerce"

    brokers.cycle()
    assert set(brokers.asked()) == {"alerce"}


def test_a_silent_source_is_passed_over_until_it_has_caught_up(brokers: Brokers) -> None:
    """It answers, and lacks what another reported long ago: the other one is asked."""
    always = {**brokers.urls, "YSE_INGEST_SILENT_AFTER": "0.001"}
    brokers.publish(0, 3, to="alerce fink")
    brokers.publish(3, 5, to="fink")
    service = brokers.house.service(**always)
    for _ in range(3):
        brokers.house.cycle(service, "2019np")
    choice = service.state.choices.get("2019np")["ZTF"]
    assert choice.speaks == "fink"
    assert choice.passed == {"alerce": "lacks the newest 2 exposures of others"}
    brokers.asked()

    brokers.house.cycle(service, "2019np")
    assert set(brokers.asked()) == {"fink"}

    brokers.publish(3, 6, to="alerce")
    service = brokers.house.service(**always, YSE_INGEST_UNION_EVERY="0.001")
    brokers.house.cycle(service, "2019np")
    choice = service.state.choices.get("2019np")["ZTF"]
    assert (choice.speaks, choice.passed) == ("alerce", {})
    assert brokers.mags() == expected(6)


def test_brokers_that_agree_lead_to_each_row_once(brokers: Brokers) -> None:
    """Three copies of each alert are one row, and a second cycle writes nothing."""
    brokers.publish(0, 6)
    brokers.cycle()
    assert brokers.mags() == expected(6)
    brokers.asked()
    writes = len(brokers.house.writes())

    brokers.cycle()

    assert set(brokers.asked()) == {"alerce"}
    assert len(brokers.house.writes()) == writes
    choice = brokers.service.state.choices.get("2019np")["ZTF"]
    assert (choice.speaks, choice.passed, choice.disagreements) == ("alerce", {}, ())


@pytest.mark.parametrize(
    "fault",
    [Fault("status", status=500), Fault("status", status=503), Fault("down")],
    ids=["500", "503", "lost connections"],
)
def test_the_next_is_asked_while_the_first_is_down_and_not_after(
    brokers: Brokers, fault: Fault
) -> None:
    """In the same round, visibly; and the first again when it answers."""
    brokers.publish(0, 3)
    brokers.cycle()
    brokers.alerce.faults.add(fault)
    brokers.publish(3, 5, to="fink")
    brokers.asked()

    brokers.cycle()

    assert brokers.mags() == expected(5)
    choice = brokers.service.state.choices.get("2019np")["ZTF"]
    assert choice.speaks == "fink"
    assert "alerce" in choice.passed
    assert "mars" not in brokers.asked()

    brokers.alerce.faults.clear()
    brokers.publish(3, 6, to="alerce")
    wait_for_probe(brokers.service)
    brokers.cycle()
    assert brokers.mags() == expected(6)
    choice = brokers.service.state.choices.get("2019np")["ZTF"]
    assert (choice.speaks, choice.passed) == ("alerce", {})
    assert "fink" not in brokers.asked()


def test_garbage_is_no_answer_and_the_next_is_asked(brokers: Brokers) -> None:
    """A page of HTML in place of a light curve costs nothing but another question."""
    brokers.publish(0, 3)
    brokers.cycle()
    brokers.alerce.faults.add(Fault("garbage"))
    brokers.publish(3, 5, to="fink")

    brokers.cycle()

    assert brokers.mags() == expected(5)
    assert brokers.service.state.choices.get("2019np")["ZTF"].speaks == "fink"


@pytest.mark.parametrize("liar", ["alerce", "fink"])
def test_a_lie_is_reported_and_the_first_stands(brokers: Brokers, liar: str) -> None:
    """Another magnitude for one candid: told, never averaged, never a second row."""
    honest = {"alerce", "fink", "mars"} - {liar}
    brokers.publish(0, 3, to=" ".join(honest))
    lie = (OBJECT, 2458501.5, "r", 17.0, 0.05, RA, DEC)
    candid = candid_of(2458501.5)
    if liar == "alerce":
        brokers.alerce.add_detection(*lie, candid=candid)
        for night in (0, 2):
            brokers.publish(night, night + 1, to="alerce")
    else:
        brokers.fink.add_alert(*lie, candid=candid)
        for night in (0, 2):
            brokers.publish(night, night + 1, to="fink")

    brokers.cycle()
    brokers.cycle()

    stands = 17.0 if liar == "alerce" else 18.01
    assert brokers.mags() == [18.0, stands, 18.02]
    told = brokers.service.state.choices.get("2019np")["ZTF"].disagreements
    assert told
    assert all(str(candid) in fact and "that of alerce stands" in fact for fact in told)
    assert any(liar in fact for fact in told)


def test_a_fallback_corrects_nothing_that_the_first_has_said(brokers: Brokers) -> None:
    """Who is asked instead cannot change what the first's values are."""
    brokers.publish(0, 3, to="alerce")
    jd = 2458501.5
    brokers.fink.add_alert(OBJECT, jd, "r", 17.0, 0.05, RA, DEC, candid=candid_of(jd))
    brokers.cycle()
    brokers.alerce.faults.add(Fault("status", status=500))

    for _ in range(3):
        brokers.cycle()

    assert brokers.mags() == expected(3)


def test_a_value_of_a_lesser_source_gives_way_to_the_first(brokers: Brokers) -> None:
    """What fink said while alerce was down is corrected in its row, not sent again."""
    jd = 2458501.5
    brokers.alerce.faults.add(Fault("status", status=500))
    brokers.publish(0, 1, to="fink")
    brokers.fink.add_alert(OBJECT, jd, "r", 17.0, 0.05, RA, DEC, candid=candid_of(jd))
    brokers.cycle()
    assert brokers.mags() == [18.0, 17.0]
    brokers.alerce.faults.clear()
    brokers.publish(0, 2, to="alerce")
    wait_for_probe(brokers.service)

    brokers.cycle()

    assert brokers.mags() == expected(2)


@pytest.mark.parametrize("order", ["alerce,fink", "fink,alerce"])
def test_what_is_not_clear_at_one_source_is_taken_from_none(
    brokers: Brokers, order: str
) -> None:
    """Two objects at ALeRCE, one at Fink: ambiguous, until a person names the object."""
    brokers.publish(0, 3)
    near = ("ZTF19nearby", 2458490.5, "g", 17.0, 0.05, RA, DEC + 2.0 / 3600)
    brokers.alerce.add_detection(*near, candid=candid_of(2458490.5))
    brokers.service.enqueue(Target("2019np", source="alerce,fink"))
    for _ in range(2):
        brokers.cycle()
    assert brokers.mags() == []
    (line,) = overview(brokers.service, ["2019np"])
    assert line.answer.startswith("ambiguous: ")
    assert "ZTF19nearby" in line.answer

    brokers.service.enqueue(Target("2019np", source=order, object_id=OBJECT))
    for _ in range(2):
        brokers.cycle()

    assert brokers.mags() == expected(3)
    assert overview(brokers.service, ["2019np"])[0].trouble is None


def test_a_source_without_address_does_not_stop_the_others(brokers: Brokers) -> None:
    """MARS that nobody has configured is passed over."""
    brokers.publish(0, 2, to="fink")
    service = brokers.house.service(
        MARS_URL="", FINK_URL=brokers.fink.api_url, ALERCE_URL=brokers.alerce.api_url
    )
    service.enqueue(Target("2019np", source="mars,fink"))

    brokers.house.cycle(service, "2019np")

    assert brokers.mags() == expected(2)
    assert "mars" in service.state.choices.get("2019np")["ZTF"].passed


def test_a_target_that_is_forgotten_leaves_nothing(brokers: Brokers) -> None:
    """Choice and sightings go with it."""
    brokers.publish(0, 2)
    brokers.cycle()
    assert len(brokers.service.state.choices.sightings("2019np", "ZTF"))

    brokers.service.state.targets.remove("2019np")

    assert brokers.service.state.choices.get("2019np") == {}
    assert not len(brokers.service.state.choices.sightings("2019np", "ZTF"))


def wait_for_probe(service: Service) -> None:
    """Wait until a source that is down may be tried again."""
    until_ms = service.state.source_breaker("alerce").state()["next_ms"]
    while service.state.now_ms() <= until_ms:
        pass


def test_people_are_told_of_a_disagreement_and_of_a_source_that_lacks_news(
    brokers: Brokers,
) -> None:
    """As notices that are no failure, and over when the brokers agree again."""
    service = brokers.house.service(**brokers.urls, YSE_INGEST_SILENT_AFTER="0.001")
    brokers.publish(0, 3, to="alerce fink mars")
    brokers.publish(3, 4, to="fink")
    jd = 2458504.5
    for add, mag in ((brokers.alerce.add_detection, 18.5), (brokers.fink.add_alert, 18.0)):
        add(OBJECT, jd, "g", mag, 0.05, RA, DEC, candid=candid_of(jd))
    brokers.publish(5, 6, to="fink")
    for _ in range(3):
        brokers.house.cycle(service, "2019np")

    found = {each.key: each for each in conditions(look(service, service.state))}

    assert "18.500" in found["disagreement:2019np"].fact
    assert "18.000" in found["disagreement:2019np"].fact
    assert "that of alerce stands" in found["disagreement:2019np"].fact
    assert found["lacking:alerce"].fact.endswith("fink is asked instead")
    assert not any(found[key].failure for key in ("disagreement:2019np", "lacking:alerce"))
    (line,) = overview(service, ["2019np"])
    assert (line.source, line.disputed) == ("fink", 1)
    assert set(line.sources) == {"alerce", "fink", "mars"}
    assert set(line.passed) == {"alerce"}
    assert "sources disagree (1)" in str(line.trouble)


def test_a_source_that_is_down_is_told_and_the_target_is_fresh(brokers: Brokers) -> None:
    """One that is down is told as such; a target with another one is fresh."""
    service = brokers.house.service(
        **brokers.urls,
        YSE_INGEST_LIMIT_SOURCE="0.01",
    )
    brokers.publish(0, 2)
    brokers.house.cycle(service, "2019np")
    brokers.alerce.faults.add(Fault("down"))
    brokers.house.cycle(service, "2019np")
    sight = look(service, service.state)
    assert [source for _, source, _, _ in sight.asked] == ["fink"]
    told = {each.key for each in conditions(sight)}
    assert "source:alerce" in told
    assert "stale:2019np" not in told


def test_sources_of_different_surveys_are_all_asked(brokers: Brokers, tmp_path: Path) -> None:
    """One that is down comes again before its time, and the other one is not asked for that."""
    head = "# instrument: ZTF-Cam\n# obs_group: ZTF\n# public: true\nmjd,band,mag,mag_err\n"
    (tmp_path / "2019np.csv").write_text(f"{head}58600.123456,g-ZTF,17.5,0.05\n")
    urls = {**brokers.urls, "YSE_INGEST_FILES": str(tmp_path)}
    service = brokers.house.service(**urls)
    service.enqueue(Target("2019np", source="alerce,files"))
    brokers.publish(0, 2, to="alerce")
    brokers.alerce.faults.add(Fault("down"))

    brokers.house.cycle(service, "2019np")

    assert brokers.mags() == [17.5]
    clocks = service.state.clocks.get("2019np")
    asked_ms = clocks["files"].asked_ms
    due_ms = service.state.targets.due_ms("2019np")
    assert due_ms is not None
    assert due_ms < service.state.now_ms() + 1000 * service.settings.cadence_s / 2

    brokers.alerce.faults.clear()
    wait_for_probe(service)
    brokers.house.cycle(service, "2019np")

    assert sorted(brokers.mags()) == [17.5, *expected(2)]
    assert service.state.clocks.get("2019np")["files"].asked_ms == asked_ms

    brokers.house.cycle(service, "2019np")
    assert service.state.clocks.get("2019np")["files"].asked_ms > asked_ms


def test_no_limit_is_sent_after_a_detection_that_another_source_has(brokers: Brokers) -> None:
    """The first source answers first, with limits later than what the second has detected."""
    service = brokers.house.service(**brokers.urls, YSE_INGEST_UPPER_LIMITS="before")
    brokers.publish(5, 8, to="alerce")
    brokers.publish(2, 8, to="fink")
    for night in range(5):
        brokers.alerce.add_non_detection(OBJECT, 2458500.75 + night, "r", 20.37)

    brokers.house.cycle(service, "2019np")

    rows = brokers.house.ysepz.rows("2019np")
    limits = sorted(str(row["obs_date"])[:10] for row in rows if row["mag"] is None)
    assert limits == ["2019-01-17", "2019-01-18"]
    assert len(rows) == 2 + 6


def test_one_private_source_makes_a_target_private(brokers: Brokers, tmp_path: Path) -> None:
    """Beside a public broker, a file for a group: of that target nothing but counts is told."""
    head = "# instrument: ZTF-Cam\n# obs_group: YSE\n# groups: UCSC\nmjd,band,mag,mag_err\n"
    (tmp_path / "2019np.csv").write_text(f"{head}58600.123456,g-ZTF,17.5,0.05\n")
    targets = tmp_path / "targets.toml"
    targets.write_text('[sources.files]\nobs_group = "YSE"\ngroups = ["UCSC"]\n')
    service = brokers.house.service(
        **brokers.urls,
        YSE_INGEST_FILES=str(tmp_path),
        YSE_INGEST_TARGETS=str(targets),
    )
    brokers.publish(0, 2, to="alerce")
    service.enqueue(Target("2019np", source="alerce"))
    assert not look(service, service.state).private
    service.enqueue(Target("2019np", source="alerce,files"))

    brokers.house.cycle(service, "2019np")

    assert len(brokers.house.ysepz.rows("2019np")) == 3
    assert look(service, service.state).private == {"2019np"}
    assert schedule_of(service, "2019np").is_private
    (line,) = overview(service, ["2019np"])
    assert line.private


def test_up_sees_when_a_target_of_several_sources_is_done(
    brokers: Brokers, tmp_path: Path
) -> None:
    """It looks at the one whose answers hold in each survey: `up --once` ends."""
    head = "# instrument: ZTF-Cam\n# obs_group: ZTF\n# public: true\nmjd,band,mag,mag_err\n"
    (tmp_path / "2019np.csv").write_text(f"{head}58600.123456,g-ZTF,17.5,0.05\n")
    service = brokers.house.service(**brokers.urls, YSE_INGEST_FILES=str(tmp_path))
    service.enqueue(Target("2019np", source="alerce,fink,files"))
    (before,) = progress(service)
    assert (before.source, before.state) == ("alerce, files", "waiting")
    brokers.publish(0, 4)
    brokers.alerce.faults.add(Fault("down"))
    since_ms = service.state.now_ms()

    brokers.house.cycle(service, "2019np")

    (after,) = progress(service, since_ms=since_ms)
    assert (after.source, after.state, after.delivered) == ("fink, files", "verified", 5)
    assert progress(service, since_ms=service.state.now_ms() + 1)[0].state == "waiting"
