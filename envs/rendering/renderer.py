"""`Renderer`: what an environment's `render` does. It watches an `EnvCore` and shows its lanes in one of the modes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lobgym.envs.rendering.camera import Camera
from lobgym.envs.rendering.painter import paint
from lobgym.envs.rendering.text import as_text
from lobgym.envs.rendering.window import Window
from lobgym.sim.errors import ParamsError

if TYPE_CHECKING:
    from lobgym.envs.core import EnvCore

__all__ = ["RENDER_FPS", "RENDER_MODES", "VECTOR_RENDER_MODES", "Renderer", "check_render_mode"]

RENDER_FPS: Final = 10
RENDER_MODES: Final = ("human", "rgb_array", "ansi")
VECTOR_RENDER_MODES: Final = ("rgb_array", "ansi")


def check_render_mode(mode: str | None, modes: tuple[str, ...]) -> None:
    """Raise ParamsError unless `mode` is None or one of `modes`."""
    if mode is not None and mode not in modes:
        raise ParamsError(f"render_mode must be None or one of {', '.join(modes)}, got {mode!r}")


class Renderer:
    """Films a core from its next reset on.

    Args:
        core: what it watches; it must call `began` after every reset and `stepped` after every step.
        mode: one of RENDER_MODES. In mode "human" the first lane is shown at each of these calls.
        caption: lines of text about a lane, by its number.

    Raises:
        ExtraMissingError: a package of the extra `render` is not installed.
    """

    def __init__(self, core: EnvCore, mode: str, caption: Callable[[int], tuple[str, ...]] | None = None) -> None:
        self._core = core
        self._mode = mode
        self._camera = Camera(core, caption)
        title = f"lobgym {core.spec.kind} {core.market.instrument.symbol}"
        self._window = Window(title, RENDER_FPS) if mode == "human" else None

    @classmethod
    def watching(
        cls, core: EnvCore, mode: str | None, caption: Callable[[int], tuple[str, ...]] | None = None
    ) -> Renderer | None:
        """A renderer that the core calls from now on, or None without a mode."""
        if mode is None:
            return None
        made = cls(core, mode, caption)
        core.watcher = made
        return made

    def began(self, mask: NDArray[np.bool_] | None = None) -> None:
        """The lanes of `mask` (default: all) have been reset."""
        self._camera.began(mask)
        self._show()

    def stepped(self, actions: ArrayLike | None = None, mask: NDArray[np.bool_] | None = None) -> None:
        """The lanes of `mask` have made a step with these raw actions."""
        self._camera.stepped(actions, mask)
        self._show()

    def pixels(self, lane: int = 0) -> NDArray[np.uint8]:
        """uint8[540, 960, 3]: a lane as it is now."""
        return paint(self._camera.scene(lane))

    def text(self, lane: int = 0) -> str:
        """A lane as it is now, for a terminal: one line that a program can read, then the picture."""
        return f"{self._core.line(lane)}\n{as_text(self._camera.scene(lane))}"

    def render(self) -> Any:
        """The first lane in the renderer's mode: pixels, text, or None for "human", which has been shown already."""
        if self._mode == "rgb_array":
            return self.pixels()
        return self.text() if self._mode == "ansi" else None

    def render_all(self) -> tuple[Any, ...]:
        """Every lane: pixels, or one line of text each."""
        lanes = range(self._core.lanes)
        return tuple(self.pixels(i) if self._mode == "rgb_array" else self._core.line(i) for i in lanes)

    def close(self) -> None:
        """Close the window, if there is one."""
        if self._window is not None:
            self._window.close()

    def _show(self) -> None:
        if self._window is not None and not self._window.closed:
            self._window.show(self.pixels())
