"""`python -m lobgym.experiments.env_pictures FOLDER`: a picture of each environment, for its docs page.

Each is the frame that `render` gives in the middle of an episode that a fixed policy plays on the default tape.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import gymnasium
import numpy as np
from numpy.typing import NDArray

import lobgym.envs  # noqa: F401 - registers the ids
from lobgym.agents.baselines import make_baseline
from lobgym.envs.extras import need

__all__ = ["PICTURES", "Picture", "main", "picture"]


@dataclass(frozen=True)
class Picture:
    """A frame: after `steps` steps of the episode with seed `seed`, played by `policy`, which acts every `hold`-th."""

    env_id: str
    policy: str
    steps: int
    seed: int = 1
    hold: int = 1
    arguments: dict[str, Any] = field(default_factory=dict)


PICTURES: Final = {
    "grid": Picture("lobgym/Grid-v0", "natr-grid", 180),
    "target-position": Picture("lobgym/TargetPosition-v0", "random", 150, hold=15),
}


def picture(one: Picture) -> NDArray[np.uint8]:
    """uint8[540, 960, 3]."""
    env = gymnasium.make(one.env_id, render_mode="rgb_array", **one.arguments)
    observation, _ = env.reset(seed=one.seed)
    core: Any = env.get_wrapper_attr("core")
    policy = make_baseline(one.policy, core.spec, core.desk.mid2() / 2)
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
        print("usage: python -m lobgym.experiments.env_pictures FOLDER [NAME ...]", file=sys.stderr)
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
