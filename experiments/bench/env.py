"""`bench env`: environment steps per second, all included, beside an environment of nothing.

`lobgym/MarketMaking-v0` on real BTCUSDT, a decision every 100 ms unless the case says otherwise; observations, rewards
and infos included; random actions, drawn before the clock starts; episodes of the default length, restarted as they
end. `vector64` and `vector1024` are the native vector environment, `scalar` one lane through `gymnasium.make` with its
usual wrappers. The peer is the same loop over an environment of the same spaces that hands out zeros, which is what the
loop itself costs. `by_processor_time` counts only the time that the process had a core.

`ppo256` is PPO of Stable-Baselines3 with 256 lanes, transitions per second of whole iterations (rollout and updates),
against the same PPO on an environment of nothing; `collect_ratio` is that of the rollouts alone.

`column_cost` is what observations cost, by layout and by column (`lobgym.experiments.bench.column_cost`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from statistics import median
from typing import Any, Final, NamedTuple

import gymnasium
import numpy as np
from gymnasium.envs.registration import EnvSpec
from gymnasium.vector import VectorEnv
from numpy.typing import NDArray

import lobgym.envs
from lobgym.envs import ENV_KINDS, LobVectorEnv
from lobgym.experiments.bench.column_cost import column_cost
from lobgym.experiments.bench.report import BenchRow, find_recording, row_of, skipped
from lobgym.sim.market import Market

__all__ = ["CASES", "NothingEnv", "NothingVectorEnv", "run"]


class Case(NamedTuple):
    """One workload; no lanes is the scalar environment."""

    lanes: int
    env_id: str = "lobgym/MarketMaking-v0"
    interval_ms: int = 100
    ppo: bool = False


CASES: Final = {
    "vector64": Case(64),
    "vector1024": Case(1024),
    "scalar": Case(0),
    "ppo256": Case(256, ppo=True),
    "vector64_500ms": Case(64, interval_ms=500),
    "grid64": Case(64, "lobgym/Grid-v0"),
    "grid1024": Case(1024, "lobgym/Grid-v0"),
    "column_cost": Case(64, "lobgym/Grid-v0"),
}
RECORDING: Final = "binance_usdm/btcusdt_20240808.gz"
SEED: Final = 1
PPO: Final = {"n_steps": 64, "batch_size": 2048, "n_epochs": 4, "device": "cpu"}
_RUNS: Final = 7
_WANTED_STEPS: Final = 200_000  # lane-steps a run
_SCALAR_STEPS: Final = 20_000
_PPO_ITERATIONS: Final = 25  # a shared machine runs now fast, now slow; of so many pairs the median stands still
_HORIZON: Final = 600  # steps of an episode, the environments' default

Loop = Callable[[Any, NDArray[Any]], None]


class NothingEnv(gymnasium.Env[NDArray[np.float32], Any]):
    """The scalar environment of nothing: zeros, fresh ones each time."""

    def __init__(self, like: gymnasium.Env[Any, Any]) -> None:
        self.observation_space, self.action_space = like.observation_space, like.action_space
        self._shape = like.observation_space.shape or ()

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Nothing."""
        return np.zeros(self._shape, np.float32), {}

    def step(self, action: Any) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        """Nothing."""
        return np.zeros(self._shape, np.float32), 0.0, False, False, {}


class NothingVectorEnv(VectorEnv[NDArray[np.float32], NDArray[Any], NDArray[Any]]):
    """The vector environment of nothing: zeros, fresh ones each time."""

    def __init__(self, like: LobVectorEnv) -> None:
        self.num_envs = like.num_envs
        self.single_observation_space, self.single_action_space = (
            like.single_observation_space,
            like.single_action_space,
        )
        self.observation_space, self.action_space = like.observation_space, like.action_space
        self._shape = like.observation_space.shape or ()

    def reset(
        self, *, seed: int | list[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Nothing."""
        return np.zeros(self._shape, np.float32), {}

    def step(
        self, actions: NDArray[Any]
    ) -> tuple[NDArray[np.float32], NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]:
        """Nothing."""
        lanes = self.num_envs
        return np.zeros(self._shape, np.float32), np.zeros(lanes), np.zeros(lanes, bool), np.zeros(lanes, bool), {}


def _vector_loop(env: Any, actions: NDArray[Any]) -> None:
    for action in actions:
        env.step(action)


def _scalar_loop(env: Any, actions: NDArray[Any]) -> None:
    for action in actions:
        _, _, terminated, truncated, _ = env.step(action)
        if terminated or truncated:
            env.reset()


def _seconds(env: Any, loop: Loop, actions: NDArray[Any]) -> tuple[float, float]:
    """By the clock, and of the processor."""
    env.reset(seed=SEED)
    begin, own = time.perf_counter(), time.thread_time()
    loop(env, actions)
    return time.perf_counter() - begin, time.thread_time() - own


def _actions(space: Any, steps: int) -> NDArray[Any]:
    space.seed(SEED)
    return np.stack([space.sample() for _ in range(steps)])


def _arguments(market: Market, case: Case) -> dict[str, Any]:
    return {"tape": market, "spec": {"interval_ns": case.interval_ms * 1_000_000}, "horizon": _HORIZON}


def _loops(name: str, case: Case, market: Market) -> BenchRow:
    made: Any
    nothing: Any
    if case.lanes:
        made = LobVectorEnv(ENV_KINDS[case.env_id], num_envs=case.lanes, **_arguments(market, case))
        nothing = NothingVectorEnv(made)
        steps, loop, width = max(1, _WANTED_STEPS // case.lanes), _vector_loop, case.lanes
    else:
        made = gymnasium.make(case.env_id, **_arguments(market, case))
        nothing = gymnasium.make(
            EnvSpec("lobgym/Nothing-v0", entry_point=f"{__name__}:NothingEnv"), like=made.unwrapped
        )
        steps, loop, width = _SCALAR_STEPS, _scalar_loop, 1
    actions = _actions(made.action_space, steps)
    core = made.unwrapped.core
    for env in (made, nothing):
        _seconds(env, loop, actions[:50])
    rates, own, idle = [], [], []
    for _ in range(_RUNS):
        idle.append(steps * width / _seconds(nothing, loop, actions)[0])
        by_clock, by_processor = _seconds(made, loop, actions)
        rates.append(steps * width / by_clock)
        own.append(steps * width / by_processor)
    lane = core.desk.session.state.lane
    facts = {
        "env": case.env_id, "lanes": width, "steps": steps, "interval_ms": case.interval_ms,
        "columns": core.spec.layout.size, "by_processor_time": median(own), "best_by_processor_time": max(own),
        "fills": int(lane["fills"].sum()), "submits": int(lane["submits"].sum()), "tape": market.digest[:16],
    }  # fmt: skip
    return row_of(
        "env", name, rates, "steps/s", peer="an environment that does nothing", peer_values=idle, seed=SEED, extra=facts
    )


def _ppo(name: str, case: Case, market: Market) -> BenchRow:
    import torch
    from stable_baselines3.common.vec_env.base_vec_env import VecEnv

    from lobgym.envs.sb3 import make_sb3_vec_env
    from lobgym.experiments.bench.env_ppo import NothingVecEnv, iterations

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        made = make_sb3_vec_env(case.env_id, case.lanes, SEED, **_arguments(market, case))
        pair: tuple[VecEnv, VecEnv] = (made, NothingVecEnv(made))
        ours, theirs = (iterations(env, PPO, SEED) for env in pair)
        rates, idle, collect, own = [], [], [], []
        next(ours), next(theirs)  # warm
        for _ in range(_PPO_ITERATIONS):
            other, mine = next(theirs), next(ours)
            rates.append(mine.steps / mine.seconds)
            idle.append(other.steps / other.seconds)
            collect.append(other.collect_seconds / mine.collect_seconds)
            own.append(other.processor_seconds / mine.processor_seconds)
    finally:
        torch.set_num_threads(threads)
    facts = {
        "env": case.env_id, "lanes": case.lanes, "interval_ms": case.interval_ms, "collect_ratio": median(collect),
        "ratio_by_processor_time": median(own),
        "columns": made.core.spec.layout.size, "threads": 1, "tape": market.digest[:16],
        **{key: value for key, value in PPO.items() if key != "device"},
    }  # fmt: skip
    return row_of(
        "env", name, rates, "transitions/s", peer="the same PPO on an environment that does nothing", peer_values=idle,
        seed=SEED, extra=facts,
    )  # fmt: skip


def run(cases: list[str]) -> Iterator[BenchRow]:
    """Yield one row a case, as soon as it is known."""
    tape, reason = find_recording(RECORDING)
    if tape is None:
        yield from skipped("env", cases, "steps/s", reason)
        return
    market = Market.compile(tape)
    for name in cases:
        case = CASES[name]
        if case.ppo and find_spec("stable_baselines3") is None:
            yield from skipped(
                "env", [name], "transitions/s", "stable-baselines3 is not installed: pip install lobgym[train]"
            )
        elif case.ppo:
            yield _ppo(name, case, market)
        elif name == "column_cost":
            yield column_cost(market)
        else:
            yield _loops(name, case, market)


assert lobgym.envs  # registers the ids
