"""The budget of a source, seen from the targets: put off with the reason, asked in turn."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from yse_ingest.sandbox.faults import Fault
from yse_ingest.targets import Target

if TYPE_CHECKING:
    from tests.service.conftest import House
    from yse_ingest.service import Service

NAMES = [f"2021{letter}" for letter in "abcdef"]


@pytest.fixture
def sky(house: House) -> House:
    """Return a house with six transients that MARS knows."""
    for number, name in enumerate(NAMES):
        house.ysepz.add_transient(name, 50.0 + number, 10.0)
        house.mars.add_alert(f"ZTF{name}", 2458500.5, "g", 18.0, 0.05, 50.0 + number, 10.0)
    return house


def following(sky: House, **changes: str) -> Service:
    service = sky.service(state=True, **changes)
    for name in NAMES:
        service.enqueue(Target(name))
    return service


def test_a_target_beyond_the_budget_is_put_off_with_the_reason(sky: House) -> None:
    """Two requests an hour: two targets are asked, the others wait, and no breaker opens."""
    service = following(sky, MARS_RATE="2/h")

    for name in NAMES:
        service.refresh([name])

    assert len(sky.mars.log) == 2
    clocks = {name: service.state.clocks.get(name)["mars"] for name in NAMES}
    assert [clock.silence for clock in clocks.values()] == ["answered"] * 2 + [
        "never asked"
    ] * 4
    assert clocks["2021c"].error == "mars is held back: its budget of 2/h is spent"
    due_s = [
        ((service.state.targets.due_ms(name) or 0) - service.state.now_ms()) / 1000
        for name in NAMES[2:]
    ]
    # All of them are one request to MARS, once there is one.
    assert due_s == pytest.approx([3600] * 4, abs=20)
    assert not service.state.source_breaker("mars").state()["open"]
    assert service.meter("mars").state()["rates"] == {"2/h": 2}
    assert service.meter("mars").state()["waiting"] == 4


def test_a_message_that_outruns_the_budget_loses_no_target(sky: House) -> None:
    """One message for six targets, one by one: those that were not asked come again in turn."""
    service = following(sky, ALERCE_URL="http://127.0.0.1:9", MARS_RATE="1/s")
    meter = service.meter("mars")

    service.refresh(NAMES)
    asked = {name for name in NAMES if service.state.clocks.get(name).get("mars")}
    assert asked == set(NAMES)
    assert len(sky.mars.log) == 1
    assert meter.state()["waiting"] == 0


def test_everybody_is_asked_in_the_end(sky: House) -> None:
    """Six targets due all the time, two requests a second: each has its turn, none starves."""
    service = following(sky, MARS_RATE="2/s")
    deadline = time.monotonic() + 20
    waiting = set(NAMES)
    while waiting and time.monotonic() < deadline:
        for name in NAMES:
            service.refresh([name])
            clock = service.state.clocks.get(name).get("mars")
            if clock is not None and clock.answered_ms is not None:
                waiting.discard(name)
    assert not waiting
    times = sorted(entry.started for entry in sky.mars.log)
    assert all(later - earlier > 1.0 for earlier, later in zip(times, times[2:], strict=False))


def test_a_429_is_obeyed_by_every_worker(sky: House) -> None:
    """One worker is told to wait for two minutes: the next one does not ask at all."""
    sky.mars.faults.add(Fault("status", status=429, headers={"Retry-After": "120"}))
    first, second = following(sky), sky.service()

    first.refresh(NAMES[:1])
    second.refresh(NAMES[1:2])

    assert len(sky.mars.log) == 1
    clock = second.state.clocks.get(NAMES[1])["mars"]
    assert clock.error == "mars is held back: it answered 429 and asked us to wait"
    due_ms = second.state.targets.due_ms(NAMES[1]) or 0
    assert (due_ms - second.state.now_ms()) / 1000 == pytest.approx(120, abs=5)


@pytest.mark.parametrize(
    "headers",
    [
        {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "90"},
        {"RateLimit-Remaining": "0", "RateLimit-Reset": "a Unix time"},
        {"x-cone-rate-limit-remaining": "Exceeded", "x-cone-rate-limit-reset": "90"},
    ],
    ids=["seconds", "unix-time", "cone"],
)
def test_a_used_up_quota_is_obeyed_before_it_is_refused(
    sky: House, headers: dict[str, str]
) -> None:
    """An answer that says "none left" counts, although it is one."""
    at = str(int(time.time()) + 90)
    headers = {name: at if text == "a Unix time" else text for name, text in headers.items()}
    sky.mars.faults.add(
        Fault(
            "status",
            status=200,
            headers={**headers, "Content-Type": "application/json"},
            body='{"results": []}',
        )
    )
    service = following(sky)

    service.refresh(NAMES[:1])
    service.refresh(NAMES[1:2])

    assert service.state.clocks.get(NAMES[0])["mars"].status == "empty"
    assert len(sky.mars.log) == 1
    closed_ms = service.meter("mars").state()["closed_until_ms"]
    assert 30 < (closed_ms - service.state.now_ms()) / 1000 <= 90
