"""`Window`: frames on a screen, at a steady pace. Without a display SDL draws into memory: nothing is seen."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lobgym.envs.extras import need

__all__ = ["Window"]


class Window:
    """Opens with its first frame; closing it by hand ends the showing, not the episode.

    Args:
        title: of the window.
        fps: frames a second that `show` does not exceed: it waits.

    Raises:
        ExtraMissingError: pygame is not installed.
    """

    def __init__(self, title: str, fps: int) -> None:
        os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
        self._pygame = need("pygame", "render")
        self._title = title
        self._fps = fps
        self._screen: Any = None
        self._clock: Any = None
        self.closed = False

    def show(self, pixels: NDArray[np.uint8]) -> None:
        """Show uint8[height, width, 3]."""
        if self.closed:
            return
        pygame = self._pygame
        if self._screen is None:
            pygame.display.init()
            pygame.display.set_caption(self._title)
            self._screen = pygame.display.set_mode((pixels.shape[1], pixels.shape[0]))
            self._clock = pygame.time.Clock()
        picture = pygame.image.frombuffer(pixels.tobytes(), (pixels.shape[1], pixels.shape[0]), "RGB")
        self._screen.blit(picture, (0, 0))
        pygame.display.flip()
        if any(event.type == pygame.QUIT for event in pygame.event.get()):
            self.close()
            self.closed = True
            return
        self._clock.tick(self._fps)

    def close(self) -> None:
        """Take the window away; a later frame opens it again."""
        if self._screen is not None:
            self._pygame.display.quit()
            self._screen = None
