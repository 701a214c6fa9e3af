"""What the tests of sources share: asking one, recorded replies, and what comes of them."""

from __future__ import annotations

import json
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from yse_ingest.sandbox.server import Reply, StandIn
from yse_ingest.sources import Ask, Timeouts, build_source
from yse_ingest.times import format_time_ms, to_time_ms

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from yse_ingest.sandbox.server import LoggedRequest, Request
    from yse_ingest.sources import Answer, Source

    Question = Callable[..., Ask]
    Shower = Callable[..., None]
    Served = Callable[[StandIn, int], list[LoggedRequest]]

GOLDEN = Path(__file__).parent / "golden"
FIRST_JD = 2458494.9499


@contextmanager
def asking(name: str, environment: Mapping[str, str], waits: list[float]) -> Iterator[Source]:
    """Give a source that is soon out of patience; what it waits before a retry is noted [s]."""
    source = build_source(
        name,
        environment,
        timeouts=Timeouts(connect_s=2, get_s=2, post_s=2, fetch_s=20),
        sleep=waits.append,
        jitter=lambda: 0.0,
    )
    yield source
    source.close()


def one(source: Source, ask: Ask) -> Answer:
    """Return the answer to one question."""
    (answer,) = source.fetch([ask])
    return answer


def asked(entry: LoggedRequest) -> dict[str, Any]:
    """Return the JSON that a request held."""
    content = json.loads(entry.body)
    assert isinstance(content, dict)
    return content


def time_ms(jd: float) -> int:
    """Return the Unix time of a Julian Date, both UTC [ms]."""
    return int(to_time_ms(np.array([jd]))[0])


def golden(name: str) -> bytes:
    """Return a recorded reply."""
    return (GOLDEN / name).read_bytes()


def answered(
    name: str,
    ask: Ask,
    reply: Callable[[Request], Reply],
    url: str,
    **more: str,
) -> Answer:
    """Return what a source makes of recorded replies; `url` is the variable of its address."""

    class Recorded(StandIn):
        def handle(self, request: Request) -> Reply:
            return reply(request)

    with Recorded() as server:
        source = build_source(name, {url: server.url, **more})
        answer = one(source, ask)
        source.close()
    return answer


def check_alerts(
    answer: Answer, expected: Mapping[str, Any], *, mag_abs: float = 0.0, err_abs: float = 0.0
) -> None:
    """Compare the detections, and the rows that were refused, with those of a golden file."""
    alerts = answer.alerts
    assert alerts.native_id.tolist() == expected["native_id"]
    assert format_time_ms(alerts.time_ms).tolist() == expected["obs_date"]
    assert alerts.band.tolist() == expected["band"]
    assert alerts.mag.tolist() == pytest.approx(expected["mag"], rel=0, abs=mag_abs)
    assert alerts.mag_err.tolist() == pytest.approx(expected["mag_err"], rel=0, abs=err_abs)
    assert alerts.negative.tolist() == expected["negative"]
    assert np.array_equal(
        alerts.quality, np.array(expected["quality"], dtype=float), equal_nan=True
    )
    assert [str(refusal) for refusal in answer.refused] == expected["refused"]


def check_limits(answer: Answer, expected: Mapping[str, Any]) -> None:
    """Compare the upper limits with those of a golden file."""
    limits = answer.limits
    told = zip(format_time_ms(limits.time_ms), limits.band, limits.mag_limit, strict=True)
    assert [list(limit) for limit in told] == expected["limits"]


def check_forced(answer: Answer, expected: Mapping[str, Any], *, flux_abs: float) -> None:
    """Compare forced photometry with that of a golden file."""
    forced = answer.forced
    times, bands, fluxes, errors = zip(*expected["forced"], strict=True)
    assert format_time_ms(forced.time_ms).tolist() == list(times)
    assert forced.band.tolist() == list(bands)
    assert forced.flux.tolist() == pytest.approx(fluxes, rel=0, abs=flux_abs)
    assert forced.flux_err.tolist() == pytest.approx(errors, rel=0, abs=flux_abs)
