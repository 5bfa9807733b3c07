"""The three charts of a picture: price with own quotes and fills, inventory, PnL. One axis of time for all of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from lobgym.envs.rendering.canvas import Canvas, Colour, mix
from lobgym.envs.rendering.scene import Fill, Sample, Scene, compact
from lobgym.envs.rendering.style import ASK, BAD, BID, EDGE, FAINT, GOOD, HEIGHT, LINE, MUTED, OWN, PANEL, TEXT, WIDTH

__all__ = ["paint_charts", "ticks_of"]

_GUTTER: Final = 74.0  # for the labels of the value axes, at the right
_GAP: Final = 8.0
_SHARES: Final = (0.50, 0.235, 0.265)  # of the height: price, inventory, PnL with the axis of time
_TIME_AXIS: Final = 20.0
_SPAN_MIN: Final = 10.0  # seconds that the axis of time spans at least


@dataclass(frozen=True)
class _Frame:
    """A chart's plot area and its scales."""

    x0: float
    x1: float
    y0: float
    y1: float
    t0: float
    t1: float
    low: float
    high: float

    def x(self, seconds: float) -> float:
        return self.x0 + (self.x1 - self.x0) * (seconds - self.t0) / (self.t1 - self.t0)

    def y(self, value: float) -> float:
        return self.y1 - (self.y1 - self.y0) * (value - self.low) / (self.high - self.low)


def ticks_of(low: float, high: float, most: int) -> list[float]:
    """Round values in [low, high], at most `most` + 1 of them: steps of 1, 2 or 5 times a power of ten."""
    raw = (high - low) / max(1, most)
    if not raw > 0 or not math.isfinite(raw):
        return [low]
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * k for k in (1, 2, 5, 10) if power * k >= raw * (1 - 1e-9))
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [k * step for k in range(first, last + 1)]


def paint_charts(canvas: Canvas, scene: Scene, left: float, top: float) -> None:
    """Draw the charts into everything right of `left` and below `top`."""
    right, height = WIDTH - 12.0, HEIGHT - 12.0 - top - 2 * _GAP
    samples = scene.samples
    t0 = samples[0].seconds if samples else 0.0
    t1 = max(samples[-1].seconds if samples else 0.0, t0 + _SPAN_MIN)
    y = top
    areas = []
    for place, share in enumerate(_SHARES):
        bottom = y + height * share
        canvas.box(left, y, right, bottom, PANEL, EDGE, 6)
        areas.append((y + 24, bottom - (_TIME_AXIS if place == 2 else 8)))
        y = bottom + _GAP
    ranges = (_price_range(scene), _position_range(scene), _pnl_range(samples))
    drawers: tuple[Callable[[Canvas, Scene, _Frame], None], ...] = (_price, _inventory, _pnl)
    labels = ("price", f"inventory, {scene.position_unit}".rstrip(", "), f"PnL, {scene.money}".rstrip(", "))
    for (y0, y1), (low, high), draw, label in zip(areas, ranges, drawers, labels, strict=True):
        frame = _Frame(left + 12, right - _GUTTER, y0, y1, t0, t1, low, high)
        canvas.text(left + 12, y0 - 11, label, 11, MUTED)
        draw(canvas, scene, frame)
    _time_axis(canvas, left + 12, right - _GUTTER, t0, t1, areas[-1][1])


# -- ranges ------------------------------------------------------------------------------------------------------------


def _price_range(scene: Scene) -> tuple[float, float]:
    """All bests and fills; own quotes only as far as they do not squeeze the market into a line."""
    seen = [p for s in scene.samples for p in (s.bid, s.ask) if not math.isnan(p)]
    if not seen:
        return 0.0, 1.0
    fills = [fill.price for fill in scene.fills if fill.seconds >= scene.samples[0].seconds]
    low, high = min(seen + fills), max(seen + fills)
    room = max(high - low, 4 * 10.0**-scene.price_digits)
    quotes = [p for s in scene.samples for p in (s.own_bid, s.own_ask) if low - room <= p <= high + room]
    low, high = min([low, *quotes]), max([high, *quotes])
    pad = 0.06 * max(high - low, room)
    return low - pad, high + pad


def _position_range(scene: Scene) -> tuple[float, float]:
    most = max(
        [abs(s.position) for s in scene.samples] + [abs(s.wish) for s in scene.samples if s.wish == s.wish] + [0]
    )
    reach = max(1.15 * most, 0.1 * scene.position_max)
    return -reach, reach


def _pnl_range(samples: Sequence[Sample]) -> tuple[float, float]:
    values = [s.pnl for s in samples] + [0.0]
    low, high = min(values), max(values)
    pad = 0.1 * (high - low) or 1.0
    return low - pad, high + pad


# -- charts ------------------------------------------------------------------------------------------------------------


def _grid(canvas: Canvas, frame: _Frame, most: int, text: Callable[[float], str]) -> None:
    values = ticks_of(frame.low, frame.high, most)
    if len(values) < 2:  # 0 alone is no scale
        values = ticks_of(frame.low, frame.high, 2 * most)
    for value in values:
        y = round(frame.y(value))
        canvas.box(frame.x0, y, frame.x1, y + 1, FAINT)
        canvas.text(frame.x1 + 8, y, text(value), 11, MUTED)


def _runs(samples: Sequence[Sample], value: Callable[[Sample], float]) -> list[list[tuple[float, float]]]:
    """(seconds, value) without the gaps where there is no value."""
    runs: list[list[tuple[float, float]]] = [[]]
    for sample in samples:
        if math.isnan(value(sample)):
            runs.append([])
        else:
            runs[-1].append((sample.seconds, value(sample)))
    return [run for run in runs if run]


def _steps(frame: _Frame, run: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """A run as a staircase: a value holds until the next one."""
    points: list[tuple[float, float]] = []
    for seconds, value in run:
        x, y = frame.x(seconds), frame.y(value)
        if points:
            points.append((x, points[-1][1]))
        points.append((x, y))
    return points


def _inside(frame: _Frame, value: Callable[[Sample], float]) -> Callable[[Sample], float]:
    return lambda sample: value(sample) if frame.low <= value(sample) <= frame.high else math.nan


def _price(canvas: Canvas, scene: Scene, frame: _Frame) -> None:
    _grid(canvas, frame, 5, lambda value: f"{value:,.{scene.price_digits}f}")
    for run in _runs(scene.samples, lambda s: s.ask - s.bid):
        spans = {seconds for seconds, _ in run}
        held = [s for s in scene.samples if s.seconds in spans]
        upper = _steps(frame, [(s.seconds, s.ask) for s in held])
        lower = _steps(frame, [(s.seconds, s.bid) for s in held])
        canvas.area([*upper, *reversed(lower)], mix(LINE, PANEL, 0.30))
        canvas.line(_steps(frame, [(s.seconds, (s.bid + s.ask) / 2) for s in held]), mix(LINE, PANEL, 0.9), 1.5)
    for own in (lambda s: s.own_bid, lambda s: s.own_ask):
        for run in _runs(scene.samples, _inside(frame, own)):
            canvas.line(_steps(frame, run), mix(OWN, PANEL, 0.8), 1.0)
    for fill in scene.fills:
        if fill.seconds >= frame.t0:
            _mark(canvas, frame.x(fill.seconds), frame.y(fill.price), fill)
    _legend(canvas, frame)


def _mark(canvas: Canvas, x: float, y: float, fill: Fill | None, buy: bool = True, maker: bool = True) -> None:
    """A triangle: up for bought, down for sold; full where the trader was the maker."""
    if fill is not None:
        buy, maker = fill.buy, fill.maker
    colour = BID if buy else ASK
    tip = -3.5 if buy else 3.5
    canvas.area(
        [(x - 4, y - tip), (x + 4, y - tip), (x, y + tip)], colour if maker else PANEL, TEXT if maker else colour
    )


def _legend(canvas: Canvas, frame: _Frame) -> None:
    x, y = frame.x1, frame.y0 - 11
    for text, buy, maker in (("taken", True, False), ("sold", False, True), ("bought", True, True)):
        canvas.text(x, y, text, 11, MUTED, "rm")
        x -= canvas.width_of(text, 11) + 12
        _mark(canvas, x, y, None, buy, maker)
        x -= 16
    canvas.text(x, y, "own quotes", 11, MUTED, "rm")
    x -= canvas.width_of("own quotes", 11) + 22
    canvas.box(x, y - 1, x + 16, y + 1, OWN)


def _inventory(canvas: Canvas, scene: Scene, frame: _Frame) -> None:
    _grid(canvas, frame, 4, compact)
    points = _steps(frame, [(s.seconds, s.position) for s in scene.samples])
    _filled(canvas, frame, points, BID, ASK)
    for run in _runs(scene.samples, lambda s: s.wish):
        canvas.line(_steps(frame, run), OWN, 1.0)
    if any(s.wish == s.wish for s in scene.samples):
        canvas.text(frame.x1, frame.y0 - 11, "aimed at", 11, MUTED, "rm")
        x = frame.x1 - canvas.width_of("aimed at", 11) - 22
        canvas.box(x, frame.y0 - 12, x + 16, frame.y0 - 10, OWN)


def _pnl(canvas: Canvas, scene: Scene, frame: _Frame) -> None:
    span = frame.high - frame.low
    digits = max(0, min(8, 1 - math.floor(math.log10(span)))) if span < 20 else 0
    _grid(canvas, frame, 3, lambda value: f"{value:,.{digits}f}")
    points = [(frame.x(s.seconds), frame.y(s.pnl)) for s in scene.samples]
    _filled(canvas, frame, points, GOOD, BAD)


def _filled(canvas: Canvas, frame: _Frame, points: list[tuple[float, float]], above: Colour, below: Colour) -> None:
    """A line, with the area between it and zero in one colour above and another below."""
    zero = frame.y(0.0)
    if len(points) > 1:
        ends = [(points[-1][0], zero), (points[0][0], zero)]
        for colour, part in ((above, min), (below, max)):
            clipped = _clipped(points, zero, part)
            canvas.area([*clipped, *ends], mix(colour, PANEL, 0.35))
    canvas.box(frame.x0, round(zero), frame.x1, round(zero) + 1, EDGE)
    canvas.line(points, TEXT, 1.2)
    if points:
        x, y = points[-1]
        canvas.box(x - 3, y - 3, x + 3, y + 3, TEXT, None, 3)


def _clipped(
    points: Sequence[tuple[float, float]], zero: float, part: Callable[[float, float], float]
) -> list[tuple[float, float]]:
    """The line where it is on one side of zero, else zero; the crossings are points of it."""
    out = []
    for place, (x, y) in enumerate(points):
        if place:
            px, py = points[place - 1]
            if (py - zero) * (y - zero) < 0:
                out.append((px + (x - px) * (zero - py) / (y - py), zero))
        out.append((x, part(y, zero)))
    return out


def _time_axis(canvas: Canvas, x0: float, x1: float, t0: float, t1: float, y: float) -> None:
    for value in ticks_of(t0, t1, 6):
        x = x0 + (x1 - x0) * (value - t0) / (t1 - t0)
        canvas.text(x, y + 10, _clock(value), 11, MUTED, "mm")


def _clock(seconds: float) -> str:
    whole = round(seconds)
    if abs(seconds - whole) > 1e-6:
        return f"{seconds:g} s"
    return (
        f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"
        if whole >= 3600
        else f"{whole // 60}:{whole % 60:02d}"
    )
