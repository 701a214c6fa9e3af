"""A light curve drawn: what a source has, and which of it stands in YSE-PZ already.

Needs matplotlib (extra ``plot``).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np

from yse_ingest.errors import SettingsError
from yse_ingest.times import MJD_ZERO_JD, MS_PER_DAY, UNIX_ZERO_JD, jd_of_time_ms

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.axes import Axes

    from yse_ingest.photometry import Bools, Floats, Ints, LightCurve

BAND_COLOURS = {"g": "#2a9d4e", "r": "#d1495b", "i": "#7b5ea7", "z": "#4a4a4a"}
"""First letter of a band's name to its colour; as ZTF's own pages have them."""
OTHER_COLOURS = ("#2f6db3", "#b07d2b", "#4a4a4a", "#a04f8f")
CITATIONS = {
    "mars": "ZTF public alerts (Bellm et al. 2019, Graham et al. 2019), served by MARS",
    "alerce": "ZTF public alerts (Bellm et al. 2019, Graham et al. 2019), served by ALeRCE "
    "(Förster et al. 2021)",
    "fink": "ZTF public alerts (Bellm et al. 2019, Graham et al. 2019), served by Fink "
    "(Möller et al. 2021)",
}
"""Source to what a figure of its data should name."""
MJD_OF_UNIX_ZERO = UNIX_ZERO_JD - MJD_ZERO_JD
_MARGIN_DAYS = 2.0


def plot_light_curve(
    curve: LightCurve,
    path: Path,
    *,
    title: str,
    source: str,
    stored: Bools | None = None,
    negative: int = 0,
) -> None:
    """Draw a light curve into a file, whose ending says its kind (png, pdf, svg).

    Parameters
    ----------
    curve
        The exposures; those without a magnitude are drawn as signed flux below.
    path
        The file.
    title
        Above the figure: the target's name.
    source
        Where it came from, as in settings.
    stored
        Which exposures stand in YSE-PZ already, shape (n,): drawn open.
    negative
        Negative subtractions, for the note below.

    Raises
    ------
    SettingsError
        When matplotlib is missing, or does not know the file's kind.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise SettingsError(
            "matplotlib is not installed",
            service="plot",
            remedy="Install it: pip install 'yse-ingest[plot]'.",
        ) from error
    known = stored if stored is not None else np.zeros(len(curve), dtype=bool)
    has_mag = np.isfinite(curve.mag)
    signed = np.flatnonzero(~has_mag)
    figure = Figure(figsize=(8, 5.6 if len(signed) else 4.6), layout="constrained")
    if len(signed):
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
        _flux_panel(lower, curve, signed)
    else:
        upper = lower = figure.subplots()
    _mag_panel(upper, curve, np.flatnonzero(has_mag), known)
    upper.set_title(title, loc="left", fontweight="bold", pad=8)
    if len(curve):
        _time_axes(upper, lower, curve.time_ms)
    lower.set_xlabel("MJD (UTC)")
    figure.supxlabel(
        _note(curve, source, negative), fontsize=7, color="#666666", x=0.01, ha="left"
    )
    try:
        figure.savefig(path, dpi=150)
    except ValueError as error:
        raise SettingsError(
            f"{path.suffix or 'no ending'} is no kind of picture",
            service="plot",
            field="file",
            value=str(path),
            remedy="Let its name end in .png, .pdf or .svg.",
        ) from error
    except OSError as error:
        raise SettingsError(
            f"{path} cannot be written ({error.strerror})",
            service="plot",
            remedy="Name a file in a folder that exists and that you may write to.",
        ) from error


def band_colour(band: str, index: int = 0) -> str:
    """Return the colour of a band by its name; ``index`` tells unknown ones apart."""
    letter = re.match(r"[A-Za-z]", band)
    return BAND_COLOURS.get(letter[0] if letter else "", OTHER_COLOURS[index % 4])


def _mjd(time_ms: Ints) -> Floats:
    mjd: Floats = time_ms / MS_PER_DAY + MJD_OF_UNIX_ZERO
    return mjd


def _days_of_mjd(mjd: Any) -> Floats:
    days: Floats = np.asarray(mjd) - MJD_OF_UNIX_ZERO
    return days


def _mjd_of_days(days: Any) -> Floats:
    mjd: Floats = np.asarray(days) + MJD_OF_UNIX_ZERO
    return mjd


def _mag_panel(axes: Axes, curve: LightCurve, rows: Ints, stored: Bools) -> None:
    mjd = _mjd(curve.time_ms)
    for index, band in enumerate(sorted(set(curve.band[rows].tolist()))):
        colour = band_colour(band, index)
        of_band = rows[curve.band[rows] == band]
        # A band is in the legend once, whether its points are open, filled or both.
        label: str | None = f"{band} ({len(of_band)})"
        for known in (False, True):
            part = of_band[stored[of_band] == known]
            if not len(part):
                continue
            axes.errorbar(
                mjd[part],
                curve.mag[part],
                yerr=curve.mag_err[part],
                fmt="o",
                markersize=5,
                color=colour,
                markerfacecolor="white" if known else colour,
                elinewidth=0.9,
                capsize=0,
                label=label,
            )
            label = None
    if np.any(stored[rows]):
        axes.plot([], [], "o", color="#555555", markerfacecolor="white", label="in YSE-PZ")
    axes.invert_yaxis()
    axes.set_ylabel("magnitude (AB)")
    axes.grid(visible=True, color="#e6e6e6", linewidth=0.6)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    if len(rows):
        axes.legend(frameon=False, fontsize=8)
    else:
        axes.text(
            0.5, 0.5, "no detections", transform=axes.transAxes, ha="center", color="#666666"
        )


def _flux_panel(axes: Axes, curve: LightCurve, rows: Ints) -> None:
    mjd = _mjd(curve.time_ms)
    for index, band in enumerate(sorted(set(curve.band[rows].tolist()))):
        part = rows[curve.band[rows] == band]
        axes.errorbar(
            mjd[part],
            curve.flux[part],
            yerr=curve.flux_err[part],
            fmt="v",
            markersize=4,
            color=band_colour(band, index),
            elinewidth=0.9,
        )
    axes.axhline(0.0, color="#999999", linewidth=0.6)
    axes.set_ylabel("negative\nflux (zp 27.5)", fontsize=8)
    axes.grid(visible=True, color="#e6e6e6", linewidth=0.6)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def _time_axes(upper: Axes, lower: Axes, time_ms: Ints) -> None:
    """Show MJD below and UTC dates above."""
    from matplotlib import dates as matplotlib_dates

    # Its locators and formatters have no types.
    days: Any = matplotlib_dates
    mjd = _mjd(time_ms)
    margin = max(_MARGIN_DAYS, 0.03 * float(np.ptp(mjd)))
    lower.set_xlim(float(mjd.min()) - margin, float(mjd.max()) + margin)
    lower.ticklabel_format(axis="x", useOffset=False, style="plain")
    # matplotlib's own dates are days since 1970-01-01, so the two axes differ by a constant.
    dates: Any = upper.secondary_xaxis(
        "top",
        functions=(_days_of_mjd, _mjd_of_days),
    )
    locator = days.AutoDateLocator(minticks=4, maxticks=8)
    dates.xaxis.set_major_locator(locator)
    dates.xaxis.set_major_formatter(days.ConciseDateFormatter(locator))
    dates.set_xlabel("UTC", fontsize=8)


def _note(curve: LightCurve, source: str, negative: int) -> str:
    note = CITATIONS.get(source, source)
    if len(curve):
        first, last = (
            jd_of_time_ms(float(t)) for t in (curve.time_ms.min(), curve.time_ms.max())
        )
        note += f" · JD {first:.5f} to {last:.5f}"
    if negative and np.all(np.isfinite(curve.mag)):
        note += f" · {negative} negative subtractions not drawn"
    return note
