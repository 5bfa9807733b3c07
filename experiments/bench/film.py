"""`bench film`: what `render_mode="rgb_array"` costs an environment that nobody looks at, a step and lane.

`lobgym/MarketMaking-v0` on real BTCUSDT with random actions. Two environments that differ by their render mode take
turns at the same steps; the figure is the difference of their processor times, beside it the step that is not filmed.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from lobgym.envs import LobEnv, LobVectorEnv
from lobgym.experiments.bench.report import BenchRow, find_recording, row_of, skipped
from lobgym.sim.market import Market

__all__ = ["CASES", "run"]

CASES: Final = {"scalar": 0, "vector64": 64}  # lanes; 0 is the scalar environment
RECORDING: Final = "binance_usdm/btcusdt_20240808.gz"
SEED: Final = 1
_RUNS: Final = 15
_WANTED_STEPS: Final = 6_400  # lane-steps a run
_HORIZON: Final = 600  # steps of an episode, the environments' default


def _processor_us(env: Any, actions: NDArray[Any]) -> float:
    """Of one step, ends of episodes included."""
    env.reset(seed=SEED)
    begin = time.thread_time()
    for action in actions:
        ended = env.step(action)[2:4]
        if ended[0] is True or ended[1] is True:  # vector environments reset their lanes themselves
            env.reset()
    return (time.thread_time() - begin) * 1e6 / len(actions)


def run(cases: list[str]) -> Iterator[BenchRow]:
    """Yield one row a case, as soon as it is known."""
    tape, reason = find_recording(RECORDING)
    if tape is None:
        yield from skipped("film", cases, "us", reason)
        return
    market = Market.compile(tape)
    for case in cases:
        lanes = CASES[case]
        plain, filmed = (
            LobVectorEnv("maker", market, lanes, render_mode=mode, horizon=_HORIZON)
            if lanes
            else LobEnv("maker", market, mode, horizon=_HORIZON)
            for mode in (None, "rgb_array")
        )
        plain.action_space.seed(SEED)
        width = max(1, lanes)
        actions = np.stack([plain.action_space.sample() for _ in range(max(1, _WANTED_STEPS // width))])
        added, bare = [], []
        for _ in range(_RUNS + 1):
            bare.append(_processor_us(plain, actions) / width)
            added.append(_processor_us(filmed, actions) / width - bare[-1])
        yield row_of(
            "film", case, added[1:], "us", peer="the step itself", peer_values=bare[1:], seed=SEED,
            extra={"lanes": width, "steps": len(actions), "tape": tape.digest[:16]},
        )  # fmt: skip
