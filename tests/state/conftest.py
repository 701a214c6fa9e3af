"""A real Valkey for the session; a namespace of its own for each test."""

from __future__ import annotations

import time
import uuid
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from yse_ingest.photometry import LightCurve, flux_err_of_mag_err, flux_of_mag
from yse_ingest.state import State
from yse_ingest.state.embedded import EmbeddedRedis

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    Connect = Callable[..., State]
    MakeCurve = Callable[..., LightCurve]
    Until = Callable[[Callable[[], Any]], Any]


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedRedis]:
    """Run a server for the whole session."""
    with EmbeddedRedis(tmp_path_factory.mktemp("valkey")) as running:
        yield running


@pytest.fixture
def namespace() -> str:
    """Return a namespace that nobody else has."""
    return f"test-{uuid.uuid4().hex[:12]}"


@pytest.fixture
def connect(server: EmbeddedRedis, namespace: str) -> Iterator[Connect]:
    """Connect to this test's namespace, as often as wanted: each time another process."""
    opened: list[State] = []

    def open_state(
        *, decisions: Path | None = None, namespace: str = namespace, limit_s: float = 30.0
    ) -> State:
        state = State.connect(
            server.url(), namespace=namespace, decisions=decisions, request_limit_s=limit_s
        )
        opened.append(state)
        return state

    yield open_state
    for state in opened:
        state.close()


@pytest.fixture
def state(connect: Connect) -> State:
    """Return a state without a file of decisions."""
    return connect()


@pytest.fixture
def curve() -> MakeCurve:
    """Make a light curve from times [ms] and magnitudes; None is a negative subtraction."""

    def make(
        times: Sequence[int] = (1_000, 2_000, 3_000),
        mags: Sequence[float | None] | None = None,
        *,
        instrument: str = "ZTF-Cam",
        obs_group: str = "ZTF",
        band: str = "r-ZTF",
    ) -> LightCurve:
        given = [19.0] * len(times) if mags is None else mags
        mag = np.array([np.nan if value is None else value for value in given], dtype=float)
        flux = np.where(np.isnan(mag), -20.0, flux_of_mag(np.nan_to_num(mag, nan=19.0)))
        mag_err = np.where(np.isnan(mag), np.nan, 0.1)
        return LightCurve(
            native_id=np.array([str(10**17 + value) for value in times], dtype="U"),
            time_ms=np.array(times, dtype=np.int64),
            band=np.array([band] * len(times), dtype="U"),
            mag=mag,
            mag_err=mag_err,
            flux=flux,
            flux_err=flux_err_of_mag_err(flux, np.full(len(times), 0.1)),
            instrument=instrument,
            obs_group=obs_group,
        )

    return make


@pytest.fixture
def until() -> Until:
    """Wait until something is true, for 5 s at most, and return it."""

    def wait(condition: Callable[[], Any]) -> Any:
        deadline = time.monotonic() + 5
        while not (found := condition()):
            assert time.monotonic() < deadline, "it did not come true"
            time.sleep(0.005)
        return found

    return wait
