"""The figure: panels, axes, legend and note."""

from __future__ import annotations

import re
from collections import Counter
from itertools import chain
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from yse_ingest.errors import SettingsError
from yse_ingest.photometry import LIMIT_SIGMAS
from yse_ingest.plot.marks import FORCED_SIGMAS, MICROJANSKY, needs_flux, of_source, of_ysepz
from yse_ingest.plot.styles import Style, look_of, mark_size, styles_of
from yse_ingest.times import MJD_ZERO_JD, MS_PER_DAY, UNIX_ZERO_JD, format_time_ms

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from yse_ingest.photometry import Floats, Ints, StoredPhotometry
    from yse_ingest.plot.marks import Marks
    from yse_ingest.plot.styles import MarkKind
    from yse_ingest.sources import Answer, Survey

SURVEYS: Final = {
    "ZTF": "ZTF public alerts (Bellm et al. 2019, Graham et al. 2019)",
    "ATLAS": "ATLAS forced photometry (Tonry et al. 2018, Smith et al. 2020, "
    "Shingles et al. 2021)",
    "LSST": "Rubin Observatory LSST alerts (Ivezić et al. 2019)",
}
SERVERS: Final = {
    "alerce": "ALeRCE (Förster et al. 2021)",
    "antares": "ANTARES (Matheson et al. 2021)",
    "atlas": "its forced photometry server",
    "fink": "Fink (Möller et al. 2021)",
    "lasair": "Lasair (Smith et al. 2019)",
    "mars": "MARS",
}
"""First word of a source's name to what a figure of its data should name."""

_PANEL_INCHES = (8.0, 4.8)
_FLUX_INCHES = 2.4
_MARGIN_DAYS = 2.0
_DATES = ["%Y", "%b", "%d %b", "%H:%M", "%H:%M", "%S.%f"]
_DATES_AT_ZERO = ["", "%b %Y", "%d %b", "%d %b", "%H:%M", "%H:%M"]
"""How ticks are written by what they tell apart: years, months, days, hours..."""
_GREY = "#666666"


def plot_light_curve(path: Path, answer: Answer, **options: Any) -> None:
    """Draw a light curve into a file, whose ending says its kind (png, pdf, svg).

    Parameters
    ----------
    path
        The file.
    answer, options
        As `light_curve_figure` takes them.

    Raises
    ------
    SettingsError
        When matplotlib is missing, or does not know the file's kind.
    """
    figure = light_curve_figure(answer, **options)
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


def light_curve_figure(
    answer: Answer,
    *,
    band_map: Mapping[str, str],
    title: str,
    source: str,
    source_title: str,
    survey: Survey,
    discovery_ms: int | None = None,
    stored: StoredPhotometry | None = None,
    note: str = "",
) -> Figure:
    """Return the figure of what a source said, and of what stands in YSE-PZ.

    Each line of marks has a ``gid`` "PANEL:KIND:BAND", such as ``mag:limit:g-ZTF``.

    Parameters
    ----------
    answer
        Detections, forced photometry and limits of a source.
    band_map
        The source's letters to YSE-PZ's names.
    title
        The target's name.
    source, source_title
        Where it came from: as in settings, and as people write it.
    survey
        Whose photometry it is.
    discovery_ms
        When it was discovered, Unix time [ms]; None: days count from the first detection.
    stored
        What stands in YSE-PZ, drawn open; None: it is not known.
    note
        What else the figure should say, below it.

    Raises
    ------
    SettingsError
        When matplotlib is missing.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise SettingsError(
            "matplotlib is not installed",
            service="plot",
            remedy="Install it: pip install 'yse-ingest[plot]'.",
        ) from error
    parts = [*of_source(answer, band_map), *of_ysepz(stored)]
    styles = styles_of(chain.from_iterable(part.band.tolist() for part in parts))
    signed = any(np.any(needs_flux(part)) for part in parts)
    width, height = _PANEL_INCHES
    figure = Figure(
        figsize=(width, height + (_FLUX_INCHES if signed else 0)), layout="constrained"
    )
    if signed:
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(2, 1))
    else:
        upper = lower = figure.subplots()
    size = mark_size(sum(len(part.time_ms) for part in parts))
    _mag_panel(upper, parts, styles, size)
    if signed:
        _flux_panel(lower, parts, styles, size)
    _title(upper, title, source_title, answer)
    every = np.concatenate([part.time_ms for part in parts])
    if len(every):
        _time_axes(upper, lower, every, _day_zero(answer, discovery_ms))
        _legend(figure, parts, styles, size)
    figure.supxlabel(
        "\n".join(_note(every, source, source_title, survey, note)),
        fontsize=7,
        color=_GREY,
        x=0.01,
        ha="left",
    )
    return figure


# The panels ---------------------------------------------------------------------------------


def _mag_panel(
    axes: Axes, parts: list[Marks], styles: Mapping[str, Style], size: float
) -> None:
    for part in parts:
        for band, rows in part.bands(np.isfinite(part.mag)):
            _draw(axes, part, band, rows, panel="mag", style=styles[band], size=size)
    _furnish(axes)
    axes.margins(y=0.09)
    axes.invert_yaxis()
    axes.set_ylabel("difference magnitude (AB)")
    if not any(np.any(np.isfinite(part.mag)) for part in parts):
        axes.text(0.5, 0.5, "no detections", transform=axes.transAxes, ha="center", color=_GREY)
        axes.set_yticks([])


def _flux_panel(
    axes: Axes, parts: list[Marks], styles: Mapping[str, Style], size: float
) -> None:
    axes.axhline(0.0, color="#333333", linewidth=0.8, zorder=1, gid="flux:zero")
    for part in parts:
        for band, rows in part.bands(np.isfinite(part.flux)):
            _draw(axes, part, band, rows, panel="flux", style=styles[band], size=size)
    _furnish(axes)
    axes.margins(y=0.08)
    axes.set_ylabel("difference flux (µJy)")


def _draw(
    axes: Axes, part: Marks, band: str, rows: Ints, *, panel: str, style: Style, size: float
) -> None:
    """Draw the marks of one kind and band."""
    scale = MICROJANSKY if panel == "flux" else 1.0
    value, error = (part.flux, part.flux_err) if panel == "flux" else (part.mag, part.mag_err)
    line, _, bars = axes.errorbar(
        _days(part.time_ms[rows]),
        scale * value[rows],
        yerr=scale * error[rows] if np.any(np.isfinite(error[rows])) else None,
        linestyle="none",
        elinewidth=0.8,
        capsize=0,
        **look_of(part.kind, style, size),
    )
    line.set_gid(f"{panel}:{part.kind}:{band}")
    for bar in bars:
        bar.set_gid(f"{panel}:{part.kind}:{band}:errors")


def _furnish(axes: Axes) -> None:
    axes.grid(visible=True, color="#e6e6e6", linewidth=0.6)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.tick_params(labelsize=9)


# Around them --------------------------------------------------------------------------------


def _days(time_ms: Ints) -> Floats:
    """Return times as matplotlib counts dates: days since 1970-01-01 UTC."""
    days: Floats = time_ms / MS_PER_DAY
    return days


def _day_zero(answer: Answer, discovery_ms: int | None) -> tuple[int, str] | None:
    """Return from when days are counted, and what that moment is."""
    if discovery_ms is not None:
        return discovery_ms, "discovery"
    found = answer.alerts.time_ms[~answer.alerts.negative]
    return (int(found.min()), "first detection") if len(found) else None


def _time_axes(
    upper: Axes, lower: Axes, time_ms: Ints, day_zero: tuple[int, str] | None
) -> None:
    """Show UTC dates below, and above the days since the discovery."""
    from matplotlib import dates as matplotlib_dates

    # Its locators and formatters have no types.
    dates: Any = matplotlib_dates
    days = _days(time_ms)
    margin = max(_MARGIN_DAYS, 0.03 * float(np.ptp(days)))
    lower.set_xlim(float(days.min()) - margin, float(days.max()) + margin)
    locator = dates.AutoDateLocator(minticks=4, maxticks=8)
    lower.xaxis.set_major_locator(locator)
    lower.xaxis.set_major_formatter(
        dates.ConciseDateFormatter(
            locator, formats=_DATES, zero_formats=_DATES_AT_ZERO, show_offset=False
        )
    )
    first, last = (date[:4] for date in format_time_ms(np.sort(time_ms)[[0, -1]]).tolist())
    lower.set_xlabel(f"date (UTC), {first if first == last else f'{first} to {last}'}")
    if day_zero is None:
        return
    zero, event = day_zero[0] / MS_PER_DAY, day_zero[1]
    since: Any = upper.secondary_xaxis(
        "top",
        functions=(lambda day: np.asarray(day) - zero, lambda day: np.asarray(day) + zero),
    )
    since.tick_params(labelsize=9)
    when = str(format_time_ms(np.array([day_zero[0]]))[0])[:16].replace("T", " ")
    since.set_xlabel(f"days since {event} ({when} UTC)", fontsize=9)


def _title(axes: Axes, title: str, source_title: str, answer: Answer) -> None:
    axes.set_title(title, loc="left", fontweight="bold", pad=8)
    where = " · ".join([source_title, *answer.accepted_objects])
    axes.set_title(where, loc="right", fontsize=9, color=_GREY, pad=8)


def _legend(
    figure: Figure, parts: list[Marks], styles: Mapping[str, Style], size: float
) -> None:
    """Name the bands by colour and shape, and the kinds with their numbers."""
    from matplotlib.lines import Line2D

    drawn = Counter[str]()
    for part in parts:
        shown = np.isfinite(part.mag) | np.isfinite(part.flux)
        drawn[part.kind] += int(np.count_nonzero(shown))
    grey = Style("#555555", "o", "x")
    labels: dict[MarkKind, str] = {
        "detection": "detection",
        "forced": rf"forced (mag: $\geq{FORCED_SIGMAS:.0f}\sigma$)",
        "limit": rf"${LIMIT_SIGMAS:.0f}\sigma$ upper limit",
        "stored": "in YSE-PZ",
        "stored-limit": "limit in YSE-PZ",
    }
    size = max(size, 5.0)
    handles = [
        Line2D([], [], linestyle="none", label=band, **look_of("detection", style, size))
        for band, style in styles.items()
    ]
    handles.append(Line2D([], [], linestyle="none", label=""))
    handles += [
        Line2D(
            [],
            [],
            linestyle="none",
            label=f"{label}: {drawn[kind]}",
            **look_of(kind, grey, size),
        )
        for kind, label in labels.items()
        if drawn[kind]
    ]
    figure.legend(
        handles=handles,
        loc="outside right upper",
        frameon=False,
        fontsize=8,
        labelspacing=0.9,
        handletextpad=0.6,
    )


def _note(
    time_ms: Ints, source: str, source_title: str, survey: Survey, note: str
) -> Iterator[str]:
    server = SERVERS.get(re.split(r"[^a-z]", source)[0])
    origin = SURVEYS.get(survey.name, survey.name)
    yield f"{origin}, served by {server}." if server else f"From {source_title}."
    said = []
    if len(time_ms):
        first, last = (
            float(t) / MS_PER_DAY + UNIX_ZERO_JD - MJD_ZERO_JD
            for t in (time_ms.min(), time_ms.max())
        )
        said.append(f"MJD {first:.3f} to {last:.3f} (UTC).")
    if note:
        said.append(note)
    if said:
        yield " ".join(said)
