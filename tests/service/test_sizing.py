"""Requests stay far below the limit of a server with one worker: no livelock on big curves.

The shipped YSE-PZ has one worker, which is killed after 30 s. Here it works, and is killed, ten
times as fast.
"""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import requests

from yse_ingest.pipeline import fetch_light_curve
from yse_ingest.sandbox.ysepz import YsePzStandIn
from yse_ingest.targets import Target
from yse_ingest.times import to_obs_date
from yse_ingest.ysepz import documented_request

if TYPE_CHECKING:
    from collections.abc import Iterator

RA, DEC = 157.3415, 29.5106667
NP = Target("2019np")
SCALE = 0.1
LIMIT_S = 30 * SCALE
POINTS = 909
NEW = 101
"""One in so many is not stored yet: 9 of them, spread over the whole light curve."""
FIRST_JD, GAP_D = 2458500.5, 0.3


@pytest.fixture
def shipped(house: Any) -> Iterator[YsePzStandIn]:
    """Run the shipped server, ten times as fast, with 909 points to come from MARS."""
    house.alerts("ZTF19aacgslb", POINTS, gap_d=GAP_D, band="g")
    with YsePzStandIn(workers=1, worker_limit_s=LIMIT_S, real_cost=SCALE) as server:
        server.add_transient("2019np", RA, DEC)
        house.environment |= {
            "YSE_PZ_URL": server.url,
            "YSE_PZ_READ_TIMEOUT": str(65 * SCALE),
            "YSE_PZ_REQUEST_LIMIT": str(LIMIT_S),
            # Of the modelled time, which is that of the real server.
            "YSE_INGEST_REQUEST_SECONDS": "10",
        }
        yield server


def points(every: bool) -> list[dict[str, Any]]:
    jd = FIRST_JD + GAP_D * np.arange(POINTS, dtype=np.float64)
    dates = to_obs_date(jd).tolist()
    return [
        {"obs_date": date, "band": "g-ZTF", "mag": 18.0 + 0.001 * number, "mag_err": 0.05}
        for number, date in enumerate(dates)
        if every or number % NEW != NEW // 2
    ]


def test_nine_points_between_nine_hundred(house: Any, shipped: YsePzStandIn) -> None:
    """Where posting the whole light curve kills the worker each time, ours arrives (trap 4)."""
    shipped.add_photometry("2019np", points(every=False))
    assert len(shipped.rows("2019np")) == 900

    result = house.push(NP)

    assert result.state == "verified"
    assert len(shipped.rows("2019np")) == 909
    # By the model: what a loaded machine takes is another matter.
    assert max(each.cost for each in shipped.log if each.method == "POST") < 10.0


def test_nine_hundred_points_for_an_empty_transient(house: Any, shipped: YsePzStandIn) -> None:
    """A long light curve goes in pieces, each far below the limit, each once."""
    service = house.service()
    service.enqueue(NP)

    house.cycle(service, "2019np")
    deadline = time.monotonic() + 60
    while service.state.outbox.counts()["points"] and time.monotonic() < deadline:
        for hint in service.drain():
            service.upload(hint.name, hint.key, hint.fence, attempt=1)
        time.sleep(0.1)

    rows = Counter(row["obs_date"] for row in shipped.rows("2019np"))
    assert len(rows) == POINTS
    assert set(rows.values()) == {1}
    uploads = [each for each in shipped.log if each.method == "POST"]
    assert max(each.cost for each in uploads) < 0.8 * 30.0
    assert service.state.receipts.last("1")["state"] == "verified"


def test_the_documented_request_never_ends(house: Any, shipped: YsePzStandIn) -> None:
    """Posting the whole light curve is killed, and so is its repeat; ours then ends it."""
    shipped.add_photometry("2019np", points(every=False))
    fetched = fetch_light_curve(
        Target("2019np", ra=RA, dec=DEC), house.service().source("mars")
    )
    request = documented_request(
        Target("2019np", ra=RA, dec=DEC, creation={"status": "Following", "obs_group": "ZTF"}),
        fetched.curve,
        fetched.rules,
        window_ms=1000.0,
    )
    for _ in range(2):
        answer = requests.post(
            f"{shipped.url}/add_transient/",
            json=request,
            auth=("ingest", "sandbox-only"),
            timeout=30,
        )
        assert answer.status_code == 500
        assert len(shipped.rows("2019np")) < 909

    result = house.push(NP)

    assert result.state == "verified"
    assert len({row["obs_date"] for row in shipped.rows("2019np")}) == 909
    assert len(shipped.rows("2019np")) == 909
