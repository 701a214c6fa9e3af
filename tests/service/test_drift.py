"""A source whose format changed is stopped alone, told with its field, and comes back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from yse_ingest.sandbox.alerce import AlerceStandIn
from yse_ingest.sandbox.faults import Fault
from yse_ingest.targets import Target

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.service.conftest import House
    from yse_ingest.service import Service

RENAMED = Fault("drifted", edits={'"magpsf"': '"mag_psf"'})
FACT = "format changed: field candidate.magpsf missing"
SECRET = "0123456789abcdef-secret"


@pytest.fixture
def alerce() -> Iterator[AlerceStandIn]:
    with AlerceStandIn() as stand_in:
        stand_in.add_detection("ZTF20b", 2458500.5, "g", 18.0, 0.05, 10.0, 10.0)
        yield stand_in


@pytest.fixture
def service(house: House, alerce: AlerceStandIn) -> Service:
    """Return a service that follows three targets at MARS and one at ALeRCE."""
    house.alerts("ZTF19a", 4)
    house.ysepz.add_transient("2020b", 10.0, 10.0)
    house.ysepz.add_transient("2020c", 20.0, 10.0)
    house.ysepz.add_transient("2020d", 30.0, 10.0)
    service = house.service(
        ALERCE_URL=alerce.api_url, YSE_INGEST_PROBE_WAIT="60", LASAIR_TOKEN=SECRET
    )
    service.enqueue(Target("2019np"))
    service.enqueue(Target("2020b", source="alerce"))
    service.enqueue(Target("2020c"))
    service.enqueue(Target("2020d"))
    return service


@pytest.fixture
def impatient(house: House, service: Service) -> Service:
    """Return a worker of the same service that probes soon."""
    return house.service(YSE_INGEST_PROBE_WAIT="0.05", LASAIR_TOKEN=SECRET)


def test_one_message_stops_the_source_and_no_other(house: House, service: Service) -> None:
    """One reply of four rows is enough: the breaker opens with the field, ALeRCE goes on."""
    house.mars.faults.add(RENAMED)

    service.refresh(["2019np", "2020b"])

    breaker = service.state.source_breaker("mars").state()
    assert (breaker["open"], breaker["reason"]) == (True, FACT)
    assert not service.state.source_breaker("alerce").state()["open"]
    assert service.state.clocks.get("2020b")["alerce"].status == "ok"
    (trouble,) = service.state.troubles.all()
    assert (trouble.kind, trouble.subject, trouble.fact) == ("format", "mars", f"mars: {FACT}")
    record = service.state.source_records.get("mars")
    assert (record.answer, record.condition, record.reason) == ("error", "format changed", FACT)
    asked = len(house.mars.log)
    service.refresh(["2020c"])
    assert len(house.mars.log) == asked
    assert service.state.clocks.get("2020c")["mars"].error == "mars is down"


def test_probes_bring_it_back_when_its_rows_can_be_read(
    house: House, impatient: Service
) -> None:
    """An empty answer proves nothing about rows; a row that can be read ends it all."""
    service = impatient
    house.mars.faults.add(RENAMED)
    service.refresh(["2019np"])
    house.mars.faults.clear()
    breaker = service.state.source_breaker("mars")

    _when_due(service, breaker.state()["next_ms"])
    service.refresh(["2020c"])
    assert service.state.clocks.get("2020c")["mars"].status == "empty"
    assert breaker.state()["open"]
    assert service.state.troubles.all()

    service.refresh(["2019np"])
    assert not breaker.state()["open"]
    assert not service.state.troubles.all()
    record = service.state.source_records.get("mars")
    assert (record.condition, record.before) == ("ok", "format changed")
    assert service.state.outbox.owed(service.state.outbox.rows(10)[0].key) is not None


def test_the_reply_is_kept_without_secrets(house: House, impatient: Service) -> None:
    """At most three, newest first; a token in a reply is blanked."""
    service = impatient
    house.mars.faults.add(Fault("drifted", edits={'"magpsf"': '"mag_psf"', "Kulkarni": SECRET}))
    for _ in range(5):
        breaker = service.state.source_breaker("mars").state()
        _when_due(service, breaker["next_ms"])
        service.refresh(["2019np"])

    replies = service.state.source_records.replies("mars")
    assert len(replies) == 3
    assert replies[0].at_ms >= replies[-1].at_ms
    newest = replies[0]
    assert (newest.fact, newest.status) == (FACT, 200)
    assert newest.asked == f"GET {house.mars.url}/"
    assert '"mag_psf":18.0' in newest.body
    assert newest.length == len(newest.body.replace("***", SECRET).encode())
    assert SECRET not in str(replies)


def test_a_long_reply_is_cut(house: House, service: Service) -> None:
    """What is kept is bounded, whatever was sent."""
    house.alerts("ZTF19a", 90, gap_d=2.0)
    house.mars.faults.add(RENAMED)

    service.refresh(["2019np"])

    (reply,) = service.state.source_records.replies("mars")
    assert len(reply.body) == 64 * 1024
    assert reply.length > len(reply.body)


def test_no_reply_of_a_private_target_is_kept(house: House, service: Service) -> None:
    """Which object somebody follows in private stands in no reply that others can see."""
    service = house.service(YSE_INGEST_GROUPS="YSE", YSE_INGEST_NAMESPACE="private-replies")
    service.enqueue(Target("2019np"))
    house.mars.faults.add(RENAMED)

    service.refresh(["2019np"])

    assert service.state.clocks.get("2019np")["mars"].status == "unreadable"
    assert service.state.source_records.replies("mars") == []


def test_few_rows_of_several_targets_are_a_changed_format(
    house: House, service: Service
) -> None:
    """One bad row each of three targets, all for one field, none readable between them."""
    for number, name in enumerate(("2021a", "2021b", "2021c")):
        house.ysepz.add_transient(name, 50.0 + number, 10.0)
        house.mars.add_alert(f"ZTF21{name}", 2458500.5, "g", 18.0, 0.05, 50.0 + number, 10.0)
        service.enqueue(Target(name))
    house.mars.faults.add(RENAMED)

    service.refresh(["2021a", "2021b"])
    service.refresh(["2021a", "2021b"])
    assert service.state.troubles.all() == []
    service.refresh(["2021c"])

    (trouble,) = service.state.troubles.all()
    assert trouble.fact == f"mars: {FACT}"
    assert service.state.source_breaker("mars").state()["open"]


def test_a_list_of_objects_that_cannot_be_read_is_a_changed_format(
    house: House, alerce: AlerceStandIn
) -> None:
    """Three targets whose cone answers without the id of the object: its field is named."""
    service = house.service(ALERCE_URL=alerce.api_url, YSE_INGEST_PROBE_WAIT="60")
    for number, name in enumerate(("2022a", "2022b", "2022c")):
        house.ysepz.add_transient(name, 50.0 + number, 10.0)
        alerce.add_detection(f"ZTF22{name}", 2458500.5, "g", 18.0, 0.05, 50.0 + number, 10.0)
        service.enqueue(Target(name, source="alerce"))
    alerce.faults.add(Fault("drifted", edits={'"oid"': '"object"'}))

    service.refresh(["2022a", "2022b"])
    assert service.state.troubles.all() == []
    service.refresh(["2022c"])

    (trouble,) = service.state.troubles.all()
    assert trouble.fact == "alerce: format changed: field oid missing"
    assert service.state.source_breaker("alerce").state()["open"]
    assert not service.state.source_breaker("mars").state()["open"]


def test_bad_rows_among_good_answers_stop_nothing(house: House, service: Service) -> None:
    """A target all of whose rows are bad is one bad target while others can be read."""
    for number in range(4):
        house.mars.add_alert(
            "ZTF20c", 2458500.5 + number, "g", 18.0, 0.05, 20.0, 10.0, isdiffpos="x"
        )

    service.refresh(["2020c", "2019np"])

    assert service.state.clocks.get("2020c")["mars"].status == "unreadable"
    assert not service.state.source_breaker("mars").state()["open"]
    assert service.state.troubles.all() == []


def _when_due(service: Service, next_ms: int) -> None:
    while service.state.now_ms() < next_ms:
        pass
