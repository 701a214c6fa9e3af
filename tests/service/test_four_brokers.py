"""Thirty-one real supernovae from several brokers, each of which lacks a part."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from yse_ingest.delta import TWIN_MS
from yse_ingest.sandbox import supernovae
from yse_ingest.sandbox.alerce import AlerceStandIn
from yse_ingest.sandbox.fink import FinkStandIn
from yse_ingest.sandbox.lasair import TOKEN, LasairStandIn
from yse_ingest.targets import Target, separation_arcsec
from yse_ingest.times import parse_obs_dates

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from yse_ingest.sandbox.supernovae import Supernova
    from yse_ingest.service import Service

JD_OF_UNIX_ZERO = 2440587.5
BROKERS = ("alerce", "fink", "lasair", "mars")


@pytest.fixture
def alerce() -> Iterator[AlerceStandIn]:
    with AlerceStandIn() as server:
        yield server


@pytest.fixture
def fink() -> Iterator[FinkStandIn]:
    with FinkStandIn() as server:
        yield server


@pytest.fixture
def lasair() -> Iterator[LasairStandIn]:
    with LasairStandIn() as server:
        yield server


def unix_ms(jd: float) -> int:
    """Return a JD (UTC) as Unix time [ms]."""
    return round((jd - JD_OF_UNIX_ZERO) * 86_400_000)


def belonging(published: Supernova) -> Supernova:
    """Leave out what lies more than 1.5" from its object: one row of all, and a first one."""
    alerts = tuple(
        alert
        for alert in published.alerts
        if separation_arcsec(alert.ra, alert.dec, published.ra, published.dec) <= 1.5
    )
    return replace(published, alerts=alerts)


def known_to(broker: str, published: Supernova) -> Supernova:
    """Return what one of them has: a part, half of which nobody else has.

    The first detection is known to all: it says which limits are wanted.
    """
    place = (*BROKERS, "files").index(broker)
    also = (place + 1) % 5
    alerts = tuple(
        alert
        for number, alert in enumerate(published.alerts)
        if number < 2 or number % 5 == place or (number % 2 and number % 5 == also)
    )
    return replace(published, alerts=alerts)


def detections(published: Supernova) -> list[tuple[int, str, set[float]]]:
    """Return every exposure with a positive detection once: time, band, magnitudes told."""
    found: list[tuple[int, str, set[float]]] = []
    for alert in sorted(published.alerts, key=lambda each: (each.filter, each.jd)):
        if alert.isdiffpos != "t":
            continue
        time_ms, band = unix_ms(alert.jd), f"{alert.filter}-ZTF"
        if found and found[-1][1] == band and time_ms - found[-1][0] < TWIN_MS:
            found[-1][2].add(alert.magpsf)
        else:
            found.append((time_ms, band, {alert.magpsf}))
    return sorted(found, key=lambda each: each[:2])


def limits(published: Supernova) -> list[tuple[int, str]]:
    """Return every exposure before the first detection in which nothing was found."""
    first_ms = min(time_ms for time_ms, _, _ in detections(published))
    seen = {(time_ms, band) for time_ms, band, _ in detections(published)}
    return sorted(
        (unix_ms(limit.jd), f"{limit.filter}-ZTF")
        for limit in published.limits
        if unix_ms(limit.jd) < first_ms
        and (unix_ms(limit.jd), f"{limit.filter}-ZTF") not in seen
    )


def drawn_as(row: Mapping[str, Any]) -> str:
    """Return how YSE-PZ's light curve draws a row, by its own rule."""
    flux, flux_err, mag = row["flux"], row["flux_err"], row["mag"]
    if (flux and mag and flux / flux_err > 3) or (not flux and mag):
        return "detection"
    if flux and row["flux_zero_point"] and flux + 3 * flux_err > 0:
        return "limit"
    return "nothing"


def stored(house: Any, name: str, *, limit: bool) -> list[tuple[int, str, Any]]:
    """Return time [ms], band and magnitude of the rows with a magnitude, or of those without.

    Those without are upper limits: in place of it stands how YSE-PZ draws them.
    """
    rows = [row for row in house.ysepz.rows(name) if (row["mag"] is None) is limit]
    times = parse_obs_dates([str(row["obs_date"]) for row in rows]).tolist() if rows else []
    return sorted(
        (time_ms, row["band"], drawn_as(row) if limit else row["mag"])
        for time_ms, row in zip(times, rows, strict=True)
    )


def light_curve_file(folder: Path, published: Supernova) -> None:
    """Write what the fifth one has: a light-curve file."""
    rows = [
        f"{alert.jd - 2400000.5:.8f},{alert.filter}-ZTF,{alert.magpsf!r},{alert.sigmapsf!r}"
        for alert in known_to("files", published).alerts
        if alert.isdiffpos == "t"
    ]
    head = "# instrument: ZTF-Cam\n# obs_group: ZTF\n# public: true\nmjd,band,mag,mag_err\n"
    (folder / f"{published.name}.csv").write_text(head + "\n".join(rows) + "\n")


@pytest.mark.timeout(300)
def test_the_union_of_four_and_files_is_the_truth(
    house: Any,
    alerce: AlerceStandIn,
    fink: FinkStandIn,
    lasair: LasairStandIn,
    *,
    tmp_path: Path,
) -> None:
    """Every exposure once, nothing that was not published, limits drawn as limits."""
    published = [belonging(one) for one in supernovae.load()]
    supernovae.fill_alerce(alerce, [known_to("alerce", one) for one in published])
    supernovae.fill_fink(fink, [known_to("fink", one) for one in published])
    supernovae.fill_lasair(lasair, [known_to("lasair", one) for one in published])
    supernovae.fill_mars(house.mars, [known_to("mars", one) for one in published])
    folder = tmp_path / "files"
    folder.mkdir()
    for one in published:
        light_curve_file(folder, one)
        if one.name != "2019np":
            house.ysepz.add_transient(one.name, one.ra, one.dec)
    service: Service = house.service(
        ALERCE_URL=alerce.api_url,
        FINK_URL=fink.api_url,
        LASAIR_URL=lasair.api_url,
        LASAIR_TOKEN=TOKEN,
        YSE_INGEST_FILES=str(folder),
        YSE_INGEST_SOURCE=",".join((*BROKERS, "files")),
        YSE_INGEST_UPPER_LIMITS="before",
        YSE_INGEST_UNION_EVERY="0.001",
        YSE_INGEST_BUDGET="1",
    )
    names = [service.enqueue(Target(one.name)) for one in published]

    for _ in range(2):
        house.cycle(service, *names)

    assert len(published) == 31
    assert sum(len(detections(one)) for one in published) == 793
    assert sum(len(limits(one)) for one in published) == 342
    for one in published:
        truth, found = detections(one), stored(house, one.name, limit=False)
        assert [row[1] for row in found] == [row[1] for row in truth]
        for (time_ms, _, mag), (published_ms, _, mags) in zip(found, truth, strict=True):
            assert abs(time_ms - published_ms) <= 1
            assert min(abs(mag - told) for told in mags) < 1e-6
        shown, wanted = stored(house, one.name, limit=True), limits(one)
        assert [row[1:] for row in shown] == [(band, "limit") for _, band in wanted]
        for (time_ms, _, _), (published_ms, _) in zip(shown, wanted, strict=True):
            assert abs(time_ms - published_ms) <= 1
        for choice in service.state.choices.get(one.name).values():
            assert choice.disagreements == ()
