"""The contracts of Gymnasium and Stable-Baselines3, by their own checkers; pytest turns their warnings into errors."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode

import lobgym.envs as envs
from lobgym.envs import ENV_KINDS, HorizonError, LobEnv, LobVectorEnv, ResetNeededError
from lobgym.envs.markets import market_for
from lobgym.sim.errors import ActionError, LayoutError, ParamsError
from lobgym.sim.params import SimParams

TAPE = "synth?seed=4&minutes=3"
IDS = list(ENV_KINDS)
SHORT: dict[str, Any] = {"tape": TAPE, "horizon": 40, "spec": {"interval_ns": 250_000_000}}


@pytest.mark.parametrize("env_id", IDS)
def test_gymnasium_checker(env_id: str):
    env = gymnasium.make(f"lobgym.envs:{env_id}", **SHORT)
    check_env(env.unwrapped)
    assert env.spec is not None
    assert env.spec.max_episode_steps is None


@pytest.mark.parametrize("env_id", IDS)
def test_sb3_checker(env_id: str):
    sb3 = pytest.importorskip("stable_baselines3.common.env_checker")
    sb3.check_env(gymnasium.make(env_id, **SHORT).unwrapped)


@pytest.mark.parametrize("env_id", IDS)
def test_make_vec_passes_everything_on(env_id: str):
    env = gymnasium.make_vec(
        f"lobgym.envs:{env_id}", num_envs=3, vectorization_mode="vector_entry_point", autoreset_mode="SameStep", **SHORT
    )
    assert isinstance(env, LobVectorEnv)
    assert env.num_envs == 3
    assert env.metadata["autoreset_mode"] is AutoresetMode.SAME_STEP
    observations, infos = env.reset(seed=1)
    assert env.observation_space.contains(observations)
    assert infos["lane_seed"].tolist() == [1, 2, 3]
    env.close()


def test_a_fresh_install_has_defaults_that_work():
    env = gymnasium.make("lobgym/Grid-v0", tape=TAPE, horizon=10)
    observation, _ = env.reset(seed=0)
    assert observation.shape == (20,)
    assert env.action_space == gymnasium.spaces.Box(-1, 1, (5,), np.float32)
    assert gymnasium.make("lobgym/TargetPosition-v0", tape=TAPE, horizon=10).action_space == gymnasium.spaces.Discrete(
        5
    )


def run(env: LobEnv, steps: int, seed: int = 7) -> list[Any]:
    env.action_space.seed(seed)
    seen: list[Any] = []
    for _ in range(steps):
        observation, reward, terminated, truncated, info = env.step(env.action_space.sample())
        seen.append((observation.tobytes(), reward, terminated, truncated, info))
        if terminated or truncated:
            observation, info = env.reset()
            seen.append((observation.tobytes(), info))
    return seen


@pytest.mark.parametrize("kind", ["grid", "target"])
@pytest.mark.parametrize("how", ["pickle", "deepcopy"])
def test_copies_go_on_as_the_original_does(kind: str, how: str):
    env = LobEnv(kind, **SHORT)
    env.reset(seed=3)
    run(env, 25)
    other = pickle.loads(pickle.dumps(env)) if how == "pickle" else copy.deepcopy(env)
    assert other.core.market is env.core.market
    assert run(env, 60) == run(other, 60)


def test_seeds_decide_everything():
    env = LobEnv("grid", **SHORT)
    runs = []
    for seed in (5, 5, 6):
        first = env.reset(seed=seed)
        runs.append([first[0].tobytes(), first[1], run(env, 90)])
    assert runs[0] == runs[1]
    assert runs[0] != runs[2]
    starts = [env.reset()[1]["start_ns"] for _ in range(4)]
    assert len(set(starts)) == 4
    unseeded = [LobEnv("grid", **SHORT).reset()[1]["lane_seed"] for _ in range(2)]
    assert unseeded[0] != unseeded[1]


@pytest.mark.parametrize("split", ["all", "train", "test"])
def test_episodes_stay_in_their_split(split: str):
    env = LobEnv("target", tape=TAPE, horizon=8, split=split, embargo_ns=40_000_000_000)
    market = env.core.market
    cut = market.end_ns - (market.end_ns - market.start_ns) * 3 // 10
    low, high = {
        "all": (market.start_ns, market.end_ns),
        "train": (market.start_ns, cut - 40_000_000_000),
        "test": (cut, market.end_ns),
    }[split]
    starts = np.array([env.reset(seed=s)[1]["start_ns"] for s in range(300)])
    length = 8 * env.core.spec.interval_ns
    assert starts.min() >= low
    assert starts.max() + length <= high
    assert starts.max() - starts.min() > 0.9 * (high - low - length)


def test_what_does_not_fit_is_said_with_a_remedy():
    for change in ({"horizon": 10_000}, {"split": "test", "horizon": 300}, {"start": 0}):
        with pytest.raises(HorizonError):
            LobEnv("grid", **{"tape": TAPE, **change})
    with pytest.raises(HorizonError, match="shorter horizon"):
        LobEnv("grid", tape=TAPE, horizon=10_000)
    bad: list[dict[str, Any]] = [
        {"horizon": 0}, {"split": "valid"}, {"test_fraction": 1.5}, {"embargo_ns": -1}, {"start": "first"},
        {"capital": 0.0}, {"render_mode": "loud"}, {"spec": {"surprise": 1}}, {"kind": "other"},
        {"capital": "much"}, {"capital": float("nan")}, {"capital": float("inf")}, {"params": {"entry_ns": 1}},
        {"reward": "pnl"}, {"test_fraction": "half"}, {"embargo_ns": 1.5}, {"start": 1.5}, {"horizon": 1.5},
    ]  # fmt: skip
    for change in bad:
        with pytest.raises(ParamsError):
            LobEnv(**{"tape": TAPE, "horizon": 10, **change})
    for columns in (["sprad"], "sprad"):
        with pytest.raises(LayoutError, match="unknown column 'sprad'"):
            LobEnv("grid", tape=TAPE, observation=columns)


def test_integers_of_numpy_are_integers():
    core = LobEnv("grid", tape=TAPE, horizon=np.int64(10), embargo_ns=np.int32(5), observation="spread").core
    assert core.spec.layout.columns == ("spread",)
    start = np.int64(core.market.start_ns)
    assert LobEnv("grid", tape=TAPE, horizon=np.uint8(10), start=start).core.starts.low_ns == start


def test_a_step_needs_a_running_episode():
    env = LobEnv("target", start=market_for(TAPE).start_ns, **SHORT)
    with pytest.raises(ResetNeededError):
        env.step(2)
    env.reset(seed=0)
    for _ in range(40):
        truncated = env.step(2)[3]
    assert truncated
    with pytest.raises(ResetNeededError):
        env.step(2)
    with pytest.raises(gymnasium.error.ResetNeeded):
        LobVectorEnv("grid", num_envs=2, **SHORT).step(np.zeros((2, 5), np.float32))


def test_actions_that_are_none_are_refused():
    env = LobEnv("grid", **SHORT)
    env.reset(seed=0)
    for bad in (np.full(5, np.nan, np.float32), np.zeros(4, np.float32)):
        with pytest.raises(ActionError):
            env.step(bad)
    target = LobEnv("target", **SHORT)
    target.reset(seed=0)
    for code in (5, -1, 0.5):
        with pytest.raises(ActionError):
            target.step(code)


def test_many_environments_compile_their_market_once():
    made = [LobEnv("grid", **SHORT) for _ in range(8)]
    assert len({id(env.core.market) for env in made}) == 1
    plain = LobEnv("grid", tape=TAPE, horizon=5, params=SimParams(print_implied_depth=False))
    assert plain.core.market is not made[0].core.market
    assert plain.core.market.tape.digest == made[0].core.market.tape.digest


def test_ansi_rendering_is_a_line():
    env = LobEnv("grid", render_mode="ansi", **SHORT)
    env.reset(seed=0)
    line = env.render()
    assert line is not None
    assert "SYNTH" in line
    assert "bid=" in line
    assert LobEnv("grid", **SHORT).render() is None
    vector = LobVectorEnv("grid", num_envs=2, render_mode="ansi", **SHORT)
    vector.reset(seed=0)
    assert vector.render() == (vector.core.line(0), vector.core.line(1))


def test_the_public_names_are_these():
    assert sorted(envs.__all__) == [
        "ENV_IDS", "ENV_KINDS", "EnvError", "HorizonError", "LobEnv", "LobVectorEnv", "ResetNeededError", "RewardError",
        "RewardFacts", "RewardTerms", "SplitError",
    ]  # fmt: skip
