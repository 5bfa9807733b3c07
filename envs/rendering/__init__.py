"""Pictures of an episode: book ladder, own quotes and their place in the queue, price with fills, inventory, PnL.

`Camera` makes a `Scene` of one who trades at a `Source`, `paint` and `as_text` show one; `Renderer` is all of it for
an environment.
"""

from __future__ import annotations

from lobgym.envs.rendering.painter import paint
from lobgym.envs.rendering.renderer import RENDER_FPS, RENDER_MODES, VECTOR_RENDER_MODES, Renderer, check_render_mode
from lobgym.envs.rendering.scene import Dial, Fill, Level, OwnQuote, Sample, Scene, Tile
from lobgym.envs.rendering.source import ReplaySource, Source
from lobgym.envs.rendering.text import as_text

__all__ = [
    "RENDER_FPS",
    "RENDER_MODES",
    "VECTOR_RENDER_MODES",
    "Dial",
    "Fill",
    "Level",
    "OwnQuote",
    "Renderer",
    "ReplaySource",
    "Sample",
    "Scene",
    "Source",
    "Tile",
    "as_text",
    "check_render_mode",
    "paint",
]
