"""What the environments of one lane share: pictures, and copies of themselves."""

from __future__ import annotations

from typing import Any

import numpy as np

from lobgym.envs.rendering import Renderer
from lobgym.sim.market import Market

__all__ = ["LoneLane", "plain"]


class LoneLane:
    """One lane over a core that knows its state.

    A copy or a pickle carries the arguments and the lane's state. The compiled market is shared with what it was copied
    from, or made again where it is not there.
    """

    core: Any  # has `state` and `restore`
    _arguments: dict[str, Any]  # of __init__, `tape` among them
    _renderer: Renderer | None
    _made: frozenset[str] = frozenset({"core", "_arguments", "_renderer"})  # by __init__ again: no copy carries them

    def render(self) -> Any:
        """A picture, a text, or None; see `lobgym.envs.rendering.Renderer`."""
        return None if self._renderer is None else self._renderer.render()

    def close(self) -> None:
        """Close the window of mode "human"."""
        if self._renderer is not None:
            self._renderer.close()

    def __getstate__(self) -> dict[str, Any]:
        arguments = dict(self._arguments)
        if isinstance(arguments["tape"], Market):
            arguments["tape"] = arguments["tape"].tape
        rest = {name: value for name, value in self.__dict__.items() if name not in self._made}
        return {"arguments": arguments, "core": self.core.state(), "rest": rest}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state["arguments"])  # type: ignore[misc]
        self.core.restore(state["core"])
        self.__dict__.update(state["rest"])
        if self._renderer is not None:
            self._renderer.began()


def plain(value: Any) -> Any:
    """A number of numpy as Python's; a name as it is."""
    return value.item() if isinstance(value, np.generic) else value
