"""The same promise over HTTP: the whole service, Redis, both stand-ins, lost replies."""

from __future__ import annotations

import contextlib
import itertools
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

from tests.campaigns.fuzz.tally import BrokenPromiseError, Family
from yse_ingest.sandbox.faults import Fault, FaultKind
from yse_ingest.sandbox.mars import MarsStandIn
from yse_ingest.sandbox.ysepz import YsePzStandIn
from yse_ingest.service import Service
from yse_ingest.settings import Settings
from yse_ingest.state.embedded import EmbeddedRedis
from yse_ingest.targets import Target
from yse_ingest.times import to_obs_date

if TYPE_CHECKING:
    from collections.abc import Iterator

RA, DEC = 157.3415, 29.5106667
FIRST_JD = 2458500.5
REST_S = 20.0
"""A run that is not at rest by then is a finding [s]."""

_numbers = itertools.count(1)
_redis: dict[str, EmbeddedRedis] = {}


def _valkey() -> EmbeddedRedis:
    if "server" not in _redis:
        server = EmbeddedRedis(Path(tempfile.mkdtemp(prefix="fuzz-")))
        server.__enter__()
        _redis["server"] = server
    return _redis["server"]


def close() -> None:
    """End the Redis of this process, where there is one."""
    for server in _redis.values():
        server.__exit__(None, None, None)
    _redis.clear()


@contextlib.contextmanager
def _house() -> Iterator[tuple[MarsStandIn, YsePzStandIn, Service]]:
    with (
        MarsStandIn() as mars,
        YsePzStandIn() as ysepz,
        tempfile.TemporaryDirectory(prefix="fuzz-") as home,
    ):
        ysepz.add_transient("2019np", RA, DEC, redshift=0.00452, best_spec_class="SN Ia")
        environment = {
            "MARS_URL": mars.url,
            "YSE_PZ_URL": ysepz.url,
            "YSE_PZ_USERNAME": "ingest",
            "YSE_PZ_PASSWORD": "sandbox-only",
            "XDG_STATE_HOME": home,
            "YSE_INGEST_STATE_DIR": home,
            "YSE_INGEST_STATE_URL": _valkey().url(1),
            "YSE_INGEST_NAMESPACE": f"fuzz-{next(_numbers)}",
            "YSE_PZ_READ_TIMEOUT": "2",
            "YSE_PZ_REQUEST_LIMIT": "0.02",
            "YSE_INGEST_SETTLE_GAP": "0.01",
            "YSE_INGEST_REQUEST_SECONDS": "0.2",
            "YSE_INGEST_RETRY_WAIT": "0.01",
            "YSE_INGEST_OWED_WAIT": "0.01",
        }
        service = Service.from_settings(Settings.from_env(environment))
        service.enqueue(Target("2019np"))
        yield mars, ysepz, service
        service.ysepz.close()
        service.state.close()
        service.source("mars").close()


def _cycle(service: Service) -> None:
    end = time.monotonic() + REST_S
    hints = service.refresh(["2019np"])
    key = "1"
    while hints or service.state.outbox.owed(key) is not None:
        if time.monotonic() > end:
            row = service.state.outbox.owed(key)
            raise BrokenPromiseError(f"not at rest after {REST_S} s: {row}"[:500])
        for hint in hints:
            attempt, wait = 1, 0.0
            while attempt < 6:
                outcome = service.upload(hint.name, hint.key, hint.fence, attempt=attempt)
                if outcome.retry_in is None:
                    break
                wait, attempt = outcome.retry_in, attempt + 1
                time.sleep(wait)
        time.sleep(0.01)
        hints = service.drain()


def over_http(events: list[tuple[Any, ...]]) -> int:
    """Whatever happens: each exposure once, nothing foreign changed, then silence."""
    with _house() as (mars, ysepz, service):
        candids: list[int] = []
        curated = ysepz.transient_row("2019np")
        for what, *facts in [*events, ("upload", [])]:
            if what == "expose":
                jd, band, mag = facts
                candid = 1_000_000_000_000_000_000 + len(candids)
                mars.add_alert(
                    "ZTF19aacgslb", FIRST_JD + jd, band, mag, 0.05, RA, DEC, candid=candid
                )
                candids.append(candid)
            elif what == "revise" and candids:
                mars.update_alert(candids[facts[0] % len(candids)], magpsf=facts[1])
            elif what == "foreign":
                date = str(to_obs_date(_jd(facts[0], facts[1]))[0])
                row = {"obs_date": date, "band": "g-ZTF", "mag": facts[2], "mag_err": 0.1}
                ysepz.add_photometry("2019np", [row])
            elif what == "forget":
                service.state.ledgers.drop(1)
            elif what == "upload":
                _upload(service, ysepz, facts[0], curated)
    return len(events) + 1


def _jd(days: float, seconds: float) -> Any:
    import numpy as np

    return np.array([FIRST_JD + days + seconds / 86400])


def _upload(
    service: Service, ysepz: YsePzStandIn, faults: list[FaultKind], curated: dict[str, Any]
) -> None:
    def foreign() -> list[Any]:
        return [row for row in ysepz.rows("2019np") if row["created_by"] != "ingest"]

    before = foreign()
    for kind in faults:
        ysepz.faults.add(Fault(kind, path="add_transient_phot", times=1))
    _cycle(service)
    ysepz.faults.clear()
    if foreign() != before:
        raise BrokenPromiseError("a row of another program has changed")
    if ysepz.transient_row("2019np") != curated:
        raise BrokenPromiseError("the transient's row has changed")
    rows = ysepz.rows("2019np")
    times = Counter(
        (row["obs_date"], row["band"]) for row in rows if row["created_by"] == "ingest"
    )
    if doubled := [key for key, count in times.items() if count > 1]:
        raise BrokenPromiseError(f"stored twice: {doubled}")
    requests = len(ysepz.log)
    _cycle(service)
    if len(ysepz.log) != requests:
        raise BrokenPromiseError("a quiet cycle asked YSE-PZ something")


_DAYS = st.sampled_from([0.0, 1.0, 1.0001, 1.0004, 2.0, 2.00001, 3.0, 5.0, 5.5])
_EVENT = (
    st.tuples(st.just("expose"), _DAYS, st.sampled_from("gr"), st.floats(15, 20))
    | st.tuples(st.just("expose"), st.floats(0, 9), st.just("g"), st.floats(15, 20))
    | st.tuples(st.just("revise"), st.integers(0, 9), st.floats(15, 20))
    | st.tuples(
        st.just("foreign"),
        _DAYS,
        st.sampled_from([0.0, 0.4, 0.9, 15.0, 39.0]),
        st.floats(15, 20),
    )
    | st.tuples(st.just("forget"))
    | st.tuples(
        st.just("upload"),
        st.lists(
            st.sampled_from(
                ["drop_after", "drop_before", "cut", "truncated", "garbage", "status"]
            ),
            max_size=2,
        ),
    )
)
FAMILIES = (
    Family(
        "service over HTTP",
        0.005,
        st.lists(_EVENT, min_size=4, max_size=12),
        over_http,
        weight=6,
    ),
)
