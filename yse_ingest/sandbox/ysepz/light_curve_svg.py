"""A light curve as inline SVG: magnitudes, bright ones up, against MJD."""

from __future__ import annotations

import html
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from yse_ingest.sandbox.ysepz.values import stored_mjd

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

BAND_COLOURS: Final = {"g-ZTF": "#2a9d5c", "r-ZTF": "#d1495b", "i-ZTF": "#c58b1b"}

OTHER_COLOUR: Final = "#5b6b8c"

WIDTH, HEIGHT = 1000, 460
LEFT, RIGHT, TOP, BOTTOM = 64, 20, 16, 52
LARGEST_ERROR_MAG: Final = 3.0


@dataclass(frozen=True, slots=True)
class _Mark:
    mjd: float
    mag: float
    mag_err: float
    band: str
    limit: bool
    bad: bool
    title: str


def light_curve_svg(points: Sequence[Mapping[str, Any]]) -> str:
    """Return the picture of points; where there is flux alone, its magnitude or limit."""
    marks = [mark for point in points if (mark := _mark(point)) is not None]
    if not marks:
        return (
            f'<svg viewBox="0 0 {WIDTH} 120" role="img" aria-label="empty light curve">'
            f'<text x="{WIDTH / 2}" y="66" text-anchor="middle" fill="#5c6b7a">'
            "nothing to draw yet</text></svg>"
        )
    times = _Scale.around(
        [mark.mjd for mark in marks], LEFT, WIDTH - RIGHT, pad=0.03, least=1.0
    )
    reach = [mark.mag - mark.mag_err for mark in marks] + [
        mark.mag + mark.mag_err for mark in marks
    ]
    mags = _Scale.around(reach, TOP, HEIGHT - BOTTOM, pad=0.06, least=0.5)
    parts = [*_frame(times, mags)]
    parts += [
        _draw(mark, times(mark.mjd), mags(mark.mag), _bar(mark, mags))
        for mark in sorted(marks, key=lambda one: one.mjd)
    ]
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="light curve" '
        'font-family="system-ui, sans-serif" font-size="13">' + "".join(parts) + "</svg>"
    )


@dataclass(frozen=True, slots=True)
class _Scale:
    low: float
    high: float
    start: float
    end: float

    @classmethod
    def around(
        cls, values: Sequence[float], start: float, end: float, *, pad: float, least: float
    ) -> _Scale:
        low, high = min(values), max(values)
        wider = max(least - (high - low), 0.0) / 2 + pad * max(high - low, least)
        return cls(low - wider, high + wider, start, end)

    def __call__(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low)
        return self.start + share * (self.end - self.start)

    def ticks(self, wanted: int) -> Iterable[tuple[float, str]]:
        raw = (self.high - self.low) / wanted
        magnitude = 10.0 ** math.floor(math.log10(raw))
        step = next(one * magnitude for one in (1, 2, 5, 10) if one * magnitude >= raw)
        digits = max(0, -math.floor(math.log10(step)))
        number = math.ceil(self.low / step)
        while number * step <= self.high:
            yield number * step, f"{number * step:.{digits}f}"
            number += 1


def _mark(point: Mapping[str, Any]) -> _Mark | None:
    mag, error, limit = point["mag"], point["mag_err"] or 0.0, False
    if mag is None:
        flux, flux_err = point["flux"], point["flux_err"]
        if flux_err is None or flux_err <= 0:
            return None
        zero = point["flux_zero_point"] if point["flux_zero_point"] is not None else 27.5
        limit = flux is None or flux < 3 * flux_err
        mag = zero - 2.5 * math.log10(3 * flux_err if limit else flux)
        error = 0.0 if limit else 1.0857 * flux_err / flux
    if not 0 < mag < 40:
        return None
    label = f"{'> ' if limit else ''}{mag:.3f}{'' if limit else f' ± {error:.3f}'}"
    return _Mark(
        mjd=stored_mjd(point["obs_date"]),
        mag=mag,
        mag_err=min(max(error, 0.0), LARGEST_ERROR_MAG),
        band=point["band"],
        limit=limit,
        bad=bool(point["data_quality"]),
        title=f"{point['band']}  {point['obs_date'][:23]}  {label}  id {point['pk']}",
    )


def _frame(times: _Scale, mags: _Scale) -> Iterable[str]:
    bottom, right = HEIGHT - BOTTOM, WIDTH - RIGHT
    for value, label in mags.ticks(7):
        y = mags(value)
        yield f'<line x1="{LEFT}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}" stroke="#edf0f4"/>'
        yield (
            f'<text x="{LEFT - 8}" y="{y + 4.5:.1f}" text-anchor="end" fill="#5c6b7a">'
            f"{label}</text>"
        )
    for value, label in times.ticks(8):
        x = times(value)
        yield f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{bottom}" stroke="#edf0f4"/>'
        yield (
            f'<text x="{x:.1f}" y="{bottom + 20}" text-anchor="middle" fill="#5c6b7a">'
            f"{label}</text>"
        )
    yield (
        f'<rect x="{LEFT}" y="{TOP}" width="{right - LEFT}" height="{bottom - TOP}" '
        'fill="none" stroke="#b8c2cc"/>'
    )
    middle = (TOP + bottom) / 2
    yield (
        f'<text x="{(LEFT + right) / 2}" y="{HEIGHT - 8}" text-anchor="middle" '
        'fill="#1c2733">MJD (UTC)</text>'
    )
    yield (
        f'<text x="16" y="{middle}" text-anchor="middle" fill="#1c2733" '
        f'transform="rotate(-90 16 {middle})">magnitude</text>'
    )


def _bar(mark: _Mark, mags: _Scale) -> tuple[float, float]:
    return mags(mark.mag - mark.mag_err), mags(mark.mag + mark.mag_err)


def _draw(mark: _Mark, x: float, y: float, bar: tuple[float, float]) -> str:
    colour = BAND_COLOURS.get(mark.band, OTHER_COLOUR)
    title = f"<title>{html.escape(mark.title)}</title>"
    if mark.limit:
        shape = (
            f'<path d="M{x - 5:.1f} {y - 3:.1f}h10l-5 8z" fill="none" stroke="{colour}" '
            'stroke-opacity=".7"/>'
        )
    else:
        fill = "none" if mark.bad else colour
        shape = (
            f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{bar[0]:.1f}" y2="{bar[1]:.1f}" '
            f'stroke="{colour}" stroke-opacity=".6"/>'
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{fill}" fill-opacity=".85" '
            f'stroke="{colour}"/>'
        )
    return f"<g>{title}{shape}</g>"
