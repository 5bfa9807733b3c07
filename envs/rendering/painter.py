"""`paint`: a `Scene` as a picture of 960 x 540 pixels. The same scene gives the same bytes.

Left the ladder: asks above, bids below, best prices in the middle, a bar for what each level displays. Where an own
order stands, its bar is the queue: what is ahead of it in full colour, the order in amber, what is behind it pale.
Right price and fills, inventory, PnL over one axis of time; above all of it the figures, below the ladder the action.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from lobgym.envs.rendering.canvas import Canvas, mix
from lobgym.envs.rendering.charts import paint_charts
from lobgym.envs.rendering.scene import Dial, Level, Scene, Tile, compact
from lobgym.envs.rendering.style import (
    ASK,
    BAD,
    BID,
    EDGE,
    FAINT,
    GOOD,
    HEIGHT,
    MUTED,
    OWN,
    PAGE,
    PANEL,
    TEXT,
    WIDTH,
)

__all__ = ["paint"]

_HEAD: Final = 58.0  # height of the head line
_LEFT: Final = (12.0, 372.0)  # the ladder's panel, from and to
_ROW: Final = 19.5
_SPREAD: Final = 24.0
_PRICE_AT: Final = 88.0  # right edges of the columns, from the panel's left
_BAR: Final = (97.0, 203.0)
_QTY_AT: Final = 253.0
_OWN_AT: Final = 350.0


def paint(scene: Scene) -> NDArray[np.uint8]:
    """uint8[540, 960, 3].

    Raises:
        ExtraMissingError: Pillow is not installed.
    """
    canvas = Canvas(WIDTH, HEIGHT, PAGE)
    _head(canvas, scene)
    bottom = _ladder(canvas, scene, _HEAD)
    _action(canvas, scene.dials, scene.notes, bottom + 8)
    paint_charts(canvas, scene, _LEFT[1] + 10, _HEAD)
    return canvas.pixels()


def _head(canvas: Canvas, scene: Scene) -> None:
    canvas.text(14, 21, scene.title, 18, TEXT)
    canvas.text(14, 43, scene.subtitle, 11, MUTED)
    right = WIDTH - 14.0
    for tile in reversed(scene.tiles):
        wide = max(canvas.width_of(tile.label, 11), canvas.width_of(tile.value, 17), 46.0)
        canvas.text(right, 17, tile.label, 11, MUTED, "rm")
        canvas.text(right, 39, tile.value, 17, _tone(tile), "rm")
        right -= wide + 24


def _tone(tile: Tile) -> tuple[int, int, int]:
    return GOOD if tile.tone > 0 else BAD if tile.tone < 0 else TEXT


# -- the ladder --------------------------------------------------------------------------------------------------------


def _ladder(canvas: Canvas, scene: Scene, top: float) -> float:
    """Draw the ladder; returns where it ends."""
    left, right = _LEFT
    rows = 8
    bottom = top + 26 + 2 * rows * _ROW + _SPREAD + 6
    canvas.box(left, top, right, bottom, PANEL, EDGE, 6)
    for x, label in ((_PRICE_AT, "price"), (_QTY_AT, "quantity"), (_OWN_AT, "own / ahead")):
        canvas.text(left + x, top + 14, label, 11, MUTED, "rm")
    levels = [*scene.bids[:rows], *scene.asks[:rows]]
    most = max((level.qty for level in levels), default=0.0) or 1.0
    middle = top + 26 + rows * _ROW
    for place, level in enumerate(scene.asks[:rows]):
        _level(canvas, level, middle - (place + 1) * _ROW, most, ASK, place == 0, below=True)
    canvas.box(left + 1, middle, right - 1, middle + _SPREAD, FAINT)
    canvas.text((left + right) / 2, middle + _SPREAD / 2, scene.spread, 12, TEXT, "mm")
    for place, level in enumerate(scene.bids[:rows]):
        _level(canvas, level, middle + _SPREAD + place * _ROW, most, BID, place == 0, below=False)
    return bottom


def _level(
    canvas: Canvas, level: Level, y: float, most: float, colour: tuple[int, int, int], best: bool, below: bool
) -> None:
    left = _LEFT[0]
    middle = y + _ROW / 2
    if level.own:
        canvas.box(left + 1, y + 0.5, _LEFT[1] - 1, y + _ROW - 0.5, mix(OWN, PANEL, 0.12))
        canvas.box(left + 1, y + 0.5, left + 4, y + _ROW - 0.5, OWN)
    canvas.text(left + _PRICE_AT, middle, level.price, 13, TEXT if best or level.own else mix(TEXT, PANEL, 0.72), "rm")
    canvas.text(left + _QTY_AT, middle, compact(level.qty), 12, mix(TEXT, PANEL, 0.72), "rm")
    _queue(canvas, level, y, most, colour)
    if level.gap:  # towards the best, where rows are left out
        edge = y + _ROW if below else y
        for x in range(int(left + 10), int(_LEFT[1] - 8), 8):
            canvas.box(x, edge - 0.5, x + 3, edge + 0.5, MUTED)


def _queue(canvas: Canvas, level: Level, y: float, most: float, colour: tuple[int, int, int]) -> None:
    """The bar of a level; with own orders on it their places in the queue."""
    x0, x1 = _LEFT[0] + _BAR[0], _LEFT[0] + _BAR[1]
    top, bottom = y + 4, y + _ROW - 4
    # The square root keeps small levels visible beside large ones; places in the queue are shares of the bar.
    length = (x1 - x0) * (level.qty / most) ** 0.5 if level.qty > 0 else 0.0
    pale, full = mix(colour, PANEL, 0.42), mix(colour, PANEL, 0.85)
    canvas.box(x0, top, x0 + length, bottom, pale)
    if not level.own:
        return
    placed = [quote.ahead for quote in level.own if quote.ahead is not None]
    if placed and level.qty > 0:
        canvas.box(x0, top, x0 + length * min(1.0, min(placed) / level.qty), bottom, full)
    for quote in level.own:
        if quote.ahead is None:  # still on its way: a hollow mark behind everything
            canvas.box(x0 + length + 2, top, x0 + length + 7, bottom, None, OWN)
            continue
        at = x0 + length * (min(1.0, quote.ahead / level.qty) if level.qty > 0 else 0.0)
        canvas.box(at - 1, top - 2, at + 4, bottom + 2, mix(OWN, PANEL, 0.5) if quote.leaving else OWN)
    own = compact(sum(quote.qty for quote in level.own))
    text = f"{own} / {compact(min(placed))}" if placed else f"{own} sent"
    canvas.text(_LEFT[0] + _OWN_AT, y + _ROW / 2, text, 12, OWN, "rm")


# -- the action --------------------------------------------------------------------------------------------------------


def _action(canvas: Canvas, dials: tuple[Dial, ...], notes: tuple[str, ...], top: float) -> None:
    """What the policy said last: one row a dimension."""
    left, right = _LEFT
    bottom = HEIGHT - 12.0
    canvas.box(left, top, right, bottom, PANEL, EDGE, 6)
    rows = max(1, len(dials) + len(notes))
    height = min(22.0, (bottom - top - 10) / rows)
    size = 12 if height >= 15 else 11
    for place, dial in enumerate(dials):
        y = top + 5 + (place + 0.5) * height
        canvas.text(left + 12, y, dial.name.replace("_", " "), size, MUTED)
        x0, x1 = left + 112, left + 232
        canvas.box(x0, y - 1, x1, y + 1, EDGE)
        if dial.at >= 0:
            x = x0 + (x1 - x0) * ((dial.at + 0.5) / dial.count)
            canvas.box(x - 4, y - 4, x + 4, y + 4, OWN, None, 4)
            canvas.text(right - 12, y, dial.meaning, size, TEXT, "rm")
    for place, note in enumerate(notes, start=len(dials)):
        canvas.text(left + 12, top + 5 + (place + 0.5) * height, note, size, TEXT)
