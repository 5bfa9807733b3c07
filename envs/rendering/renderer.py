"""`Renderer`: what an environment's `render` does. It watches a core and shows its traders in one of the modes."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lobgym.envs.rendering.camera import Camera, Caption
from lobgym.envs.rendering.painter import paint
from lobgym.envs.rendering.source import ReplaySource, Source
from lobgym.envs.rendering.text import as_text
from lobgym.envs.rendering.window import Window
from lobgym.sim.errors import ParamsError

__all__ = ["RENDER_FPS", "RENDER_MODES", "VECTOR_RENDER_MODES", "Renderer", "check_render_mode"]

RENDER_FPS: Final = 10
RENDER_MODES: Final = ("human", "rgb_array", "ansi")
VECTOR_RENDER_MODES: Final = ("rgb_array", "ansi")


def check_render_mode(mode: str | None, modes: tuple[str, ...]) -> None:
    """Raise ParamsError unless `mode` is None or one of `modes`."""
    if mode is not None and mode not in modes:
        raise ParamsError(f"render_mode must be None or one of {', '.join(modes)}, got {mode!r}")


class Renderer:
    """Films the traders of a source from their next reset on.

    Args:
        source: who calls `began` after every reset and `stepped` after every step.
        mode: one of RENDER_MODES. In mode "human" `shown` is shown at each of these calls.
        caption: lines of text about a trader, by its number.
        shown: the trader that a scalar environment shows.

    Raises:
        ExtraMissingError: a package of the extra `render` is not installed.
    """

    def __init__(self, source: Source, mode: str, caption: Caption | None = None, shown: int = 0) -> None:
        self._source = source
        self._mode = mode
        self._lane = shown
        self._camera = Camera(source, caption)
        title = f"lobgym {source.spec(shown).kind} {source.title(shown)}"
        self._window = Window(title, RENDER_FPS) if mode == "human" else None

    @classmethod
    def watching(cls, core: Any, mode: str | None, caption: Caption | None = None) -> Renderer | None:
        """A renderer that an `EnvCore` calls from now on, or None without a mode."""
        if mode is None:
            return None
        made = cls(ReplaySource(core), mode, caption)
        core.watcher = made
        return made

    def began(self, mask: NDArray[np.bool_] | None = None) -> None:
        """The traders of `mask` (default: all) have been reset."""
        self._camera.began(mask)
        self._show()

    def stepped(self, actions: ArrayLike | None = None, mask: NDArray[np.bool_] | None = None) -> None:
        """The traders of `mask` have made a step with these raw actions."""
        self._camera.stepped(actions, mask)
        self._show()

    def pixels(self, i: int = 0) -> NDArray[np.uint8]:
        """uint8[540, 960, 3]: a trader as it is now."""
        return paint(self._camera.scene(i))

    def text(self, i: int = 0) -> str:
        """A trader as it is now, for a terminal: a line that a program can read, then the picture."""
        return f"{self._source.line(i)}\n{as_text(self._camera.scene(i))}"

    def render(self) -> Any:
        """One trader in the renderer's mode: pixels, text, or None for "human", which has been shown already."""
        if self._mode == "rgb_array":
            return self.pixels(self._lane)
        return self.text(self._lane) if self._mode == "ansi" else None

    def render_all(self) -> tuple[Any, ...]:
        """Every trader: pixels, or one line of text each."""
        everyone = range(self._source.traders)
        return tuple(self.pixels(i) if self._mode == "rgb_array" else self._source.line(i) for i in everyone)

    def close(self) -> None:
        """Close the window, if there is one."""
        if self._window is not None:
            self._window.close()

    def _show(self) -> None:
        if self._window is not None and not self._window.closed:
            self._window.show(self.pixels(self._lane))
