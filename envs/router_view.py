"""Pictures of a router: the desk below, filmed step by step, and which profile acts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lobgym.envs.rendering import Renderer, ReplaySource

if TYPE_CHECKING:
    from lobgym.envs.router_core import RouterCore

__all__ = ["RouterSource", "watch_router"]


class RouterSource(ReplaySource):
    """The lanes of the core below a router."""

    def __init__(self, router: RouterCore) -> None:
        super().__init__(router.core)
        self._router = router

    def title(self, i: int) -> str:
        """See `Source`."""
        return f"router  ·  {self.instrument.symbol}"

    def line(self, i: int) -> str:
        """See `Source`."""
        return self._router.line(i)


def watch_router(router: RouterCore, mode: str | None) -> Renderer | None:
    """A renderer of the desk below that is told of its every step, or None without a mode."""
    if mode is None:
        return None

    def caption(i: int) -> tuple[str, ...]:
        choice = int(router.choice[i])
        return (f"acts: {router.pool.names[choice]}" if choice >= 0 else "acts: nobody yet",)

    made = Renderer(RouterSource(router), mode, caption)
    router.core.watcher = made
    return made
