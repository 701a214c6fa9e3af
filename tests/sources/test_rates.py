"""How often a source may be asked: what a setting means, and that every request counts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from yse_ingest.errors import SettingsError, SourceHeldBackError
from yse_ingest.meter import LocalMeter, Rate
from yse_ingest.sandbox.faults import Fault
from yse_ingest.settings import Settings
from yse_ingest.sources import SOURCES, Capabilities, build_source, rates_of
from yse_ingest.sources.http import HttpClient
from yse_ingest.sources.mars import MarsSource

if TYPE_CHECKING:
    from collections.abc import Callable

    from yse_ingest.sandbox.mars import MarsStandIn
    from yse_ingest.sources import Ask

    Question = Callable[..., Ask]
    Shower = Callable[..., None]


class Metered(MarsSource):
    """A source whose operators name a figure."""

    capabilities = Capabilities(
        batch_size=1,
        by_id=True,
        by_position=True,
        since="client",
        exposure_tolerance_s=16.0,
        bands=("g",),
        requests_per_hour=100,
    )


@pytest.mark.parametrize(
    ("text", "rates"),
    [
        ("100", (Rate(100, "h"),)),
        ("100/h", (Rate(100, "h"),)),
        (
            "2/s, 60/min,500 / h,1000/d",
            (Rate(2, "s"), Rate(60, "min"), Rate(500, "h"), Rate(1000, "d")),
        ),
        ("", ()),
    ],
    ids=["plain", "hour", "several", "none"],
)
def test_a_rate_is_read(text: str, rates: tuple[Rate, ...]) -> None:
    """A number alone is per hour; several hold together."""
    assert rates_of(SOURCES["mars"], {"MARS_RATE": text}) == rates


@pytest.mark.parametrize("text", ["often", "0/h", "-1/h", "1.5/s", "2/week", "2/s;3/h"])
def test_what_is_no_rate_is_refused_by_name(text: str) -> None:
    """The message names the variable, its value, and how to write it."""
    with pytest.raises(SettingsError, match=r"\(MARS_RATE = '.*'\)\. Write it like 100/h"):
        rates_of(SOURCES["mars"], {"MARS_RATE": text})
    with pytest.raises(SettingsError, match="MARS_RATE"):
        Settings.from_env({"MARS_RATE": text})


def test_what_a_source_declares_holds_until_the_operator_says_otherwise() -> None:
    """Its figure is the default of its setting."""
    assert rates_of(Metered, {}) == (Rate(100, "h"),)
    assert rates_of(Metered, {"MARS_RATE": "50/h"}) == (Rate(50, "h"),)


def test_a_source_built_by_hand_keeps_to_its_rate(
    mars: MarsStandIn, question: Question, shower: Shower
) -> None:
    """Without any Redis: the second question of an hour is not sent."""
    shower(mars, count=2)
    source = build_source("mars", {"MARS_URL": mars.url, "MARS_RATE": "1/h"})

    (first,) = source.fetch([question()])
    (second,) = source.fetch([question()])

    assert first.error is None
    assert isinstance(second.error, SourceHeldBackError)
    assert str(second.error).startswith(
        "MARS: 2019np: held back: its budget of 1/h is spent, it is asked again in 60 min"
    )
    assert len(mars.log) == 1
    source.close()


def test_retries_count_as_requests(mars: MarsStandIn, waits: list[float]) -> None:
    """Three tries are three requests; the turn of a retry is no earlier than its wait."""
    now = [0.0]

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        now[0] += seconds

    meter = LocalMeter("MARS", (Rate(3, "h"),), clock=lambda: now[0])
    mars.faults.add(Fault("status", status=503, times=2))
    http = HttpClient(
        mars.url,
        service="MARS",
        meter=meter,
        sleep=sleep,
        clock=lambda: now[0],
        jitter=lambda: 0.0,
    )

    assert http.get("", {"format": "json"}, deadline=1000.0).status == 200
    assert waits == [0.5, 1.0]
    with pytest.raises(SourceHeldBackError):
        http.get("", {"format": "json"}, deadline=1000.0)
    assert len(mars.log) == 3
    http.close()


def test_a_retry_beyond_the_budget_is_told_as_the_failure(mars: MarsStandIn) -> None:
    """What the source answered says more than that nothing more may be asked."""
    mars.faults.add(Fault("status", status=503))
    http = HttpClient(
        mars.url,
        service="MARS",
        meter=LocalMeter("MARS", (Rate(1, "h"),)),
        sleep=lambda _: None,
        jitter=lambda: 0.0,
    )

    with pytest.raises(Exception, match="answered 503") as caught:
        http.get("", {"format": "json"}, deadline=http.deadline())

    assert type(caught.value).__name__ == "SourceUnavailableError"
    assert len(mars.log) == 1
    http.close()
