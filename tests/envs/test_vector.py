"""A lane of the vector environment equals the scalar environment with its seed, bit for bit, across autoresets."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from gymnasium.wrappers.vector import RecordEpisodeStatistics

from lobgym.envs import LobEnv, LobVectorEnv, RewardTerms
from lobgym.sim.errors import ParamsError

LANES = 6
ARGUMENTS: dict[str, Any] = {
    "tape": "synth?seed=4&minutes=3",
    "horizon": 37,
    "spec": {"interval_ns": 250_000_000},
    "reward": RewardTerms(inventory_penalty=0.125, scale=3.0),
}
# Small enough that some episodes end by bankruptcy, at different times in different lanes. A random target flips
# the whole position and pays the spread and the taker's fee for it.
CAPITAL = {"grid": 1.5, "target": 460.0}


def actions_of(env: gymnasium.vector.VectorEnv, steps: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    if isinstance(env.single_action_space, gymnasium.spaces.Discrete):
        return rng.integers(0, 5, (steps, LANES))
    return rng.uniform(-1, 1, (steps, LANES, 5)).astype(np.float32)


def same(left: Any, right: Any, path: str) -> None:
    """Equal values wherever the mask says that they are meant; `left` is ours, which never leaves a step's keys out."""
    left = {key: value for key, value in left.items() if left[f"_{key.lstrip('_')}"].any()}
    assert set(left) == set(right), path
    for key in left:
        if key.startswith("_"):
            np.testing.assert_array_equal(left[key], right[key], err_msg=f"{path}{key}")
        elif isinstance(left[key], dict):
            same(left[key], right[key], f"{path}{key}.")
        else:
            mask = left[f"_{key}"]
            for a, b in zip(left[key][mask], right[key][mask], strict=True):
                np.testing.assert_array_equal(a, b, err_msg=f"{path}{key}")


@pytest.mark.parametrize("kind", ["grid", "target"])
@pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP])
def test_lanes_equal_scalar_environments(kind: str, mode: AutoresetMode):
    arguments = {**ARGUMENTS, "capital": CAPITAL[kind]}
    ours = LobVectorEnv(kind, num_envs=LANES, autoreset_mode=mode, **arguments)
    theirs = SyncVectorEnv([lambda: LobEnv(kind, **arguments) for _ in range(LANES)], autoreset_mode=mode)
    assert ours.metadata["autoreset_mode"] is mode
    left, right = ours.reset(seed=100), theirs.reset(seed=100)
    np.testing.assert_array_equal(left[0], right[0])
    same(left[1], right[1], "reset ")
    ends = {"terminated": 0, "truncated": 0}
    for step, action in enumerate(actions_of(ours, 500)):
        left, right = ours.step(action), theirs.step(action)
        for a, b, name in zip(left[:4], right[:4], ("obs", "reward", "terminated", "truncated"), strict=True):
            assert a.dtype == b.dtype, name
            np.testing.assert_array_equal(a, b, err_msg=f"{name} at step {step}")
        same(left[4], right[4], f"step {step} ")
        ends["terminated"] += int(left[2].sum())
        ends["truncated"] += int(left[3].sum())
        assert not (left[2] & left[3]).any()
    assert all(count > 10 for count in ends.values()), ends


def test_lanes_do_not_depend_on_their_number():
    few = LobVectorEnv("grid", num_envs=2, **ARGUMENTS)
    many = LobVectorEnv("grid", num_envs=LANES, **ARGUMENTS)
    np.testing.assert_array_equal(few.reset(seed=3)[0], many.reset(seed=3)[0][:2])
    for action in actions_of(many, 120):
        left, right = few.step(action[:2]), many.step(action)
        for a, b in zip(left[:4], right[:4], strict=True):
            np.testing.assert_array_equal(a, b[:2])


@pytest.mark.parametrize("kind", ["grid", "target"])
def test_infos_sum_exactly_to_the_ledger(kind: str):
    env = LobVectorEnv(kind, num_envs=LANES, autoreset_mode="Disabled", **{**ARGUMENTS, "capital": 1e6})
    env.reset(seed=0)
    sums = {name: np.zeros(LANES, np.int64) for name in ("pnl_units", "fees_units", "turnover_units", "fills")}
    returned = np.zeros(LANES)
    for action in actions_of(env, ARGUMENTS["horizon"]):
        _, reward, _, truncated, infos = env.step(action)
        returned += reward
        for name, array in sums.items():
            assert infos[name].dtype == np.int64
            array += infos[name]
    assert truncated.all()
    for i in range(LANES):
        account = env.desk.session.account(i)
        assert sums["pnl_units"][i] == env.desk.equity(i) == infos["equity_units"][i] == account.equity
        assert sums["fees_units"][i] == account.fees
        assert infos["position_lots"][i] == account.position_lots
    for name, array in sums.items():
        np.testing.assert_array_equal(infos["summary"][name], array)
    np.testing.assert_array_equal(infos["summary"]["return"], returned)
    assert (infos["summary"]["steps"] == ARGUMENTS["horizon"]).all()
    assert sums["fills"].sum() > 10


def test_the_reward_is_the_written_formula():
    env = LobVectorEnv("target", num_envs=LANES, **ARGUMENTS)
    env.reset(seed=1)
    limit = env.core.spec.position_lots_max
    for action in actions_of(env, 30):
        _, reward, *_, infos = env.step(action)
        expected = 3.0 * (infos["pnl_units"] * 1e-8 - 0.125 * np.abs(infos["position_lots"]) / limit)
        np.testing.assert_allclose(reward[infos["_pnl_units"]], expected[infos["_pnl_units"]], rtol=1e-12)


def test_disabled_autoreset_resets_by_mask_and_refuses_finished_lanes():
    env = LobVectorEnv(
        "target", num_envs=LANES, autoreset_mode="Disabled", **{**ARGUMENTS, "horizon": 4, "capital": 1e6}
    )
    env.reset(seed=0)
    codes = np.full(LANES, 2)
    for _ in range(4):
        truncated = env.step(codes)[3]
    assert truncated.all()
    with pytest.raises(gymnasium.error.ResetNeeded):
        env.step(codes)
    mask = np.arange(LANES) < 2
    clocks = env.desk.t_ns
    _, infos = env.reset(options={"reset_mask": mask})
    np.testing.assert_array_equal(infos["_start_ns"], mask)
    assert infos["episode_id"][:2].tolist() == [1, 1]
    np.testing.assert_array_equal(env.desk.t_ns[~mask], clocks[~mask])
    with pytest.raises(ParamsError):
        env.reset(options={"reset_mask": np.zeros(LANES, bool)})


def test_gymnasium_wrappers_fit():
    env = RecordEpisodeStatistics(LobVectorEnv("grid", num_envs=LANES, **ARGUMENTS))
    env.reset(seed=0)
    seen = 0
    for action in actions_of(env, 80):
        infos = env.step(action)[4]
        if "episode" in infos:
            mask = infos["_episode"]
            np.testing.assert_allclose(
                infos["episode"]["r"][mask], infos["summary"]["return"][mask], rtol=1e-4, atol=1e-4
            )
            seen += int(mask.sum())
    assert seen >= LANES
