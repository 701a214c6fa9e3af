"""A light curve drawn: what a source has, and which of it stands in YSE-PZ already.

Magnitudes stand above, with upper limits as arrows. A flux that is not positive has no
magnitude: where there is one, or forced photometry, a second panel shows every flux with its
sign. Needs matplotlib (extra ``plot``).
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from itertools import chain, cycle
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

import numpy as np

from yse_ingest.errors import SettingsError
from yse_ingest.photometry import (
    LIMIT_SIGMAS,
    MAG_PER_RELATIVE_FLUX,
    ZERO_POINT,
    flux_err_of_mag_err,
    flux_of_mag,
)
from yse_ingest.times import MJD_ZERO_JD, MS_PER_DAY, UNIX_ZERO_JD, format_time_ms

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from yse_ingest.photometry import Bools, Floats, Ints, StoredPhotometry, Texts
    from yse_ingest.sources import Answer, Survey

MICROJANSKY: Final = 3.631e9 * 10 ** (-0.4 * ZERO_POINT)
"""One unit of flux at zero point 27.5 [µJy]."""
FORCED_SIGMAS: Final = 3.0
"""A forced flux below so many errors is no magnitude."""
BARE_LIMIT: Final = 1e-3
"""A row of YSE-PZ without a magnitude is a limit when its flux is less of its error."""


class Style(NamedTuple):
    """How a band is drawn: told apart by colour, in grey by shape."""

    colour: str
    shape: Any
    """Of detections, filled, and of what is in YSE-PZ, open."""
    forced: Any
    """Of forced photometry: strokes."""


STYLES: Final = {
    "u": Style("#5e3c99", "^", "3"),
    "g": Style("#1fa187", "o", "+"),
    "c": Style("#2f7fd0", "v", (5, 2, 0)),
    "r": Style("#b8322a", "s", "x"),
    "o": Style("#e06c00", "D", "1"),
    "i": Style("#dba000", "p", (6, 2, 0)),
    "z": Style("#d96fc0", "P", "2"),
    "y": Style("#111111", "h", "4"),
}
"""First letter of a band's name to its style, from the shortest wavelength to the longest."""
SPARE: Final = (
    Style("#0b5fa5", "<", (7, 2, 0)),
    Style("#8c6d31", ">", (3, 2, 0)),
    Style("#5b3a1e", "8", (4, 2, 22)),
    Style("#7a8a00", "d", (8, 2, 0)),
)
"""For every other band, and for the second of a letter."""

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

_Kind = Literal["detection", "forced", "limit", "stored", "stored-limit"]

_PANEL_INCHES = (8.0, 4.8)
_FLUX_INCHES = 2.4
_MARGIN_DAYS = 2.0
_DATES = ["%Y", "%b", "%d %b", "%H:%M", "%H:%M", "%S.%f"]
_DATES_AT_ZERO = ["", "%b %Y", "%d %b", "%d %b", "%H:%M", "%H:%M"]
"""How ticks are written by what they tell apart: years, months, days, hours..."""
_ARROW = ((-0.5, 0), (0.5, 0), (0, 0), (0, -1.6), (-0.34, -1.1), (0, -1.6), (0.34, -1.1))
_ARROW_MOVES = (0, 2, 4)
"""Where the pen is lifted."""
_GREY = "#666666"


@dataclass(frozen=True, eq=False)
class _Marks:
    """Points of one kind, shape (n,): limits have no error, magnitudes are nan for fluxes."""

    kind: _Kind
    time_ms: Ints
    band: Texts
    mag: Floats
    mag_err: Floats
    flux: Floats
    flux_err: Floats

    def bands(self, chosen: Bools) -> Iterator[tuple[str, Ints]]:
        """Iterate over bands and their rows, of those that a mask chooses."""
        for band in dict.fromkeys(self.band[chosen].tolist()):
            yield band, np.flatnonzero(chosen & (self.band == band))


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
    parts = [*_of_source(answer, band_map), *_of_ysepz(stored)]
    styles = _styles(chain.from_iterable(part.band.tolist() for part in parts))
    signed = any(np.any(_needs_flux(part)) for part in parts)
    width, height = _PANEL_INCHES
    figure = Figure(
        figsize=(width, height + (_FLUX_INCHES if signed else 0)), layout="constrained"
    )
    if signed:
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(2, 1))
    else:
        upper = lower = figure.subplots()
    size = _mark_size(sum(len(part.time_ms) for part in parts))
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


# What is drawn ------------------------------------------------------------------------------


def _of_source(answer: Answer, band_map: Mapping[str, str]) -> Iterator[_Marks]:
    alerts, forced, limits = answer.alerts, answer.forced, answer.limits
    flux = np.where(alerts.negative, -1.0, 1.0) * flux_of_mag(alerts.mag)
    yield _Marks(
        kind="detection",
        time_ms=alerts.time_ms,
        band=_named(alerts.band, band_map),
        mag=np.where(alerts.negative, np.nan, alerts.mag),
        mag_err=alerts.mag_err,
        flux=flux,
        flux_err=flux_err_of_mag_err(flux, alerts.mag_err),
    )
    seen = forced.flux >= FORCED_SIGMAS * forced.flux_err
    positive = np.where(seen, forced.flux, np.nan)
    yield _Marks(
        kind="forced",
        time_ms=forced.time_ms,
        band=_named(forced.band, band_map),
        mag=ZERO_POINT - 2.5 * np.log10(positive),
        mag_err=MAG_PER_RELATIVE_FLUX * forced.flux_err / positive,
        flux=forced.flux,
        flux_err=forced.flux_err,
    )
    nothing = np.full(len(limits), np.nan)
    yield _Marks(
        kind="limit",
        time_ms=limits.time_ms,
        band=_named(limits.band, band_map),
        mag=limits.mag_limit,
        mag_err=nothing,
        flux=nothing,
        flux_err=nothing,
    )


def _of_ysepz(stored: StoredPhotometry | None) -> Iterator[_Marks]:
    if stored is None:
        return
    flux, flux_err = stored.flux_at()
    has_mag = np.isfinite(stored.mag)
    bare = ~has_mag & (flux_err > 0) & (np.abs(flux) < BARE_LIMIT * flux_err)
    nothing = np.full(len(stored), np.nan)
    yield _Marks(
        kind="stored",
        time_ms=stored.time_ms,
        band=stored.band,
        mag=stored.mag,
        mag_err=nothing,
        flux=np.where(bare, np.nan, flux),
        flux_err=nothing,
    )
    limits = np.flatnonzero(bare)
    yield _Marks(
        kind="stored-limit",
        time_ms=stored.time_ms[limits],
        band=stored.band[limits],
        mag=ZERO_POINT - 2.5 * np.log10(LIMIT_SIGMAS * flux_err[limits]),
        mag_err=nothing[limits],
        flux=nothing[limits],
        flux_err=nothing[limits],
    )


def _named(letters: Texts, band_map: Mapping[str, str]) -> Texts:
    names = [band_map.get(letter, letter) for letter in letters.tolist()]
    return np.array(names, dtype="U")


def _needs_flux(part: _Marks) -> Bools:
    """Return which marks have a flux that no magnitude shows, or are forced."""
    needs: Bools = np.isfinite(part.flux) & (~np.isfinite(part.mag) | (part.kind == "forced"))
    return needs


def _styles(bands: Iterable[str]) -> dict[str, Style]:
    """Return a style for each band, the same for the same set; no two share one."""
    found: dict[str, Style] = {}
    spare = cycle(SPARE)
    for band in dict.fromkeys(bands):
        style = STYLES.get(band[:1])
        found[band] = next(spare) if style is None or style in found.values() else style
    order = [*STYLES]
    return dict(
        sorted(
            found.items(),
            key=lambda item: order.index(item[0][0]) if item[0][:1] in STYLES else len(order),
        )
    )


def _mark_size(count: int) -> float:
    """Return how large marks are so that many of them are still told apart [points]."""
    return max(2.5, 6.0 - 1.6 * float(np.log10(max(count, 40) / 40)))


# The panels ---------------------------------------------------------------------------------


def _mag_panel(
    axes: Axes, parts: list[_Marks], styles: Mapping[str, Style], size: float
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
    axes: Axes, parts: list[_Marks], styles: Mapping[str, Style], size: float
) -> None:
    axes.axhline(0.0, color="#333333", linewidth=0.8, zorder=1, gid="flux:zero")
    for part in parts:
        for band, rows in part.bands(np.isfinite(part.flux)):
            _draw(axes, part, band, rows, panel="flux", style=styles[band], size=size)
    _furnish(axes)
    axes.margins(y=0.08)
    axes.set_ylabel("difference flux (µJy)")


def _draw(
    axes: Axes, part: _Marks, band: str, rows: Ints, *, panel: str, style: Style, size: float
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
        **_look(part.kind, style, size),
    )
    line.set_gid(f"{panel}:{part.kind}:{band}")
    for bar in bars:
        bar.set_gid(f"{panel}:{part.kind}:{band}:errors")


def _look(kind: _Kind, style: Style, size: float) -> dict[str, Any]:
    """Return how marks of a kind look, as matplotlib's options of a line."""
    look: dict[str, Any] = {"color": style.colour, "markersize": size, "zorder": 3}
    match kind:
        case "detection":
            look |= {"marker": style.shape, "markeredgewidth": 0}
        case "forced":
            look |= {"marker": style.forced, "markeredgewidth": 0.9, "zorder": 2.5}
        case "stored":
            look |= {
                "marker": style.shape,
                "markersize": size + 3.5,
                "markerfacecolor": "none",
                "markeredgewidth": 0.9,
                "zorder": 4,
            }
        case "limit" | "stored-limit":
            # The mark's size is that of its longest half.
            look |= {
                "marker": _arrow(),
                "markersize": 2.4 * (size + (3 if kind == "stored-limit" else 0)),
                "markerfacecolor": "none",
                "markeredgewidth": 0.5 if kind == "stored-limit" else 1.0,
                "zorder": 2,
            }
    return look


def _arrow() -> Any:
    """Return an arrow that hangs down from its point, whichever way the axis runs."""
    from matplotlib.path import Path as Outline

    codes = [Outline.LINETO] * len(_ARROW)
    for number in _ARROW_MOVES:
        codes[number] = Outline.MOVETO
    return Outline(_ARROW, codes)


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
    figure: Figure, parts: list[_Marks], styles: Mapping[str, Style], size: float
) -> None:
    """Name the bands by colour and shape, and the kinds with their numbers."""
    from matplotlib.lines import Line2D

    drawn = Counter[str]()
    for part in parts:
        shown = np.isfinite(part.mag) | np.isfinite(part.flux)
        drawn[part.kind] += int(np.count_nonzero(shown))
    grey = Style("#555555", "o", "x")
    labels: dict[_Kind, str] = {
        "detection": "detection",
        "forced": rf"forced (mag: $\geq{FORCED_SIGMAS:.0f}\sigma$)",
        "limit": rf"${LIMIT_SIGMAS:.0f}\sigma$ upper limit",
        "stored": "in YSE-PZ",
        "stored-limit": "limit in YSE-PZ",
    }
    size = max(size, 5.0)
    handles = [
        Line2D([], [], linestyle="none", label=band, **_look("detection", style, size))
        for band, style in styles.items()
    ]
    handles.append(Line2D([], [], linestyle="none", label=""))
    handles += [
        Line2D(
            [],
            [],
            linestyle="none",
            label=f"{label}: {drawn[kind]}",
            **_look(kind, grey, size),
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
