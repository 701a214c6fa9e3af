"""A stand-in YSE-PZ with one curated transient, and a client of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from yse_ingest.photometry import LightCurve, flux_err_of_mag_err, flux_of_mag
from yse_ingest.sandbox.ysepz import YsePzStandIn
from yse_ingest.times import parse_obs_dates
from yse_ingest.ysepz import Account, Timeouts, YsePz

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ACCOUNT = Account(username="ingest", password="sandbox-only")


@pytest.fixture(name="server")
def _server() -> Iterator[YsePzStandIn]:
    with YsePzStandIn() as server:
        server.add_transient(
            "2019np",
            157.3415,
            29.5106667,
            status="Following",
            obs_group="ZTF",
            tags=("YSE",),
            redshift=0.00452,
            best_spec_class="SN Ia",
            disc_date="2019-01-09T00:00:00",
            created_by="human",
        )
        yield server


@pytest.fixture(name="make_client")
def _make_client(server: YsePzStandIn) -> Iterator[Callable[..., YsePz]]:
    made: list[YsePz] = []

    def make(url: str | None = None, account: Account = ACCOUNT, **options: Any) -> YsePz:
        options.setdefault("timeouts", Timeouts(connect_s=2.0, read_s=5.0))
        client = YsePz(url or server.url, account, **options)
        made.append(client)
        return client

    yield make
    for client in made:
        client.close()


@pytest.fixture(name="client")
def _client(make_client: Callable[..., YsePz]) -> YsePz:
    return make_client()


@pytest.fixture(name="curve")
def _curve() -> Callable[..., LightCurve]:
    def make(
        *dates: str,
        mag: float = 17.0,
        band: str = "g-ZTF",
        obs_group: str = "ZTF",
        negative: bool = False,
    ) -> LightCurve:
        mags = np.full(len(dates), mag)
        errors = np.full(len(dates), 0.05)
        flux = flux_of_mag(mags) * (-1 if negative else 1)
        missing = np.full(len(dates), np.nan)
        return LightCurve(
            native_id=np.array([str(number) for number in range(len(dates))], dtype="U"),
            time_ms=parse_obs_dates(list(dates)) if dates else np.empty(0, np.int64),
            band=np.full(len(dates), band),
            mag=missing if negative else mags,
            mag_err=missing if negative else errors,
            flux=flux,
            flux_err=flux_err_of_mag_err(flux, errors),
            instrument="ZTF-Cam",
            obs_group=obs_group,
        )

    return make
