"""`Canvas`: shapes and text on a picture, without any display; the same bytes for the same calls.

Shapes are drawn twice as large and halved, which smooths their edges in integer arithmetic. Text is set afterwards, in
the font that Pillow brings along and with its own layout engine, so nothing depends on what a machine has installed.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from lobgym.envs.extras import need

__all__ = ["Canvas", "Colour", "mix"]

Colour: TypeAlias = tuple[int, int, int]
Point: TypeAlias = tuple[float, float]

_FINE: Final = 2  # how much larger shapes are drawn


def mix(colour: Colour, ground: Colour, share: float) -> Colour:
    """`share` of a colour on a ground: how something half-transparent would look."""
    red, green, blue = (round(a * share + b * (1 - share)) for a, b in zip(colour, ground, strict=True))
    return red, green, blue


@cache
def _font(size: int) -> Any:
    return need("PIL.ImageFont", "render").load_default(size)


class Canvas:
    """A picture of `width` x `height` pixels; coordinates from the upper left corner.

    Raises:
        ExtraMissingError: Pillow is not installed.
    """

    def __init__(self, width: int, height: int, ground: Colour) -> None:
        self._image = need("PIL.Image", "render").new("RGB", (width * _FINE, height * _FINE), ground)
        self._draw = need("PIL.ImageDraw", "render").Draw(self._image)
        self._texts: list[tuple[float, float, str, int, Colour, str]] = []

    def box(
        self, x0: float, y0: float, x1: float, y1: float, fill: Colour | None = None, edge: Colour | None = None,
        radius: float = 0,
    ) -> None:  # fmt: skip
        """A rectangle from (x0, y0) up to, not including, (x1, y1)."""
        corners = (x0 * _FINE, y0 * _FINE, max(x0, x1) * _FINE - 1, max(y0, y1) * _FINE - 1)
        if corners[2] < corners[0] or corners[3] < corners[1]:
            return
        self._draw.rounded_rectangle(corners, radius * _FINE, fill, edge, _FINE if edge else 0)

    def line(self, points: Sequence[Point], colour: Colour, width: float = 1.0) -> None:
        """A polyline."""
        if len(points) > 1:
            fine = [(x * _FINE, y * _FINE) for x, y in points]
            self._draw.line(fine, colour, round(width * _FINE), joint="curve" if width >= 1.5 else None)

    def area(self, points: Sequence[Point], fill: Colour, edge: Colour | None = None) -> None:
        """A polygon."""
        fine = [(x * _FINE, y * _FINE) for x, y in points]
        if len(fine) > 2:
            self._draw.polygon(fine, fill)
            if edge is not None:
                self._draw.line([*fine, fine[0]], edge, _FINE)

    def text(self, x: float, y: float, text: str, size: int, colour: Colour, anchor: str = "lm") -> None:
        """Text at a point; `anchor` as Pillow has it: l, m or r, and m for the middle or s for the baseline."""
        self._texts.append((x, y, text, size, colour, anchor))

    @staticmethod
    def width_of(text: str, size: int) -> float:
        """How wide a text is, in pixels."""
        return float(_font(size).getlength(text))

    def pixels(self) -> NDArray[np.uint8]:
        """uint8[height, width, 3]."""
        image = self._image.reduce(_FINE)
        draw = need("PIL.ImageDraw", "render").Draw(image)
        for x, y, text, size, colour, anchor in self._texts:
            draw.text((round(x), round(y)), text, colour, _font(size), anchor)
        return np.array(image, np.uint8)
