from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from yse_ingest.errors import PayloadError
from yse_ingest.photometry import StoredPhotometry, flux_of_mag
from yse_ingest.targets import Rules, Target
from yse_ingest.ysepz import Transient, documented_request, photometry_request, point_changes

if TYPE_CHECKING:
    from collections.abc import Callable

    from yse_ingest.photometry import LightCurve
    from yse_ingest.sandbox.ysepz import YsePzStandIn
    from yse_ingest.ysepz import YsePz

TRANSIENT = Transient(1, "2019np", "2019np", 157.3, 29.5, None, "Following", "ZTF", ())
ELEVEN = [
    "obs_date",
    "mag",
    "mag_err",
    "band",
    "data_quality",
    "diffim",
    "flux",
    "flux_err",
    "flux_zero_point",
    "forced",
    "discovery_point",
]
DAY = "2019-01-09T11:38:37.123"


def test_the_request(curve: Callable[..., LightCurve]) -> None:
    """An update names the transient and its points, and nothing that curated fields hold."""
    request = photometry_request(TRANSIENT, curve(DAY), Rules(), window_ms=16_000.0)
    point = request.pop("0")
    assert request == {
        "header": {"clobber": False, "mjdmatchmin": pytest.approx(16 / 86400)},
        "transient": {"name": "2019np", "status": "Following"},
        "photheader": {"instrument": "ZTF-Cam", "obs_group": "ZTF", "groups": None},
    }
    assert list(point) == ELEVEN
    assert point == {
        "obs_date": DAY,
        "mag": 17.0,
        "mag_err": 0.05,
        "band": "g-ZTF",
        "data_quality": None,
        "diffim": 1,
        "flux": pytest.approx(15848.93, abs=0.01),
        "flux_err": pytest.approx(729.9, abs=0.1),
        "flux_zero_point": 27.5,
        "forced": 0,
        "discovery_point": 0,
    }


def test_settings_of_the_rules(curve: Callable[..., LightCurve]) -> None:
    """Groups, flag, clobber and zero point are those of the rules."""
    rules = Rules(
        groups=("YSE", "UCSC"), data_quality="Bad", clobber=True, flux_zero_point=25.0
    )
    request = photometry_request(TRANSIENT, curve(DAY), rules, window_ms=2.0)
    assert request["photheader"]["groups"] == "YSE,UCSC"
    assert request["header"]["clobber"] is True
    assert request["0"]["data_quality"] == "Bad"
    assert request["0"]["flux_zero_point"] == 25.0
    assert request["0"]["flux"] == pytest.approx(1584.893, abs=0.001)


def test_without_flux(curve: Callable[..., LightCurve]) -> None:
    """Without a zero point no flux is sent, as the documented job does."""
    request = photometry_request(
        TRANSIENT, curve(DAY), Rules(flux_zero_point=None), window_ms=2.0
    )
    assert [request["0"][key] for key in ELEVEN[6:9]] == [None, None, None]


def test_negative_subtraction(curve: Callable[..., LightCurve]) -> None:
    """A negative subtraction is signed flux and no magnitude; without flux it is nothing."""
    negative = curve(DAY, negative=True)
    point = photometry_request(TRANSIENT, negative, Rules(), window_ms=2.0)["0"]
    assert (point["mag"], point["mag_err"]) == (None, None)
    assert point["flux"] < 0 < point["flux_err"]
    with pytest.raises(PayloadError, match=r"0\.mag: .*shows nothing"):
        photometry_request(TRANSIENT, negative, Rules(flux_zero_point=None), window_ms=2.0)


@pytest.mark.parametrize(
    ("window_ms", "transient", "rules", "field"),
    [
        (0.0, TRANSIENT, Rules(), "header.mjdmatchmin"),
        (-1.0, TRANSIENT, Rules(), "header.mjdmatchmin"),
        (float("nan"), TRANSIENT, Rules(), "header.mjdmatchmin"),
        (2.0, replace(TRANSIENT, name="x" * 65), Rules(), "transient.name"),
        (2.0, replace(TRANSIENT, name="\u2605"), Rules(), "transient.name"),
        (2.0, replace(TRANSIENT, status=None), Rules(), "transient.status"),
        (2.0, TRANSIENT, Rules(groups=("A,B",)), "groups"),
        (2.0, TRANSIENT, Rules(groups=(" A",)), "photheader.groups"),
    ],
)
def test_requests_that_must_not_be_sent(
    curve: Callable[..., LightCurve],
    window_ms: float,
    transient: Transient,
    rules: Rules,
    field: str,
) -> None:
    """The field at fault is named by its path, with the target and what to do."""
    with pytest.raises(PayloadError) as caught:
        photometry_request(transient, curve(DAY), rules, window_ms=window_ms)
    assert caught.value.field == field
    assert caught.value.target == transient.name
    assert caught.value.remedy


def test_a_value_that_is_not_finite(curve: Callable[..., LightCurve]) -> None:
    """An infinite value never reaches the wire."""
    faulty = replace(curve(DAY), mag=np.array([np.inf]))
    with pytest.raises(PayloadError, match=r"0\.mag: is not finite"):
        photometry_request(TRANSIENT, faulty, Rules(), window_ms=2.0)


def test_no_points(curve: Callable[..., LightCurve]) -> None:
    """A request without points is not sent: it would make an empty header."""
    with pytest.raises(PayloadError, match="no point"):
        photometry_request(TRANSIENT, curve(), Rules(), window_ms=2.0)


def test_the_documented_dictionary(curve: Callable[..., LightCurve]) -> None:
    """With the settings of the documented job its dictionary comes out, key by key in order."""
    target = Target(
        "2019np",
        ra=157.3415,
        dec=29.5106667,
        creation={"obs_group": "Unknown", "status": "Ignore"},
    )
    rules = Rules(mjdmatchmin=0.01, clobber=True, flux_zero_point=None)
    request = documented_request(target, curve(DAY, DAY), rules, window_ms=None)
    point = {
        "obs_date": DAY,
        "mag": 17.0,
        "mag_err": 0.05,
        "band": "g-ZTF",
        "data_quality": 0,
        "diffim": 1,
        "flux": None,
        "flux_err": None,
        "flux_zero_point": None,
        "forced": 0,
        "discovery_point": 0,
    }
    expected = {
        "noupdatestatus": True,
        "2019np": {
            "name": "2019np",
            "ra": 157.3415,
            "dec": 29.5106667,
            "obs_group": "Unknown",
            "status": "Ignore",
            "transientphotometry": {
                "mjdmatchmin": 0.01,
                "clobber": True,
                "ZTF": {
                    "instrument": "ZTF-Cam",
                    "obs_group": "ZTF",
                    "photdata": {0: point, 1: point},
                },
            },
        },
    }
    assert request == expected
    assert json.dumps(request) == json.dumps(expected)


def test_the_documented_dictionary_is_taken(
    server: YsePzStandIn, client: YsePz, curve: Callable[..., LightCurve]
) -> None:
    """YSE-PZ takes the documented dictionary as it is shown."""
    target = Target("2020a", ra=1.0, dec=1.0, creation={"obs_group": "ZTF", "status": "Ignore"})
    request = documented_request(target, curve(DAY), Rules(), window_ms=16_000.0)
    client.add_transient(request)
    assert [row["mag"] for row in server.rows("2020a")] == [17.0]


def test_an_update_touches_nothing_that_people_curate(
    server: YsePzStandIn, client: YsePz, curve: Callable[..., LightCurve]
) -> None:
    """All 47 columns of the transient's row are identical after an upload (trap 6)."""
    before = server.transient_row("2019np")
    transient = client.transient_by_name("2019np")
    assert transient is not None
    sent = curve(DAY, "2019-01-10T11:38:37.999", mag=18.25)
    client.upload_photometry(photometry_request(transient, sent, Rules(), window_ms=16_000.0))
    assert server.transient_row("2019np") == before
    stored = client.read_back("2019np").photometry
    assert stored.time_ms.tolist() == sent.time_ms.tolist()
    np.testing.assert_allclose(stored.mag, sent.mag, atol=1e-6)
    np.testing.assert_allclose(stored.flux_at()[0], sent.flux, rtol=1e-9)
    assert stored.written_by("ingest").all()
    assert stored.value_hash.tolist() == sent.value_hash.tolist()


@pytest.mark.parametrize("stored", ["SN t\u00e9", "\u00c5 2019/\u00f8", " 2020b", "x" * 64])
def test_a_name_goes_out_as_it_is_stored(
    server: YsePzStandIn, client: YsePz, curve: Callable[..., LightCurve], stored: str
) -> None:
    """Whatever the database holds, it finds again; no second transient begins."""
    number = server.add_transient(stored, 1.0, 1.0)
    transient = client.transient_by_pk(number)
    assert transient is not None
    request = photometry_request(transient, curve(DAY), Rules(), window_ms=2.0)
    client.upload_photometry(request)
    assert [row["mag"] for row in server.rows(stored)] == [17.0]
    assert client.read_back(transient.slug).name == stored
    assert server.transients() == ["2019np", stored]


def test_a_stored_name_that_cannot_be_sent(curve: Callable[..., LightCurve]) -> None:
    """There is no other name to use: it is to be renamed there."""
    transient = Transient(1, "SN \u2019np", "sn-np", 1.0, 1.0, None, "New", "ZTF", ())
    with pytest.raises(PayloadError, match="outside latin-1") as caught:
        photometry_request(transient, curve(DAY), Rules(), window_ms=2.0)
    assert caught.value.remedy is not None
    assert caught.value.remedy.startswith("Rename it in YSE-PZ")


def test_sending_twice_stores_once(
    server: YsePzStandIn, client: YsePz, curve: Callable[..., LightCurve]
) -> None:
    """The window that is sent makes a repetition harmless (trap 9: never 0)."""
    transient = client.transient_by_name("2019np")
    assert transient is not None
    for _ in range(3):
        client.upload_photometry(
            photometry_request(transient, curve(DAY), Rules(), window_ms=2.0)
        )
    assert len(server.rows("2019np")) == 1


def stored_row(**columns: float | None) -> StoredPhotometry:
    row = {
        "pk": 7,
        "time_ms": 0,
        "instrument": "ZTF-Cam",
        "obs_group": "ZTF",
        "band": "g-ZTF",
        "mag": 17.3,
        "mag_err": 0.05,
        "flux": None,
        "flux_err": None,
        "zero_point": None,
        "forced": False,
        "created_by": "ingest",
        "modified_by": "ingest",
        "header": 1,
        "restricted": False,
        **columns,
    }
    return StoredPhotometry.from_rows([row])


def test_only_changed_fields(curve: Callable[..., LightCurve]) -> None:
    """A correction sends what differs: a field that the row lacks is no change."""
    assert point_changes(curve(DAY), 0, stored_row(), 0) == {"mag": 17.0}
    assert point_changes(curve(DAY), 0, stored_row(mag=17.0 + 1e-9), 0) == {}
    assert point_changes(curve(DAY), 0, stored_row(mag=None, mag_err=None), 0) == {}


def test_flux_at_the_rows_zero_point(curve: Callable[..., LightCurve]) -> None:
    """A flux is corrected at the zero point that the row has; that one never changes."""
    row = stored_row(flux=1000.0, flux_err=10.0, zero_point=25.0)
    changes = point_changes(curve(DAY), 0, row, 0)
    assert set(changes) == {"mag", "flux", "flux_err"}
    assert changes["flux"] == pytest.approx(
        float(flux_of_mag(np.array([17.0]), zero_point=25.0)[0])
    )
    row = stored_row(flux=1000.0, flux_err=10.0)
    assert set(point_changes(curve(DAY), 0, row, 0)) == {"mag"}


def test_flux_in_jansky(curve: Callable[..., LightCurve]) -> None:
    """A flux is compared by its share, not by a step of its unit: in Jy all are below 1e-3."""
    row = stored_row(mag=17.01, flux=10**-3.244, flux_err=1e-5, zero_point=8.9)
    changes = point_changes(curve(DAY), 0, row, 0)
    assert set(changes) == {"mag", "flux", "flux_err"}
    assert changes["flux"] == pytest.approx(10 ** (-0.4 * (17.0 - 8.9)))
    same = stored_row(mag=17.01, flux=changes["flux"] * (1 + 1e-9), zero_point=8.9)
    assert set(point_changes(curve(DAY), 0, same, 0)) == {"mag"}


def test_withdrawn_magnitude(curve: Callable[..., LightCurve]) -> None:
    """A detection that became a negative subtraction loses its magnitude."""
    row = stored_row(flux=1000.0, flux_err=10.0, zero_point=27.5)
    changes = point_changes(curve(DAY, negative=True), 0, row, 0)
    assert (changes["mag"], changes["mag_err"]) == (None, None)
    assert changes["flux"] < 0
    row = stored_row(mag=None, mag_err=None, flux=1000.0, flux_err=10.0, zero_point=27.5)
    assert set(point_changes(curve(DAY, negative=True), 0, row, 0)) == {"flux", "flux_err"}


def test_correction_end_to_end(
    server: YsePzStandIn, client: YsePz, curve: Callable[..., LightCurve]
) -> None:
    """A correction changes its fields; flag, owner and everything else of the row stay."""
    transient = client.transient_by_name("2019np")
    assert transient is not None
    client.upload_photometry(
        photometry_request(transient, curve(DAY, mag=17.3), Rules(), window_ms=2.0)
    )
    (before,) = server.rows("2019np")
    server.set_flag(before["pk"], "Bad", "human")
    stored = client.read_back("2019np").photometry
    row = client.patch_point(int(stored.pk[0]), point_changes(curve(DAY), 0, stored, 0))
    assert row["mag"] == 17.0
    (after,) = server.rows("2019np")
    changed = {key for key in after if after[key] != before[key]}
    assert changed <= {
        "mag",
        "flux",
        "flux_err",
        "data_quality",
        "modified_by",
        "modified_date",
    }
    assert after["data_quality"] == ["Bad"]
    assert after["flux"] == pytest.approx(15848.93, abs=0.01)
