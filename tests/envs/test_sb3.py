"""The SB3 face: the same numbers as the vector environment, and what SB3's algorithms and helpers ask for."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("stable_baselines3")

from stable_baselines3 import DQN, PPO
from stable_baselines3.common.evaluation import evaluate_policy

from lobgym.envs import LobVectorEnv, SplitError
from lobgym.envs.router_sb3 import RouterSb3VecEnv, make_router_sb3_vec_env
from lobgym.envs.sb3 import Sb3VecEnv, make_sb3_vec_env
from lobgym.sim.errors import ParamsError

LANES = 4
ARGUMENTS: dict[str, Any] = {"tape": "synth?seed=4&minutes=3", "horizon": 25, "spec": {"interval_ns": 250_000_000}}


def test_steps_equal_those_of_the_vector_environment():
    sb3 = make_sb3_vec_env("lobgym/Grid-v0", LANES, seed=9, **ARGUMENTS)
    plain = LobVectorEnv("grid", num_envs=LANES, autoreset_mode="SameStep", **ARGUMENTS)
    np.testing.assert_array_equal(sb3.reset(), plain.reset(seed=9)[0])
    rng = np.random.default_rng(0)
    ends = 0
    for _ in range(120):
        action = rng.uniform(-1, 1, (LANES, 5)).astype(np.float32)
        observations, rewards, dones, infos = sb3.step(action)
        expected = plain.step(action)
        np.testing.assert_array_equal(observations, expected[0])
        np.testing.assert_array_equal(rewards, expected[1].astype(np.float32))
        np.testing.assert_array_equal(dones, expected[2] | expected[3])
        assert (rewards.dtype, dones.dtype) == (np.float32, np.bool_)
        for i, info in enumerate(infos):
            if not dones[i]:
                assert info == {}
                continue
            ends += 1
            final = expected[4]["final_info"]["summary"]
            np.testing.assert_array_equal(info["terminal_observation"], expected[4]["final_obs"][i])
            assert info["TimeLimit.truncated"] == expected[3][i]
            assert info["summary"] == {key: final[key][i] for key in final if not key.startswith("_")}
            assert info["episode"]["l"] == final["steps"][i]
            assert info["episode"]["r"] == pytest.approx(final["return"][i], abs=1e-6)
            assert info["episode"]["pnl"] == final["pnl_units"][i] * 1e-8
    assert ends >= 4 * LANES


def test_seeds_are_used_once():
    env = make_sb3_vec_env("lobgym.envs:lobgym/TargetPosition-v0", LANES, seed=5, **ARGUMENTS)
    first = env.reset()
    assert env.core.seeds is not None
    assert env.core.seeds.tolist() == [5, 6, 7, 8]
    assert (env.core.episode == 0).all()
    assert (env.reset() != first).any()
    assert (env.core.episode == 1).all()
    env.seed(5)
    np.testing.assert_array_equal(env.reset(), first)


def test_ppo_and_dqn_train_on_it_and_evaluation_reads_episodes():
    env = make_sb3_vec_env("lobgym/Grid-v0", LANES, seed=0, **ARGUMENTS)
    model = PPO("MlpPolicy", env, n_steps=32, batch_size=64, n_epochs=1, seed=0, device="cpu")
    model.learn(256)
    assert len(model.ep_info_buffer) > 0
    assert {"r", "l", "t", "pnl", "fees", "fills", "turnover", "max_abs_inventory"} <= set(model.ep_info_buffer[0])
    mean, _ = evaluate_policy(model, env, n_eval_episodes=4)
    assert np.isfinite(mean)
    target = make_sb3_vec_env("lobgym/TargetPosition-v0", LANES, seed=0, **ARGUMENTS)
    DQN("MlpPolicy", target, learning_starts=16, buffer_size=500, seed=0, device="cpu").learn(128)


def test_lanes_share_their_attributes():
    env = make_sb3_vec_env("lobgym/Grid-v0", LANES, **ARGUMENTS)
    assert env.get_attr("num_envs", [0, 1]) == [LANES, LANES]
    assert env.get_attr("render_mode") == [None] * LANES
    assert not env.has_attr("no_such_thing")
    with pytest.raises(ParamsError):
        env.set_attr("render_mode", "ansi", 0)
    env.close()


def test_misuse_is_refused():
    with pytest.raises(ParamsError, match="known"):
        make_sb3_vec_env("lobgym/Nothing-v0")
    with pytest.raises(ParamsError, match="SAME_STEP"):
        Sb3VecEnv(LobVectorEnv("grid", num_envs=2, **ARGUMENTS))


def test_the_test_part_is_for_evaluation_in_routers_too() -> None:
    short: dict[str, Any] = {"tape": "synth?seed=4&minutes=3", "macro_steps": 6, "horizon": 2}
    with pytest.raises(SplitError, match="evaluation=True"):
        make_router_sb3_vec_env(2, split="test", **short)
    with pytest.raises(SplitError, match="evaluation=True"):
        make_sb3_vec_env("lobgym/Router-v0", 2, split="test", **short)
    made = make_sb3_vec_env("lobgym/Router-v0", 2, split="test", evaluation=True, **short)
    assert isinstance(made, RouterSb3VecEnv)
