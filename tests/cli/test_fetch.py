from __future__ import annotations

import json
import runpy
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from matplotlib.figure import Figure

from yse_ingest.cli import main
from yse_ingest.sandbox import supernovae
from yse_ingest.sandbox.fink import FinkStandIn
from yse_ingest.sandbox.mars import MarsStandIn
from yse_ingest.sandbox.ysepz import YsePzStandIn
from yse_ingest.sources import SOURCES

if TYPE_CHECKING:
    from collections.abc import Iterator

RA, DEC = 157.3415, 29.5106667
PLACE = ("--ra", str(RA), "--dec", str(DEC))
TARGETS = f"""
[[targets]]
name = "2019np"
ra = {RA}
dec = {DEC}
mjdmatchmin = 0.01
clobber = true
flux_zero_point = "none"
creation = {{ status = "Ignore", obs_group = "Unknown" }}
"""


LIMITS = """
[[targets]]
name = "ZTF19abxiqve"
upper_limits = "before"
"""


@dataclass
class Desk:
    """A terminal beside stand-ins of MARS and YSE-PZ."""

    ysepz: YsePzStandIn
    folder: Path
    environment: dict[str, str]

    def run(self, *arguments: str, ysepz: bool = True, targets: str | None = None) -> Result:
        environment: dict[str, str | None] = dict(self.environment)
        if not ysepz:
            environment["YSE_PZ_URL"] = None
        if targets is not None:
            path = self.folder / "targets.toml"
            path.write_text(targets, encoding="utf-8")
            environment["YSE_INGEST_TARGETS"] = str(path)
        return CliRunner().invoke(main, arguments, env=environment)

    def document(self, *arguments: str, code: int = 0, **options: Any) -> Any:
        result = self.run(*arguments, **options)
        assert result.exit_code == code, result.output
        return json.loads(result.stdout)

    def writes(self) -> list[str]:
        return [each.path for each in self.ysepz.log if each.method != "GET"]


@pytest.fixture(scope="module")
def mars() -> Iterator[MarsStandIn]:
    with MarsStandIn() as server:
        supernovae.fill_mars(server, supernovae.load()[:1])
        yield server


@pytest.fixture
def desk(mars: MarsStandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    monkeypatch.chdir(tmp_path)
    with YsePzStandIn() as ysepz:
        yield Desk(
            ysepz,
            tmp_path,
            {
                "MARS_URL": mars.url,
                "YSE_PZ_URL": ysepz.url,
                "YSE_PZ_USERNAME": "ingest",
                "YSE_PZ_PASSWORD": "sandbox-only",
                "YSE_INGEST_STATE_DIR": str(tmp_path / "var"),
                "XDG_STATE_HOME": str(tmp_path / "home"),
            },
        )


def test_the_documented_dictionary_key_by_key(desk: Desk) -> None:
    """With the documented job's settings the dictionary is YSE-PZ's documented one."""
    curve = desk.document("fetch", "2019np", *PLACE, "--json", ysepz=False)["light_curve"]
    shown = desk.document(
        "fetch", "SN 2019np", "--payload", "documented", ysepz=False, targets=TARGETS
    )
    assert shown == {
        "noupdatestatus": True,
        "2019np": {
            "name": "2019np",
            "ra": RA,
            "dec": DEC,
            "obs_group": "Unknown",
            "status": "Ignore",
            "transientphotometry": {
                "mjdmatchmin": 0.01,
                "clobber": True,
                "ZTF": {
                    "instrument": "ZTF-Cam",
                    "obs_group": "ZTF",
                    "photdata": {
                        str(number): {
                            "obs_date": row["obs_date"],
                            "mag": row["mag"],
                            "mag_err": row["mag_err"],
                            "band": row["band"],
                            "data_quality": 0,
                            "diffim": 1,
                            "flux": None,
                            "flux_err": None,
                            "flux_zero_point": None,
                            "forced": 0,
                            "discovery_point": 0,
                        }
                        for number, row in enumerate(curve)
                    },
                },
            },
        },
    }
    assert len(curve) > 10


def test_without_ysepz_the_light_curve_is_shown(desk: Desk) -> None:
    """A source, coordinates and no YSE-PZ are enough; nothing is compared."""
    result = desk.run("fetch", "2019np", *PLACE, ysepz=False)
    assert result.exit_code == 0, result.output
    assert "2019-01-09T" in result.stdout
    assert "Not compared" in result.stdout
    assert "sends nothing" in result.stdout


def test_coordinates_come_from_ysepz(desk: Desk) -> None:
    """A name that YSE-PZ knows needs no coordinates, and what it lacks is counted as new."""
    desk.ysepz.add_transient("2019np", RA, DEC)
    found = desk.document("fetch", "2019np", "--json")
    assert found["transient"]["name"] == "2019np"
    assert found["status"] == "ok"
    assert found["comparison"]["new"] == len(found["light_curve"]) > 10
    assert {row["state"] for row in found["light_curve"]} == {"new"}
    assert desk.writes() == []


def test_payload_is_what_would_be_sent(desk: Desk) -> None:
    """The payload holds every exposure that YSE-PZ lacks, by path, and is not sent."""
    desk.ysepz.add_transient("2019np", RA, DEC)
    found = desk.document("fetch", "2019np", "--json")
    requests = desk.document("fetch", "2019np", "--payload")
    assert {each["path"] for each in requests} == {"/add_transient_phot/"}
    sent = [
        point["obs_date"]
        for each in requests
        for key, point in each["json"].items()
        if key.isdigit()
    ]
    assert sorted(sent) == sorted(row["obs_date"] for row in found["light_curve"])
    assert desk.writes() == []


def test_payload_of_a_creation_begins_with_the_transient(desk: Desk) -> None:
    """Where the transient may be created, the request that does so is shown first."""
    first, *others = desk.document("fetch", "2019np", "--payload", targets=TARGETS)
    assert first["path"] == "/add_transient/"
    assert first["json"]["2019np"]["status"] == "Ignore"
    assert others
    assert {each["path"] for each in others} == {"/add_transient_phot/"}
    assert desk.writes() == []


def test_a_place_is_needed(desk: Desk) -> None:
    """Without a place, an object id and a YSE-PZ the command says what to give."""
    document = desk.document("fetch", "2019np", "--json", ysepz=False, code=1)
    assert "--object-id" in document["error"]["remedy"]


def test_an_unknown_object_is_a_failure(desk: Desk) -> None:
    """An object id that the source does not know ends the command with 1."""
    arguments = ("fetch", "2019np", "--object-id", "ZTF18zzzzzzz", "--json")
    assert desk.document(*arguments, ysepz=False, code=1)["status"] == "unknown"


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """Collect every figure that is saved."""
    saved: list[Figure] = []
    save = Figure.savefig

    def note(figure: Figure, *arguments: Any, **options: Any) -> None:
        saved.append(figure)
        save(figure, *arguments, **options)

    monkeypatch.setattr(Figure, "savefig", note)
    return saved


def marks(figure: Figure) -> dict[str, int]:
    """Return how many marks there are of each panel, kind and band."""
    lines = [line for axes in figure.axes for line in axes.lines]
    return {
        str(line.get_gid()): len(np.atleast_1d(line.get_xdata()))
        for line in lines
        if line.get_gid()
    }


def test_a_figure_is_drawn(desk: Desk) -> None:
    """``--plot`` writes a picture of the kind that the file's name says."""
    path = desk.folder / "np.png"
    result = desk.run("fetch", "2019np", *PLACE, "--plot", str(path), ysepz=False)
    assert result.exit_code == 0, result.output
    assert path.read_bytes().startswith(b"\x89PNG")


def test_a_figure_asks_for_limits_that_are_not_sent(desk: Desk, figures: list[Figure]) -> None:
    """Real limits of ZTF are drawn as arrows; what would be sent is the same as without."""
    (supernova,) = (one for one in supernovae.load() if one.name == "ZTF19abcqgew")
    with FinkStandIn() as fink:
        supernovae.fill_fink(fink, [supernova])
        desk.environment |= {"FINK_URL": fink.api_url, "YSE_INGEST_SOURCE": "fink"}
        desk.ysepz.add_transient(supernova.name, supernova.ra, supernova.dec)
        bare = desk.document("fetch", supernova.name, "--payload")
        asked = ("fetch", supernova.name, "--payload", "--plot", str(desk.folder / "it.png"))
        assert desk.document(*asked) == bare
        desk.run("push", supernova.name)
        result = desk.run("fetch", supernova.name, "--plot", str(desk.folder / "it.svg"))
    assert result.exit_code == 0, result.output
    before, after = map(marks, figures)
    bands = Counter(limit.filter for limit in supernova.limits)
    assert before == {
        "mag:detection:r-ZTF": 6,
        "mag:limit:g-ZTF": bands["g"],
        "mag:limit:r-ZTF": bands["r"],
        "flux:zero": 2,
        "flux:detection:r-ZTF": 7,
    }
    stored = {"mag:stored:r-ZTF": 6, "flux:stored:r-ZTF": 6}
    assert after == {**before, **stored}


def test_limits_that_were_sent_are_drawn_as_limits(desk: Desk, figures: list[Figure]) -> None:
    """A limit that stands in YSE-PZ is an open arrow on the source's own, and no flux."""
    (supernova,) = (one for one in supernovae.load() if one.name == "ZTF19abxiqve")
    with FinkStandIn() as fink:
        supernovae.fill_fink(fink, [supernova])
        desk.environment |= {"FINK_URL": fink.api_url, "YSE_INGEST_SOURCE": "fink"}
        desk.ysepz.add_transient(supernova.name, supernova.ra, supernova.dec)
        desk.run("push", supernova.name, targets=LIMITS)
        result = desk.run("fetch", supernova.name, "--plot", "it.png")
    assert result.exit_code == 0, result.output
    (figure,) = figures
    found = marks(figure)
    first = supernova.alerts[0].jd
    before = Counter(one.filter for one in supernova.limits if one.jd < first)
    assert {band: found[f"mag:stored-limit:{band}-ZTF"] for band in before} == before
    assert not any(name.startswith("flux:") for name in found)
    lines = {line.get_gid(): line for axes in figure.axes for line in axes.lines}
    stored, published = (
        np.asarray(lines[f"mag:{kind}:g-ZTF"].get_ydata(), dtype=float)
        for kind in ("stored-limit", "limit")
    )
    assert stored == pytest.approx(published[: len(stored)], abs=1e-3)


def test_a_figure_of_a_silent_source_shows_what_is_stored(
    desk: Desk, figures: list[Figure]
) -> None:
    """Where the source has nothing, the rows of YSE-PZ are drawn nonetheless."""
    desk.ysepz.add_transient("2019np", RA, DEC)
    desk.run("push", "2019np")
    result = desk.run("fetch", "2019np", "--since", "2024-01-01", "--plot", "it.png")
    assert result.exit_code == 0, result.output
    assert marks(figures[-1]) == {"mag:stored:r-ZTF": 17, "mag:stored:g-ZTF": 16}


PRIVATE = f"""
[[targets]]
name = "2019np"
ra = {RA}
dec = {DEC}
obs_group = "YSE"
groups = ["UCSC"]
"""


def test_a_private_target_is_drawn_on_request_alone(desk: Desk) -> None:
    """What is for the members of a group makes no picture without ``--private``."""
    arguments = ("fetch", "2019np", "--plot", "it.png")
    refused = desk.run(*arguments, ysepz=False, targets=PRIVATE)
    assert refused.exit_code == 2
    assert "UCSC" in refused.output
    assert "--private" in refused.output
    assert not (desk.folder / "it.png").exists()
    assert desk.run("fetch", "2019np", "--private", ysepz=False).exit_code == 2
    drawn = desk.run(*arguments, "--private", ysepz=False, targets=PRIVATE)
    assert drawn.exit_code == 0, drawn.output
    assert (desk.folder / "it.png").stat().st_mode & 0o777 == 0o600


def test_private_rows_of_ysepz_are_drawn_on_request_alone(
    desk: Desk, figures: list[Figure]
) -> None:
    """Rows of a private shelf are left out of a public target's picture, and counted."""
    users = {"member": ("sandbox-only", "UCSC"), "human": ("sandbox-only",)}
    with YsePzStandIn(users=users) as ysepz:
        desk.environment |= {"YSE_PZ_URL": ysepz.url, "YSE_PZ_USERNAME": "member"}
        ysepz.add_transient("2019np", RA, DEC)
        desk.run("push", "2019np", targets=PRIVATE)
        for options in ((), ("--private",)):
            result = desk.run("fetch", "2019np", "--plot", "it.png", *options)
            assert result.exit_code == 0, result.output
    public, private = figures
    assert "mag:stored:r-ZTF" not in marks(public)
    assert "33 private points of YSE-PZ are not drawn" in public.get_supxlabel()
    assert marks(private)["mag:stored:r-ZTF"] == 17
    assert "PRIVATE" in private.get_supxlabel()


@pytest.mark.parametrize("source", ["alerce", "fink"])
def test_the_picture_of_the_pages_is_drawn_as_they_say(
    tmp_path: Path, figures: list[Figure], source: str
) -> None:
    """The script beside the pages draws limits, new points, and open ones of YSE-PZ."""
    script = Path(__file__).parents[2] / "docs" / "light_curve_picture.py"
    runpy.run_path(str(script))["draw"](tmp_path / "it.png", source)
    (supernova,) = (one for one in supernovae.load() if one.name == "ZTF19abxiqve")
    known = [one for one in supernova.alerts if one.jd <= supernova.alerts[0].jd + 18]
    drawn: dict[str, Any] = {"detection": supernova.alerts, "stored": known}
    if SOURCES[source].capabilities.limits:
        drawn["limit"] = supernova.limits
    assert marks(figures[-1]) == {
        f"mag:{kind}:{band}-ZTF": count
        for kind, rows in drawn.items()
        for band, count in Counter(row.filter for row in rows).items()
    }
    assert 0 < len(known) < len(supernova.alerts)


def test_vocab_shows_bands_with_their_instrument(desk: Desk) -> None:
    """A band's name alone says little, so its instrument stands beside it."""
    found = desk.document("vocab", "bands", "--like", "g-ZTF", "--json")
    assert {"band": "g-ZTF", "instrument": "ZTF-Cam"} in found["bands"]
