"""Sizes and colours of the pictures. Sides differ by place and shape as well, not by colour alone."""

from __future__ import annotations

from typing import Final

from lobgym.envs.rendering.canvas import Colour

__all__ = [
    "ASK", "BAD", "BID", "EDGE", "FAINT", "GOOD", "HEIGHT", "LINE", "MUTED", "OWN", "PAGE", "PANEL", "TEXT", "WIDTH",
]  # fmt: skip

WIDTH: Final = 960  # even numbers: video encoders want them
HEIGHT: Final = 540

PAGE: Final[Colour] = (14, 17, 22)
PANEL: Final[Colour] = (22, 27, 34)
EDGE: Final[Colour] = (42, 49, 59)
FAINT: Final[Colour] = (31, 38, 48)
TEXT: Final[Colour] = (232, 236, 241)
MUTED: Final[Colour] = (139, 150, 166)
BID: Final[Colour] = (69, 196, 134)
ASK: Final[Colour] = (255, 123, 114)
OWN: Final[Colour] = (255, 203, 92)
LINE: Final[Colour] = (110, 163, 255)
GOOD: Final[Colour] = (69, 196, 134)
BAD: Final[Colour] = (255, 123, 114)
