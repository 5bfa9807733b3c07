"""`python -m lobgym.experiments.pages.env_pictures FOLDER`: a picture of each environment, for its docs page.

Each is the frame that `render` gives in the middle of an episode that a fixed policy plays on the default tape.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from lobgym.agents.baselines import make_baseline
from lobgym.envs import LobEnv
from lobgym.envs.arena.agent import ArenaAgentEnv
from lobgym.envs.arena.others import default_policy
from lobgym.envs.extras import need
from lobgym.envs.router import RouterEnv

__all__ = ["PICTURES", "Picture", "main", "picture"]


class _Turns:
    """A router's profiles, one after the other."""

    def __init__(self, count: int) -> None:
        self._count, self._step = count, 0

    def act(self, observations: NDArray[np.float32]) -> NDArray[np.int64]:
        """The next one."""
        self._step += 1
        return np.full(len(observations), self._step % self._count)


def _baseline(name: str) -> Callable[[Any], Any]:
    return lambda env: make_baseline(name, env.core.spec, env.core.desk.mid2() / 2)


@dataclass(frozen=True)
class Picture:
    """A frame: after `steps` steps of the episode with seed `seed`, in which a policy acts at every `hold`-th.

    Attributes:
        env: makes the environment, from its arguments.
        policy: from the environment to what acts.
    """

    env: Callable[..., Any]
    policy: Callable[[Any], Any]
    steps: int
    arguments: dict[str, Any] = field(default_factory=dict)
    hold: int = 1
    seed: int = 1


PICTURES: Final = {
    "grid": Picture(LobEnv, _baseline("natr-grid"), 180, {"kind": "grid"}),
    "target-position": Picture(LobEnv, _baseline("random"), 150, {"kind": "target"}, hold=15),
    "market-making": Picture(LobEnv, _baseline("avellaneda-stoikov"), 160, {"kind": "maker"}),
    "execution": Picture(LobEnv, _baseline("pov"), 130, {"kind": "execution", "horizon": 240}),
    "router": Picture(RouterEnv, lambda env: _Turns(env.core.pool.size), 4, {"macro_steps": 60}),
    "arena": Picture(
        ArenaAgentEnv, lambda env: default_policy("maker", env.core.specs[0].action), 150, {"agent": "maker_0"}
    ),
}


def picture(one: Picture) -> NDArray[np.uint8]:
    """uint8[540, 960, 3]."""
    env = one.env(render_mode="rgb_array", **one.arguments)
    observation, _ = env.reset(seed=one.seed)
    policy = one.policy(env)
    if hasattr(policy, "reset"):
        policy.reset(1, one.seed)
    action: Any = None
    for step in range(one.steps):
        if step % one.hold == 0:
            action = policy.act(observation[None])[0]
        observation, _, terminated, truncated, _ = env.step(action)
        if terminated or truncated:
            break
    pixels: Any = env.render()
    env.close()
    return np.asarray(pixels, np.uint8)


def main(arguments: list[str] | None = None) -> int:
    """Write `env-NAME.png` of each environment into a folder, in at most 256 colours; the exit status."""
    given = sys.argv[1:] if arguments is None else arguments
    if not given:
        print("usage: python -m lobgym.experiments.pages.env_pictures FOLDER [NAME ...]", file=sys.stderr)
        return 2
    folder = Path(given[0])
    folder.mkdir(parents=True, exist_ok=True)
    image = need("PIL.Image", "render")
    for name, one in PICTURES.items():
        if len(given) > 1 and name not in given[1:]:
            continue
        few = image.fromarray(picture(one)).quantize(256, image.Quantize.MEDIANCUT, dither=image.Dither.NONE)
        aside = folder / f".env-{name}.png"
        few.save(aside, optimize=True)
        aside.replace(folder / f"env-{name}.png")
    return 0


if __name__ == "__main__":
    sys.exit(main())
