"""The supernovae of the sandbox are carried whole; what is assigned to them is steady."""

from __future__ import annotations

import csv
import math
import statistics
from collections import Counter
from importlib import resources

import pytest
import requests

from yse_ingest.sandbox.alerce import AlerceStandIn
from yse_ingest.sandbox.fink import FinkStandIn
from yse_ingest.sandbox.mars import MarsStandIn
from yse_ingest.sandbox.supernovae import Supernova, fill_alerce, fill_fink, fill_mars, load

DATA = resources.files("yse_ingest.sandbox") / "data"
SUPERNOVAE = load()


def manifest() -> list[dict[str, str]]:
    return list(csv.DictReader((DATA / "MANIFEST.csv").read_text().splitlines()))


def offset_arcsec(supernova: Supernova, ra: float, dec: float) -> float:
    east = (ra - supernova.ra) * math.cos(math.radians(supernova.dec))
    return math.hypot(east, dec - supernova.dec) * 3600


def test_thirty_one_supernovae() -> None:
    """There are 31 objects of 817 detections, and a file for each."""
    assert len(SUPERNOVAE) == 31
    assert sum(len(supernova.alerts) for supernova in SUPERNOVAE) == 817
    files = {item.name for item in DATA.iterdir() if item.name.endswith(".csv")}
    others = {"MANIFEST.csv", "UPPER_LIMITS.csv"}
    assert files == {entry["file"] for entry in manifest()} | others


@pytest.mark.parametrize("entry", manifest(), ids=lambda entry: entry["name"])
def test_counts_are_those_of_the_manifest(entry: dict[str, str]) -> None:
    """Each object has the rows, the bands and the span that the manifest tells."""
    (supernova,) = (one for one in SUPERNOVAE if one.name == entry["name"])
    bands = Counter(alert.filter for alert in supernova.alerts)
    assert len(supernova.alerts) == int(entry["n"])
    assert bands == {part[0]: int(part[1:]) for part in entry["bands"].split("/")}
    assert {alert.object_id for alert in supernova.alerts} == {entry["object"]}
    jds = [alert.jd for alert in supernova.alerts]
    assert jds == sorted(jds)
    assert (jds[0], jds[-1]) == pytest.approx(
        (float(entry["jd_min"]), float(entry["jd_max"])), abs=1e-4
    )
    assert entry["source"]


def test_sn_2019np() -> None:
    """SN 2019np leads, with 33 detections, at its published position."""
    supernova = SUPERNOVAE[0]
    assert (supernova.name, supernova.object_id) == ("2019np", "ZTF19aacgslb")
    assert (supernova.ra, supernova.dec) == (157.3415, 29.5106667)
    assert Counter(alert.filter for alert in supernova.alerts) == {"r": 17, "g": 16}
    assert supernova.alerts[1].magpsf == 17.001399993896484


def test_what_sn_2019np_is_assigned() -> None:
    """Candids of ZTF's form and positions within 0.3" are assigned, the same on every call."""
    supernova = SUPERNOVAE[0]
    for alert in supernova.alerts:
        night = int(alert.jd - 2457754.5)
        assert alert.candid // 10**15 == night
        assert alert.candid % 10**6 == 15001
        assert offset_arcsec(supernova, alert.ra, alert.dec) < 0.3
        assert (alert.isdiffpos, alert.rb, alert.drb) == ("t", 0.9, None)
    assert len({(alert.ra, alert.dec) for alert in supernova.alerts}) > 10
    assert load() == SUPERNOVAE


def test_other_names_and_positions() -> None:
    """All others are named as ZTF named them and stand at the median of their rows."""
    for supernova in SUPERNOVAE[1:]:
        assert supernova.name == supernova.object_id
        assert supernova.ra == statistics.median(alert.ra for alert in supernova.alerts)
        assert supernova.dec == statistics.median(alert.dec for alert in supernova.alerts)
        offsets = [offset_arcsec(supernova, one.ra, one.dec) for one in supernova.alerts]
        assert max(offsets) < 1.7


def test_rows_are_usable() -> None:
    """Each candid is unique, each JD has seven decimals at most, each value is finite."""
    alerts = [alert for supernova in SUPERNOVAE for alert in supernova.alerts]
    assert len({alert.candid for alert in alerts}) == len(alerts)
    for alert in alerts:
        assert alert.jd == round(alert.jd, 7)
        assert alert.filter in {"g", "r"}
        assert 13 < alert.magpsf < 22
        assert 0 < alert.sigmapsf < 0.5


def test_the_negative_subtraction_is_carried() -> None:
    """One published row is a negative subtraction, and it is there."""
    alerts = [alert for supernova in SUPERNOVAE for alert in supernova.alerts]
    negative = [alert.object_id for alert in alerts if alert.isdiffpos == "f"]
    assert negative == ["ZTF19abcqgew"]


def test_fill_mars() -> None:
    """MARS serves every row as it was published, ingested in the order of time."""
    with MarsStandIn() as mars:
        fill_mars(mars, SUPERNOVAE)
        assert mars.alert_count == 817
        queries = [{"objectId": one.object_id, "sort_order": "asc"} for one in SUPERNOVAE]
        answer = requests.post(mars.url, json={"queries": queries}, timeout=30).json()
    by_id: dict[int, float] = {}
    for supernova, result in zip(SUPERNOVAE, answer["results"], strict=True):
        for alert, row in zip(supernova.alerts, result["results"], strict=True):
            candidate = row["candidate"]
            assert row["candid"] == alert.candid
            assert candidate["jd"] == alert.jd
            assert candidate["filter"] == alert.filter
            assert candidate["magpsf"] == pytest.approx(alert.magpsf, abs=1e-12)
            assert candidate["sigmapsf"] == pytest.approx(alert.sigmapsf, abs=1e-12)
            assert candidate["isdiffpos"] == alert.isdiffpos
            assert (candidate["rb"], candidate["drb"]) == (alert.rb, alert.drb)
            by_id[row["lco_id"]] = candidate["jd"]
    in_order = [by_id[number] for number in sorted(by_id)]
    assert in_order == sorted(in_order)


def test_fill_alerce() -> None:
    """ALeRCE serves every row as it was published."""
    with AlerceStandIn() as alerce:
        fill_alerce(alerce, SUPERNOVAE)
        for supernova in (SUPERNOVAE[0], *SUPERNOVAE[-3:]):
            url = f"{alerce.api_url}/objects/{supernova.object_id}/detections"
            detections = requests.get(url, timeout=10).json()
            for alert, row in zip(supernova.alerts, detections, strict=True):
                assert row["candid"] == str(alert.candid)
                assert row["mjd"] + 2400000.5 == alert.jd
                assert row["magpsf"] == alert.magpsf
                assert row["isdiffpos"] == (1 if alert.isdiffpos == "t" else -1)


def test_the_limits_of_every_supernova() -> None:
    """All 637 published limits are carried, in order, each with its own object."""
    assert sum(len(supernova.limits) for supernova in SUPERNOVAE) == 637
    for supernova in SUPERNOVAE:
        assert supernova.limits
        assert {limit.object_id for limit in supernova.limits} == {supernova.object_id}
        jds = [limit.jd for limit in supernova.limits]
        assert jds == sorted(jds)
        assert jds[0] > supernova.alerts[0].jd - 30.1
        for limit in supernova.limits:
            assert limit.filter in {"g", "r"}
            assert 13 < limit.diffmaglim < 22
    before = [(one.jd, one.filter, one.diffmaglim) for one in SUPERNOVAE[0].limits]
    assert before == [(2458491.9541, "g", 20.26), (2458492.0297685, "r", 19.8729)]


def test_limits_are_served_as_each_broker_has_them() -> None:
    """ALeRCE lists them as non-detections, Fink as rows of text with a tag."""
    supernova = SUPERNOVAE[0]
    with AlerceStandIn() as alerce, FinkStandIn() as fink:
        fill_alerce(alerce, [supernova])
        fill_fink(fink, [supernova])
        url = f"{alerce.api_url}/objects/{supernova.object_id}/non_detections"
        of_alerce = requests.get(url, timeout=10).json()
        question = {"objectId": supernova.object_id, "withupperlim": True}
        rows = requests.post(f"{fink.api_url}/objects", json=question, timeout=10).json()
    of_fink = [row for row in rows if row["d:tag"] == "upperlim"]
    for limit, one, other in zip(supernova.limits, of_alerce, of_fink, strict=True):
        assert one["mjd"] + 2400000.5 == other["i:jd"] == limit.jd
        assert one["diffmaglim"] == float(other["i:diffmaglim"]) == limit.diffmaglim
        assert one["fid"] == int(other["i:fid"]) == "gr".index(limit.filter) + 1
