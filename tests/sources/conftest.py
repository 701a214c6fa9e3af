"""Stand-ins, clients that ask them, and light curves to put into them."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any

import pytest

from yse_ingest.sandbox.alerce import AlerceStandIn
from yse_ingest.sandbox.antares import AntaresStandIn
from yse_ingest.sandbox.fink import FinkLsstStandIn, FinkStandIn
from yse_ingest.sandbox.lasair import TOKEN, LasairStandIn
from yse_ingest.sandbox.mars import MarsStandIn
from yse_ingest.sources import Ask, Kind
from yse_ingest.targets import Rules, Target

pytest.register_assert_rewrite("tests.sources.asking")  # its comparisons show what differs

from tests.sources.asking import FIRST_JD, asking  # noqa: E402  after the line above

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.sources.asking import Question, Served, Shower
    from yse_ingest.sandbox.server import LoggedRequest, StandIn
    from yse_ingest.sources import Source

    AlertStandIn = AlerceStandIn | AntaresStandIn | FinkStandIn | LasairStandIn | MarsStandIn

RA, DEC = 157.3415, 29.5106667
ARCSEC = 1 / 3600


@pytest.fixture
def mars() -> Iterator[MarsStandIn]:
    """Return a stand-in MARS without alerts."""
    with MarsStandIn() as stand_in:
        yield stand_in


@pytest.fixture
def alerce() -> Iterator[AlerceStandIn]:
    """Return a stand-in ALeRCE without detections."""
    with AlerceStandIn() as stand_in:
        yield stand_in


@pytest.fixture
def fink() -> Iterator[FinkStandIn]:
    """Return a stand-in Fink without alerts."""
    with FinkStandIn() as stand_in:
        yield stand_in


@pytest.fixture
def fink_lsst() -> Iterator[FinkLsstStandIn]:
    """Return a stand-in of Fink's LSST API without sources."""
    with FinkLsstStandIn() as stand_in:
        yield stand_in


@pytest.fixture
def lasair() -> Iterator[LasairStandIn]:
    """Return a stand-in Lasair without alerts."""
    with LasairStandIn() as stand_in:
        yield stand_in


@pytest.fixture
def antares() -> Iterator[AntaresStandIn]:
    """Return a stand-in ANTARES without alerts."""
    with AntaresStandIn() as stand_in:
        yield stand_in


@pytest.fixture
def served() -> Served:
    """Return a function that gives the requests of a stand-in, as soon as it has noted them."""

    def requests(stand_in: StandIn, count: int) -> list[LoggedRequest]:
        end = time.monotonic() + 5
        # A request is noted when its answer has been written: the client may be faster.
        while len(stand_in.log) < count and time.monotonic() < end:
            time.sleep(0.002)
        assert len(stand_in.log) == count, [entry.query for entry in stand_in.log]
        return list(stand_in.log)

    return requests


@pytest.fixture
def waits() -> list[float]:
    """Return the waits that a source made before a retry [s]; none of them is really waited."""
    return []


@pytest.fixture
def ask_mars(mars: MarsStandIn, waits: list[float]) -> Iterator[Source]:
    """Return a source that asks the stand-in MARS."""
    with asking("mars", {"MARS_URL": mars.url}, waits) as source:
        yield source


@pytest.fixture
def ask_alerce(alerce: AlerceStandIn, waits: list[float]) -> Iterator[Source]:
    """Return a source that asks the stand-in ALeRCE."""
    with asking(
        "alerce", {"ALERCE_URL": alerce.api_url, "ALERCE_FORCED_URL": alerce.forced_url}, waits
    ) as source:
        yield source


@pytest.fixture
def ask_fink(fink: FinkStandIn, waits: list[float]) -> Iterator[Source]:
    """Return a source that asks the stand-in Fink."""
    with asking("fink", {"FINK_URL": fink.api_url}, waits) as source:
        yield source


@pytest.fixture
def ask_fink_lsst(fink_lsst: FinkLsstStandIn, waits: list[float]) -> Iterator[Source]:
    """Return a source that asks the stand-in of Fink's LSST API."""
    with asking("fink-lsst", {"FINK_LSST_URL": fink_lsst.api_url}, waits) as source:
        yield source


@pytest.fixture
def ask_lasair(lasair: LasairStandIn, waits: list[float]) -> Iterator[Source]:
    """Return a source that asks the stand-in Lasair."""
    with asking(
        "lasair", {"LASAIR_URL": lasair.api_url, "LASAIR_TOKEN": TOKEN}, waits
    ) as source:
        yield source


@pytest.fixture
def ask_antares(antares: AntaresStandIn, waits: list[float]) -> Iterator[Source]:
    """Return a source that asks the stand-in ANTARES."""
    with asking(
        "antares", {"ANTARES_URL": antares.api_url, "YSE_INGEST_UNRECORDED": "antares"}, waits
    ) as source:
        yield source


@pytest.fixture
def question() -> Question:
    """Return a function that makes a question about SN 2019np, or what it is told instead."""

    def make(
        *,
        rules: Rules | None = None,
        since_ms: int | None = None,
        newest_ms: int | None = None,
        discovery_ms: int | None = None,
        known_objects: tuple[str, ...] = (),
        kinds: frozenset[Kind] = frozenset({Kind.DETECTION}),
        **target: Any,
    ) -> Ask:
        fields: dict[str, Any] = {"name": "2019np", "ra": RA, "dec": DEC} | target
        return Ask(
            Target(**fields),
            rules or Rules(),
            since_ms=since_ms,
            newest_ms=newest_ms,
            discovery_ms=discovery_ms,
            known_objects=known_objects,
            kinds=kinds,
        )

    return make


@pytest.fixture
def shower() -> Shower:
    """Return a function that adds one alert a night; offsets [arcsec], ``start`` in days."""

    def add(
        stand_in: AlertStandIn,
        object_id: str = "ZTF19aacgslb",
        count: int = 3,
        *,
        east: float = 0.0,
        north: float = 0.0,
        start: float = 0.0,
        ra: float = RA,
        dec: float = DEC,
        first_candid: int | None = None,
        **values: Any,
    ) -> None:
        add_one: Callable[..., object] = (
            stand_in.add_detection
            if isinstance(stand_in, AlerceStandIn)
            else stand_in.add_alert
        )
        for night in range(count):
            add_one(
                object_id,
                FIRST_JD + start + night,
                "gr"[night % 2],
                **{
                    "magpsf": 18.0 + night % 40 / 20,
                    "sigmapsf": 0.05,
                    "ra": ra + east * ARCSEC / math.cos(math.radians(dec)),
                    "dec": dec + north * ARCSEC,
                    "candid": None if first_candid is None else first_candid + night,
                    **values,
                },
            )

    return add
