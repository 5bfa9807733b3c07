"""Small charts as inline SVG: lines, marks, axes. Colours come from the style sheet of the page that holds them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

__all__ = ["Marks", "Series", "format_fixed", "format_number", "line_chart", "nice_ticks", "shared_decimals", "whisker"]

POINTS_MAX: Final = 1_500
MARKS_MAX: Final = 800
_LEFT, _RIGHT, _TOP, _BOTTOM = 66, 26, 12, 30


@dataclass(frozen=True)
class Series:
    """A line: its name, the CSS class that colours it, its points, and whether it holds its value between them.

    `low` and `high`, where given, are the edges of a band around it, one of each for a point.
    """

    name: str
    css: str
    x: Sequence[float]
    y: Sequence[float]
    step: bool = False
    low: Sequence[float] = ()
    high: Sequence[float] = ()


@dataclass(frozen=True)
class Marks:
    """Triangles over a chart, pointing up or down, each with a text that shows when the pointer rests on it."""

    name: str
    css: str
    x: Sequence[float]
    y: Sequence[float]
    up: bool
    texts: Sequence[str]


def line_chart(
    series: Sequence[Series],
    marks: Sequence[Marks] = (),
    *,
    label: str,
    x_unit: str = "s",
    size: tuple[int, int] = (1080, 260),
    zero_line: bool = False,
    log_x: bool = False,
) -> str:
    """An SVG element with axes, a grid, the lines, and the marks above them. `label` describes it to screen readers.

    With `log_x` every x must be above 0.
    """
    width, height = size
    ys = [value for one in series for value in (*one.y, *one.low, *one.high)]
    ys += [value for one in marks for value in one.y]
    xs = [value for one in series for value in one.x]
    if not xs or not ys:
        nothing = f'<text x="10" y="34" class="tick">no data: {escape(label)}</text>'
        return f'<svg viewBox="0 0 {width} 60" role="img">{nothing}</svg>'
    low, high = _domain([*ys, 0.0] if zero_line else ys)
    x_low, x_high = min(xs), max(max(xs), min(xs) + 1e-9)
    at = math.log10 if log_x else float
    across = (width - _LEFT - _RIGHT) / (at(x_high) - at(x_low))
    down = (height - _TOP - _BOTTOM) / (high - low)

    def to_x(value: float) -> float:
        return _LEFT + (at(value) - at(x_low)) * across

    def to_y(value: float) -> float:
        return _TOP + (high - value) * down

    parts = [f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{escape(label, quote=True)}">']
    ticks = nice_ticks(low, high, 5)
    step = ticks[1] - ticks[0] if len(ticks) > 1 else 1.0
    for value in ticks:
        css = "axis" if zero_line and value == 0 else "gridline"
        y = to_y(value)
        parts.append(f'<line class="{css}" x1="{_LEFT}" x2="{width - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text class="tick end" x="{_LEFT - 8}" y="{y + 4:.1f}">{_tick_text(value, step)}</text>')
    x_ticks = _log_ticks(x_low, x_high) if log_x else nice_ticks(x_low, x_high, max(3, width // 130))
    for value in x_ticks:
        unit = f" {x_unit}" if x_unit and value == x_ticks[-1] else ""
        parts.append(f'<text class="tick middle" x="{to_x(value):.1f}" y="{height - 8}">{value:g}{unit}</text>')
    for one in series:
        if one.low:
            edge = [*zip(one.x, one.high, strict=True), *reversed(list(zip(one.x, one.low, strict=True)))]
            outline = _path([(to_x(x), to_y(y)) for x, y in edge], False)
            parts.append(f'<path class="band {one.css}" d="{outline}Z"/>')
    for one in series:
        points = _thin(list(zip(one.x, one.y, strict=True)))
        path = _path([(to_x(x), to_y(y)) for x, y in points], one.step)
        parts.append(f'<path class="line {one.css}" d="{path}"><title>{escape(one.name)}</title></path>')
    for many in marks:
        for x, y, text in list(zip(many.x, many.y, many.texts, strict=True))[:MARKS_MAX]:
            parts.append(_triangle(to_x(x), to_y(y), many.up, many.css, text))
    return "".join([*parts, "</svg>"])


def whisker(mean: float, low: float, high: float, domain: tuple[float, float], css: str) -> str:
    """A row's mean and interval on an axis shared by all rows, with a line at zero: an SVG element.

    What lies outside the domain ends in an arrow at its edge, so that one extreme row does not flatten all others.
    """
    width, height, pad = 150, 22, 8
    start, end = _domain([*domain, 0.0])
    middle = height / 2

    def to_x(value: float) -> float:
        return pad + (min(max(value, start), end) - start) / (end - start) * (width - 2 * pad)

    if start <= mean <= end:
        dot = f'<circle class="dot {css}" cx="{to_x(mean):.1f}" cy="{middle}" r="4"/>'
    else:
        ahead = 7 if mean > end else -7
        dot = f'<path class="dot {css}" d="M{to_x(mean) + ahead:.1f} {middle}l{-ahead} -5v10z"/>'
    return (
        f'<svg class="whisker" viewBox="0 0 {width} {height}" aria-hidden="true">'
        f'<line class="axis" x1="{to_x(0):.1f}" x2="{to_x(0):.1f}" y1="2" y2="{height - 2}"/>'
        f'<line class="line {css}" x1="{to_x(low):.1f}" x2="{to_x(high):.1f}" y1="{middle}" y2="{middle}"/>'
        f"{dot}</svg>"
    )


def nice_ticks(low: float, high: float, count: int) -> list[float]:
    """About `count` round numbers within [low, high], steps of 1, 2 or 5 times a power of ten."""
    span = max(high - low, 1e-12)
    raw = span / max(count, 1)
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= raw * (1 - 1e-9))
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [index * step if index else 0.0 for index in range(first, last + 1)]


def format_number(value: float, digits: int = 3, sign: bool = False) -> str:
    """About `digits` significant digits, thousands separated, a true minus sign; never in powers of ten."""
    return format_fixed(value, shared_decimals([value], digits), sign)


def format_fixed(value: float, decimals: int, sign: bool = False) -> str:
    """`decimals` digits after the point, thousands separated, a true minus sign; a dash for what is not finite."""
    if not math.isfinite(value):
        return "–"
    rounded = round(value, decimals) + 0.0  # without the zero, -0.001 would become -0.00
    text = f"{rounded:+,.{decimals}f}" if sign and rounded else f"{rounded:,.{decimals}f}"
    return text.replace("-", "−")


def shared_decimals(values: Iterable[float], digits: int = 3) -> int:
    """Digits after the point that give the median size of the values, zeros aside, about `digits` significant ones."""
    sizes = sorted(abs(value) for value in values if value and math.isfinite(value))
    return min(max(digits - 1 - math.floor(math.log10(sizes[len(sizes) // 2])), 0), 8) if sizes else 0


def _log_ticks(low: float, high: float) -> list[float]:
    """Powers of ten within [low, high], at most seven; over less than three of them also 2 and 5 times as much."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    factors = (1, 2, 5) if last - first <= 3 else (1,)
    stride = -(-(last - first + 1) // 7)
    ticks = [factor * 10.0**k for k in range(first, last + 1, stride) for factor in factors]
    return [tick for tick in ticks if low <= tick <= high]


def _tick_text(value: float, step: float) -> str:
    decimals = max(0, -math.floor(math.log10(abs(step)) + 1e-9)) if step else 0
    return format_fixed(value, min(decimals, 8))


def _domain(values: Sequence[float]) -> tuple[float, float]:
    """Bounds with a margin of 4%, never empty."""
    low, high = min(values), max(values)
    margin = (high - low) * 0.04 or max(abs(high) * 0.01, 1.0)
    return low - margin, high + margin


def _thin(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """At most POINTS_MAX points, evenly spaced, the last one kept."""
    stride = math.ceil(len(points) / POINTS_MAX)
    return points if stride <= 1 else [*points[::stride], points[-1]]


def _path(points: Sequence[tuple[float, float]], step: bool) -> str:
    pieces = [f"M{points[0][0]:.1f} {points[0][1]:.1f}"]
    for x, y in points[1:]:
        pieces.append(f"H{x:.1f}V{y:.1f}" if step else f"L{x:.1f} {y:.1f}")
    return "".join(pieces)


def _triangle(x: float, y: float, up: bool, css: str, text: str) -> str:
    tip = 5.5 if up else -5.5
    shape = f"M{x:.1f} {y - tip:.1f}l4.6 {1.6 * tip:.1f}h-9.2z"
    return f'<path class="mark {css}" d="{shape}"><title>{escape(text)}</title></path>'
