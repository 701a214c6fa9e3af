"""The picture of a light curve says what it shows; asked of what matplotlib is to draw."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.path import Path as Outline

from yse_ingest.errors import SettingsError
from yse_ingest.photometry import Alerts, Forced, Limits, StoredPhotometry
from yse_ingest.plot import light_curve_figure, plot_light_curve
from yse_ingest.plot.marks import MICROJANSKY
from yse_ingest.plot.styles import SPARE, STYLES
from yse_ingest.sources import ATLAS, LSST, ZTF, Answer, FoundObject, Status, Survey

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

START_MS, DAY_MS = 1_567_296_000_000, 86_400_000  # 2019-09-01
OBJECT = "ZTF19aacgslb"

# What a colour becomes for eyes that lack one kind of cone, in linear RGB: Machado, Oliveira
# and Fernandes 2009, severity 1.
BLIND = {
    "deutan": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "protan": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "tritan": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}
SRGB_TO_XYZ = [
    [0.4124, 0.3576, 0.1805],
    [0.2126, 0.7152, 0.0722],
    [0.0193, 0.1192, 0.9505],
]


def times(count: int, *, start: float = 0.0) -> Any:
    return (START_MS + DAY_MS * (start + np.arange(count))).astype(np.int64)


def alerts(bands: str, *, negative: str = "", start: float = 0.0) -> Alerts:
    """Return one detection a day in these bands; ``negative``: a letter each, n or p."""
    rows: list[Mapping[str, Any]] = [
        {
            "native_id": str(number),
            "object_id": OBJECT,
            "band": band,
            "mag": 18.0 + 0.1 * number,
            "mag_err": 0.1,
            "negative": negative[number : number + 1] == "n",
            "ra": 157.3415,
            "dec": 29.5106667,
            "quality": 0.9,
        }
        for number, band in enumerate(bands)
    ]
    return Alerts.from_rows(rows, time_ms=times(len(rows), start=start))


def limits(bands: str, *, start: float = -9.0) -> Limits:
    rows: list[Mapping[str, Any]] = [
        {"object_id": OBJECT, "band": band, "mag_limit": 20.5} for band in bands
    ]
    return Limits.from_rows(rows, time_ms=times(len(rows), start=start))


def forced(bands: str, fluxes: list[float]) -> Forced:
    rows: list[Mapping[str, Any]] = [
        {"native_id": str(n), "object_id": OBJECT, "band": band, "flux": flux, "flux_err": 10.0}
        for n, (band, flux) in enumerate(zip(bands, fluxes, strict=True))
    ]
    return Forced.from_rows(rows, time_ms=times(len(rows), start=0.5))


def stored(*rows: dict[str, Any]) -> StoredPhotometry:
    return StoredPhotometry.from_rows(
        [
            {
                "pk": number,
                "time_ms": START_MS + DAY_MS * number,
                "instrument": "ZTF-Cam",
                "obs_group": "ZTF",
                "band": "g-ZTF",
                "mag": None,
                "mag_err": None,
                "flux": None,
                "flux_err": None,
                "zero_point": 27.5,
                "forced": False,
                "created_by": "ingest",
                "modified_by": "ingest",
                "header": 1,
                "restricted": False,
                **row,
            }
            for number, row in enumerate(rows)
        ]
    )


def figure_of(answer: Answer, *, survey: Survey = ZTF, **options: Any) -> Figure:
    options = {"title": "2019np", "source": "alerce", "source_title": "ALeRCE", **options}
    return light_curve_figure(answer, band_map=survey.band_map, survey=survey, **options)


def told(
    found: Alerts | None = None,
    *,
    forced: Forced | None = None,
    limits: Limits | None = None,
) -> Answer:
    return Answer(
        "2019np",
        Status.OK,
        alerts=found if found is not None else Alerts.empty(),
        forced=forced if forced is not None else Forced.empty(),
        limits=limits if limits is not None else Limits.empty(),
        objects=(FoundObject(OBJECT, 3, 0.1, START_MS, START_MS, accepted=True),),
    )


def marks(figure: Figure) -> dict[str, Line2D]:
    """Return every line of marks by its name."""
    lines = [line for axes in figure.axes for line in axes.lines]
    return {str(line.get_gid()): line for line in lines if line.get_gid()}


def values(line: Line2D) -> list[float]:
    found: list[float] = np.asarray(line.get_ydata(), dtype=float).tolist()
    return found


def counts(figure: Figure) -> dict[str, int]:
    """Return how many marks there are of each panel, kind and band."""
    return {
        name: int(np.isfinite(values(line)).sum())
        for name, line in marks(figure).items()
        if name != "flux:zero"
    }


def texts(figure: Figure) -> str:
    """Return everything that is written outside the tick labels."""
    found = [text.get_text() for axes in figure.axes for text in axes.texts]
    for axes in figure.axes:
        found += [axes.get_title(loc) for loc in ("left", "center", "right")]
        found += [axes.get_xlabel(), axes.get_ylabel()]
        found += [child.get_xlabel() for child in axes.child_axes]
    found += [text.get_text() for each in figure.legends for text in (*each.get_texts(),)]
    found.append(figure.get_supxlabel())
    return "\n".join(found)


def test_detections_and_limits_by_band() -> None:
    """Each detection is a filled mark with its error, each limit an arrow at its magnitude."""
    figure = figure_of(told(alerts("grg"), limits=limits("ggr")))
    assert counts(figure) == {
        "mag:detection:g-ZTF": 2,
        "mag:detection:r-ZTF": 1,
        "mag:limit:g-ZTF": 2,
        "mag:limit:r-ZTF": 1,
    }
    (axes,) = figure.axes
    assert axes.yaxis_inverted()
    lines = marks(figure)
    assert lines["mag:detection:g-ZTF"].get_markerfacecolor() == STYLES["g"].colour
    assert values(lines["mag:limit:g-ZTF"]) == [20.5, 20.5]
    gids = [each.get_gid() for each in axes.collections]
    assert gids == ["mag:detection:g-ZTF:errors", "mag:detection:r-ZTF:errors"]


def test_arrows_hang_down_on_the_page() -> None:
    """A limit's arrow points to fainter magnitudes whichever way the axis runs."""
    figure = figure_of(told(alerts("g"), limits=limits("g")))
    arrow = marks(figure)["mag:limit:g-ZTF"].get_marker()
    assert isinstance(arrow, Outline)
    # Marks are in points of the page: below its own place means down.
    heights = np.asarray(arrow.vertices, dtype=float)[:, 1]
    assert heights.max() == 0
    assert heights.min() < -1


def test_a_negative_subtraction_is_flux_and_never_a_magnitude() -> None:
    """It is missing above; below stand all fluxes with their signs, and a line at zero."""
    figure = figure_of(told(alerts("ggr", negative="pnp")))
    assert counts(figure) == {
        "mag:detection:g-ZTF": 1,
        "mag:detection:r-ZTF": 1,
        "flux:detection:g-ZTF": 2,
        "flux:detection:r-ZTF": 1,
    }
    lines = marks(figure)
    first, second = values(lines["flux:detection:g-ZTF"])
    assert first == pytest.approx(MICROJANSKY * 10 ** (-0.4 * (18.0 - 27.5)))
    assert second == pytest.approx(-MICROJANSKY * 10 ** (-0.4 * (18.1 - 27.5)))
    assert "flux:zero" in lines
    assert "difference flux (µJy)" in texts(figure)


def test_a_microjansky() -> None:
    """A source of magnitude 23.9 has one microjansky."""
    flux = 10 ** (-0.4 * (23.9 - 27.5))
    assert flux * MICROJANSKY == pytest.approx(1.0, rel=1e-3)


def test_forced_photometry_has_other_marks_and_its_sign() -> None:
    """Every forced flux stands below; above only what has three sigma, in strokes."""
    measured = forced("ggg", [100.0, 29.0, -100.0])
    figure = figure_of(told(alerts("g"), forced=measured))
    assert counts(figure) == {
        "mag:detection:g-ZTF": 1,
        "mag:forced:g-ZTF": 1,
        "flux:detection:g-ZTF": 1,
        "flux:forced:g-ZTF": 3,
    }
    lines = marks(figure)
    assert values(lines["mag:forced:g-ZTF"])[0] == pytest.approx(22.5)
    fluxes = values(lines["flux:forced:g-ZTF"])
    assert fluxes == pytest.approx([MICROJANSKY * f for f in (100.0, 29.0, -100.0)])
    shapes = {lines[f"flux:{kind}:g-ZTF"].get_marker() for kind in ("detection", "forced")}
    assert len(shapes) == 2
    assert r"forced (mag: $\geq3\sigma$): 3" in texts(figure)


def test_what_stands_in_ysepz_is_drawn_open() -> None:
    """Rows of YSE-PZ are rings, limits among them open arrows, and the legend says so."""
    rows = stored(
        {"mag": 18.0, "mag_err": 0.1, "flux": 6309.0, "flux_err": 600.0},
        {"mag": 17.0, "mag_err": 0.1, "band": "B", "instrument": "Direct"},
        {"flux": 1e-6 * 126.19, "flux_err": 126.19},
        {"flux": -80.0, "flux_err": 10.0, "forced": True},
        {"flux": 160.0, "flux_err": 20.0, "zero_point": 25.0, "mag": 19.49},
    )
    figure = figure_of(told(alerts("gr")), stored=rows)
    found = counts(figure)
    assert found["mag:stored:g-ZTF"] == 2
    assert found["mag:stored:B"] == 1
    assert found["mag:stored-limit:g-ZTF"] == 1
    assert found["flux:stored:g-ZTF"] == 3
    lines = marks(figure)
    assert lines["mag:stored:g-ZTF"].get_markerfacecolor() == "none"
    assert values(lines["mag:stored-limit:g-ZTF"])[0] == pytest.approx(20.5, abs=1e-3)
    fluxes = [value / MICROJANSKY for value in values(lines["flux:stored:g-ZTF"])]
    assert fluxes == pytest.approx([6309.0, -80.0, 1600.0])
    assert "in YSE-PZ: 4" in texts(figure)
    assert "limit in YSE-PZ: 1" in texts(figure)


def test_without_ysepz_nothing_is_open() -> None:
    """Where YSE-PZ was not asked, the legend does not name it."""
    assert "YSE-PZ" not in texts(figure_of(told(alerts("gr"))))


def test_names_dates_and_days() -> None:
    """Target, source and object, UTC dates, days since the discovery, whose data it is."""
    discovered = START_MS - 2 * DAY_MS
    figure = figure_of(told(alerts("gr")), discovery_ms=discovered, note="Told apart.")
    shown = texts(figure)
    for text in (
        "2019np",
        f"ALeRCE · {OBJECT}",
        "date (UTC), 2019",
        "days since discovery (2019-08-30 00:00 UTC)",
        "difference magnitude (AB)",
        "Bellm et al. 2019",
        "Förster et al. 2021",
        "MJD 58727.000 to 58728.000 (UTC).",
        "Told apart.",
        "detection: 2",
    ):
        assert text in shown
    (axes,) = figure.axes
    (days,) = axes.child_axes
    figure.draw_without_rendering()
    assert days.get_xlim()[0] - axes.get_xlim()[0] == pytest.approx(-discovered / DAY_MS)


def test_days_count_from_the_first_detection_where_no_discovery_is_known() -> None:
    """A negative subtraction is no detection, and begins nothing."""
    shown = texts(figure_of(told(alerts("gg", negative="np"))))
    assert "days since first detection (2019-09-02 00:00 UTC)" in shown


@pytest.mark.parametrize(
    ("survey", "bands"),
    [(ZTF, "gri"), (ATLAS, "co"), (LSST, "ugrizy")],
    ids=lambda x: str(x)[:6],
)
def test_every_band_of_a_survey_has_a_mark_of_its_own(survey: Survey, bands: str) -> None:
    """Bands are told apart by shape, which grey paper keeps, and by colour."""
    figure = figure_of(told(alerts(bands)), survey=survey)
    lines = marks(figure)
    drawn = [lines[f"mag:detection:{survey.band_map[band]}"] for band in bands]
    assert len({line.get_marker() for line in drawn}) == len(bands)
    assert len({line.get_color() for line in drawn}) == len(bands)
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert legend[: len(bands)] == [survey.band_map[band] for band in bands]


def test_bands_of_one_letter_are_told_apart() -> None:
    """The g of another telescope is not drawn as ours."""
    figure = figure_of(
        told(alerts("g")), stored=stored({"mag": 18.0, "band": "g-Sloan", "instrument": "GMOS"})
    )
    lines = marks(figure)
    ours, other = lines["mag:detection:g-ZTF"], lines["mag:stored:g-Sloan"]
    assert ours.get_marker() != other.get_marker()
    assert ours.get_color() != other.get_color()


def test_no_two_styles_share_a_shape() -> None:
    """All shapes differ, of detections as of forced photometry."""
    styles = [*STYLES.values(), *SPARE]
    assert len({style.shape for style in styles}) == len(styles)
    assert len({style.forced for style in styles}) == len(styles)


def lab(colour: str, matrix: Any = None) -> Any:
    """Return a colour in CIE Lab, as eyes of a kind see it."""
    rgb = np.array(to_rgb(colour))
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    if matrix is not None:
        linear = np.clip(np.array(matrix) @ linear, 0, 1)
    xyz = np.array(SRGB_TO_XYZ) @ linear / np.array([0.9505, 1.0, 1.089])
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("kind", [None, *BLIND])
def test_colours_differ_for_colour_blind_eyes(kind: str | None) -> None:
    """The bands of a survey keep a clear distance in Lab, whatever cone is missing."""
    matrix = BLIND[kind] if kind else None
    for survey in (ZTF, ATLAS, LSST):
        seen = {band: lab(STYLES[band].colour, matrix) for band in survey.band_map}
        for one, other in combinations(seen, 2):
            assert np.linalg.norm(seen[one] - seen[other]) > 15, (kind, one, other)


def test_many_points_are_drawn_smaller() -> None:
    """Two thousand points are all there, in marks half as large as those of twenty."""
    many, few = (figure_of(told(alerts("gr" * count))) for count in (1000, 10))
    assert counts(many) == {"mag:detection:g-ZTF": 1000, "mag:detection:r-ZTF": 1000}
    sizes = [marks(each)["mag:detection:g-ZTF"].get_markersize() for each in (many, few)]
    assert 2 < sizes[0] < 0.6 * sizes[1]


def test_nothing_is_clipped() -> None:
    """All that is written lies inside the page, the longest names among it."""
    answer = told(alerts("gr" * 20, negative="pn"), limits=limits("g"), forced=forced("g", [1]))
    rows = stored({"mag": 18.0}, {"flux": 1e-6, "flux_err": 10.0})
    figure = figure_of(
        answer,
        title="A-name-of-thirty-two-letters-0000",
        stored=rows,
        discovery_ms=START_MS,
        note="13 private points of YSE-PZ are not drawn.",
    )
    figure.draw_without_rendering()
    page = figure.bbox
    inside = figure.get_tightbbox().transformed(figure.dpi_scale_trans)
    assert inside.x0 >= page.x0 - 1
    assert inside.y0 >= page.y0 - 1
    assert inside.x1 <= page.x1 + 1
    assert inside.y1 <= page.y1 + 1


def test_an_empty_light_curve_says_so() -> None:
    """A picture of nothing is no error; one of limits alone shows them."""
    assert "no detections" in texts(figure_of(told()))
    assert counts(figure_of(told(limits=limits("gg")))) == {"mag:limit:g-ZTF": 2}


def test_forced_photometry_without_any_magnitude(tmp_path: Path) -> None:
    """Fluxes around zero are drawn below, and no magnitude is made of them."""
    answer = told(forced=forced("co", [5.0, -5.0]))
    figure = figure_of(answer, survey=ATLAS, source="atlas", source_title="ATLAS")
    assert counts(figure) == {"flux:forced:cyan-ATLAS": 1, "flux:forced:orange-ATLAS": 1}
    assert "no detections" in texts(figure)
    figure.savefig(tmp_path / "it.png")


@pytest.mark.parametrize("ending", ["png", "pdf", "svg"])
def test_kinds_of_files(tmp_path: Path, ending: str) -> None:
    """The file's name says its kind."""
    path = tmp_path / f"it.{ending}"
    draw(path)
    head = {"png": b"\x89PNG", "pdf": b"%PDF", "svg": b"<?xml"}
    assert path.read_bytes().startswith(head[ending])


@pytest.mark.parametrize("name", ["it.docx", "missing/it.png"])
def test_a_file_that_cannot_be_written_is_named(tmp_path: Path, name: str) -> None:
    """The message says what to change about the file's name."""
    with pytest.raises(SettingsError) as caught:
        draw(tmp_path / name)
    assert caught.value.service == "plot"
    assert caught.value.remedy


def draw(path: Path) -> None:
    plot_light_curve(
        path,
        told(alerts("g")),
        band_map=ZTF.band_map,
        title="x",
        source="mars",
        source_title="MARS",
        survey=ZTF,
    )
