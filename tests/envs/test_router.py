"""The router: its macro steps are those of a plain loop below it, bit for bit, and every face shows the same ones."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from lobgym.envs import HorizonError, LobEnv, ResetNeededError, RewardTerms
from lobgym.envs.pool import CodeProfile, PolicyProfile, Pool, PositionProfile, default_pool
from lobgym.envs.router import RouterEnv
from lobgym.envs.router_vector import RouterVectorEnv
from lobgym.sim.errors import ActionError, LayoutError, ParamsError
from lobgym.sim.observation import GROUPS
from tests.envs.fixed_router_run import digest
from tests.envs.routers import ARGUMENTS, COLUMNS, Breathe, PlainRouter, pool_for

ROUTER_ID = "lobgym/Router-v0"

LANES = 5
KINDS = ("grid", "target", "maker", "execution")
# Small enough that some episodes end inside a macro step; an execution does so when its order is filled.
CAPITAL: dict[tuple[str, bool], float] = {
    ("grid", True): 4.0, ("target", True): 200.0, ("maker", True): 4.0,
    ("grid", False): 6.0, ("target", False): 100.0, ("maker", False): 4.0,
}  # fmt: skip
SHORT: dict[str, Any] = {"tape": ARGUMENTS["tape"], "spec": ARGUMENTS["spec"], "macro_steps": 6, "horizon": 7}


def made(face: Any, kind: str, mixed: bool = True, **changes: Any) -> Any:
    arguments = {
        **ARGUMENTS,
        "capital": CAPITAL.get((kind, mixed)),
        "macro_steps": 9,
        "horizon": 8,
        "observation": COLUMNS,
    }
    return face(kind, pool=pool_for(kind, mixed), **{**arguments, **changes})


# -- the oracle --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mixed", [True, False], ids=["policies", "rules"])
@pytest.mark.parametrize("kind", KINDS)
def test_macro_steps_are_a_plain_loop_over_the_environment_below(kind: str, mixed: bool):
    router = made(RouterEnv, kind, mixed)
    plain = PlainRouter(kind, pool_for(kind, mixed), 9, 8, capital=CAPITAL.get((kind, mixed)), **ARGUMENTS)
    rng = np.random.default_rng(1)
    ends = {"terminated": 0, "truncated": 0, "inside": 0}
    left, right = router.reset(seed=20), plain.reset(seed=20)
    for _ in range(200):
        np.testing.assert_array_equal(left[0], right[0])
        choice = int(rng.integers(4))
        left, right = router.step(choice), plain.step(choice)
        assert left[1:4] == right[1:4]
        assert {key: left[4][key] for key in right[4]} == right[4]
        ends["terminated"] += left[2]
        ends["truncated"] += left[3]
        ends["inside"] += left[4]["inner_steps"] < 9
        if left[2] or left[3]:
            np.testing.assert_array_equal(left[0], right[0])
            left, right = router.reset(), plain.reset()
            assert left[1] == right[1]
    assert all(count > 3 for count in ends.values()), ends


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP])
def test_lanes_equal_scalar_routers(kind: str, mode: AutoresetMode):
    mixed = mode == AutoresetMode.NEXT_STEP  # rules alone in the other
    ours = made(RouterVectorEnv, kind, mixed, num_envs=LANES, autoreset_mode=mode)
    theirs = SyncVectorEnv([lambda: made(RouterEnv, kind, mixed) for _ in range(LANES)], autoreset_mode=mode)
    left, right = ours.reset(seed=100), theirs.reset(seed=100)
    np.testing.assert_array_equal(left[0], right[0])
    same(left[1], right[1], "reset ")
    ends = {"terminated": 0, "truncated": 0}
    for step, action in enumerate(np.random.default_rng(0).integers(0, 4, (150, LANES))):
        left, right = ours.step(action), theirs.step(action)
        for a, b, name in zip(left[:4], right[:4], ("obs", "reward", "terminated", "truncated"), strict=True):
            assert a.dtype == b.dtype, name
            np.testing.assert_array_equal(a, b, err_msg=f"{name} at step {step}")
        same(left[4], right[4], f"step {step} ")
        ends["terminated"] += int(left[2].sum())
        ends["truncated"] += int(left[3].sum())
    assert all(count > 5 for count in ends.values()), ends


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


def test_one_compiled_call_gives_the_bits_of_the_loop():
    kinds: list[dict[str, Any]] = [{}, {"reward": (RewardTerms(), lambda result, facts: 0.0 * result.pnl)}]
    fast, slow = (
        made(RouterVectorEnv, "grid", False, num_envs=LANES, **{"reward": None, **change}) for change in kinds
    )
    assert fast.core.core.can_hold
    assert not slow.core.core.can_hold
    np.testing.assert_array_equal(fast.reset(seed=3)[0], slow.reset(seed=3)[0])
    for action in np.random.default_rng(2).integers(0, 4, (60, LANES)):
        left, right = fast.step(action), slow.step(action)
        for a, b in zip(left[:4], right[:4], strict=True):
            np.testing.assert_array_equal(a, b)
        same(left[4], meant(right[4]), "")


def meant(infos: dict[str, Any]) -> dict[str, Any]:
    """As `SyncVectorEnv` gives them: without keys that are meant for no lane."""
    kept = [key for key in infos if infos[f"_{key.lstrip('_')}"].any()]
    return {key: meant(infos[key]) if isinstance(infos[key], dict) else infos[key] for key in kept}


def test_lanes_do_not_depend_on_their_number():
    few, many = (made(RouterVectorEnv, "grid", num_envs=count) for count in (2, LANES))
    np.testing.assert_array_equal(few.reset(seed=3)[0], many.reset(seed=3)[0][:2])
    for action in np.random.default_rng(2).integers(0, 4, (40, LANES)):
        left, right = few.step(action[:2]), many.step(action)
        for a, b in zip(left[:4], right[:4], strict=True):
            np.testing.assert_array_equal(a, b[:2])


# -- sums --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["grid", "target"])
def test_infos_sum_exactly_to_the_ledger(kind: str):
    env = made(RouterVectorEnv, kind, num_envs=LANES, autoreset_mode="Disabled", capital=1e6, reward=None)
    env.reset(seed=0)
    names = ("pnl_units", "fees_units", "turnover_units", "fills", "inner_steps")
    sums = {name: np.zeros(LANES, np.int64) for name in names}
    returned = np.zeros(LANES)
    for action in np.random.default_rng(0).integers(0, 4, (8, LANES)):
        _, reward, _, truncated, infos = env.step(action)
        np.testing.assert_allclose(reward, infos["pnl_units"] * env.core.unit, rtol=1e-6, atol=1e-9)
        returned += reward
        for name, array in sums.items():
            assert infos[name].dtype == np.int64
            array += infos[name]
    assert truncated.all()
    for i in range(LANES):
        account = env.core.desk.session.account(i)
        assert sums["pnl_units"][i] == infos["equity_units"][i] == account.equity
        assert sums["fees_units"][i] == account.fees
        assert infos["position_lots"][i] == account.position_lots
    for name, array in sums.items():
        np.testing.assert_array_equal(infos["summary"]["inner_steps" if name == "inner_steps" else name], array)
    np.testing.assert_array_equal(infos["summary"]["return"], returned)
    assert (infos["summary"]["steps"] == 8).all()
    assert (sums["inner_steps"] == 8 * 9).all()
    assert sums["fills"].sum() > 10


def test_the_profile_in_force_is_seen_and_switches_are_counted():
    env = RouterEnv("target", pool=pool_for("target", True), observation="spread", **SHORT)
    observation, _ = env.reset(seed=0)
    assert observation[1:].tolist() == [0, 0, 0, 0]
    for choice, one_hot in ((1, [0, 1, 0, 0]), (1, [0, 1, 0, 0]), (3, [0, 0, 0, 1])):
        observation, *_, info = env.step(choice)
        assert observation[1:].tolist() == one_hot
        assert info["profile"] == choice
    for _ in range(4):
        info = env.step(0)[-1]
    assert info["summary"]["switches"] == 2
    assert info["summary"]["steps"] == 7
    assert info["summary"]["inner_steps"] == 42


# -- the contracts of Gymnasium and Stable-Baselines3 ------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["grid", "target"])
def test_gymnasium_checker(kind: str):
    env = gymnasium.make(f"lobgym.envs:{ROUTER_ID}", kind=kind, **SHORT)
    check_env(env.unwrapped)
    assert env.spec is not None
    assert env.spec.max_episode_steps is None


def test_sb3_checker():
    sb3 = pytest.importorskip("stable_baselines3.common.env_checker")
    sb3.check_env(gymnasium.make(ROUTER_ID, **SHORT).unwrapped)


def test_make_vec_passes_everything_on():
    env = gymnasium.make_vec(
        ROUTER_ID, num_envs=3, vectorization_mode="vector_entry_point", autoreset_mode="SameStep",
        pool=pool_for("grid", True), **SHORT,
    )  # fmt: skip
    assert isinstance(env, RouterVectorEnv)
    assert env.pool.names == ("a", "breathe", "by-position", "b")
    assert env.metadata["autoreset_mode"] is AutoresetMode.SAME_STEP
    observations, infos = env.reset(seed=1)
    assert env.observation_space.contains(observations)
    assert infos["lane_seed"].tolist() == [1, 2, 3]
    env.close()


def test_defaults_work_on_every_part_of_the_default_tape():
    for split in ("train", "test"):
        env = RouterEnv(split=split)
        env.reset(seed=0)
        assert env.core.macro_steps * env.core.spec.interval_ns == 60_000_000_000


def run(env: RouterEnv, steps: int) -> list[Any]:
    seen: list[Any] = []
    env.action_space.seed(7)
    for _ in range(steps):
        observation, reward, terminated, truncated, info = env.step(env.action_space.sample())
        seen.append((observation.tobytes(), reward, terminated, truncated, info))
        if terminated or truncated:
            observation, info = env.reset()
            seen.append((observation.tobytes(), info))
    return seen


@pytest.mark.parametrize("how", ["pickle", "deepcopy"])
def test_copies_go_on_as_the_original_does(how: str):
    env = made(RouterEnv, "grid")
    env.reset(seed=3)
    run(env, 11)
    other = pickle.loads(pickle.dumps(env)) if how == "pickle" else copy.deepcopy(env)
    assert other.core.market is env.core.market
    assert run(env, 30) == run(other, 30)


def test_two_processes_with_one_seed_see_the_same():
    command = [sys.executable, "-m", "tests.envs.fixed_router_run"]
    other = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    assert other == digest()
    assert len(other) == 64


def test_disabled_autoreset_resets_by_mask_and_refuses_finished_lanes():
    env = RouterVectorEnv("target", num_envs=LANES, autoreset_mode="Disabled", **{**SHORT, "horizon": 2})
    env.reset(seed=0)
    codes = np.full(LANES, 2)
    for _ in range(2):
        truncated = env.step(codes)[3]
    assert truncated.all()
    with pytest.raises(gymnasium.error.ResetNeeded):
        env.step(codes)
    mask = np.arange(LANES) < 2
    before = env.core.observe()
    observations, infos = env.reset(options={"reset_mask": mask})
    np.testing.assert_array_equal(infos["_start_ns"], mask)
    assert infos["episode_id"][:2].tolist() == [1, 1]
    np.testing.assert_array_equal(observations[~mask], before[~mask])
    with pytest.raises(ParamsError):
        env.reset(options={"reset_mask": np.zeros(LANES, bool)})


# -- Stable-Baselines3 -------------------------------------------------------------------------------------------------


def test_sb3_steps_equal_those_of_the_vector_environment():
    pytest.importorskip("stable_baselines3")
    from lobgym.envs.router_sb3 import make_router_sb3_vec_env

    sb3 = make_router_sb3_vec_env(LANES, seed=9, **SHORT)
    plain = RouterVectorEnv(num_envs=LANES, autoreset_mode="SameStep", **SHORT)
    np.testing.assert_array_equal(sb3.reset(), plain.reset(seed=9)[0])
    ends = 0
    for action in np.random.default_rng(0).integers(0, 5, (30, LANES)):
        observations, rewards, dones, infos = sb3.step(action)
        expected = plain.step(action)
        np.testing.assert_array_equal(observations, expected[0])
        np.testing.assert_array_equal(rewards, expected[1].astype(np.float32))
        np.testing.assert_array_equal(dones, expected[2] | expected[3])
        for i in np.flatnonzero(dones):
            ends += 1
            final = expected[4]["final_info"]["summary"]
            np.testing.assert_array_equal(infos[i]["terminal_observation"], expected[4]["final_obs"][i])
            assert infos[i]["TimeLimit.truncated"] == expected[3][i]
            assert infos[i]["summary"] == {key: final[key][i] for key in final if not key.startswith("_")}
            assert infos[i]["episode"]["l"] == final["steps"][i] == SHORT["horizon"]
            assert infos[i]["episode"]["r"] == pytest.approx(final["return"][i], abs=1e-6)
        assert all(infos[i] == {} for i in np.flatnonzero(~dones))
    assert ends >= 4 * LANES


def test_ppo_and_dqn_train_on_it_and_evaluation_reads_episodes():
    pytest.importorskip("stable_baselines3")
    from stable_baselines3 import DQN, PPO
    from stable_baselines3.common.evaluation import evaluate_policy

    from lobgym.envs.router_sb3 import make_router_sb3_vec_env

    env = make_router_sb3_vec_env(LANES, seed=0, **SHORT)
    model = PPO("MlpPolicy", env, n_steps=16, batch_size=40, n_epochs=1, seed=0, device="cpu")
    model.learn(160)
    assert len(model.ep_info_buffer) > 0
    assert {"r", "l", "t", "pnl", "fees", "fills", "turnover", "max_abs_inventory"} <= set(model.ep_info_buffer[0])
    assert np.isfinite(evaluate_policy(model, env, n_eval_episodes=3)[0])
    env = make_router_sb3_vec_env(LANES, seed=0, kind="target", **SHORT)
    DQN("MlpPolicy", env, learning_starts=10, buffer_size=200, seed=0, device="cpu").learn(50)
    with pytest.raises(ParamsError):
        env.set_attr("render_mode", "ansi", 0)
    assert env.get_attr("num_envs", [0, 1]) == [LANES, LANES]


def test_processes_that_are_spawned_step_it():
    vec_env = pytest.importorskip("stable_baselines3.common.vec_env")
    env = vec_env.SubprocVecEnv([lambda: RouterEnv("grid", **SHORT)] * 2, start_method="spawn")
    try:
        env.seed(4)
        seen = [env.reset()] + [env.step(np.array([1, 2]))[0] for _ in range(3)]
    finally:
        env.close()
    for lane in range(2):
        alone = RouterEnv("grid", **SHORT)
        expected = [alone.reset(seed=4 + lane)[0]] + [alone.step(1 + lane)[0] for _ in range(3)]
        np.testing.assert_array_equal([rows[lane] for rows in seen], expected)


# -- pools and misuse --------------------------------------------------------------------------------------------------


def test_default_pools_fit_their_desks():
    assert RouterEnv("grid", **SHORT).pool.names == ("pause", "near", "far", "lean-up", "lean-down")
    env = RouterEnv("target", **SHORT)
    assert env.pool.names == ("target-1", "target-0.5", "target+0", "target+0.5", "target+1")
    assert default_pool(env.core.spec).profiles[4] == CodeProfile("target+1", (4,))
    env.reset(seed=1)
    env.step(4)
    assert env.step(4)[-1]["position_lots"] == env.core.spec.position_lots_max


def test_a_bare_policy_reads_the_desks_columns_at_every_step():
    class Noting(Breathe):
        name = "noting"

        def __init__(self) -> None:
            super().__init__()
            self.rows: list[Any] = []

        def act(self, observations: Any) -> Any:
            self.rows += list(observations)
            return super().act(observations)

    policy = Noting()
    env = RouterEnv("grid", pool=[policy, CodeProfile("pause", (0, 0, 4, 0, 2))], observation="pending", **SHORT)
    env.reset(seed=2)
    env.step(0)
    env.step(1)
    assert env.pool.names == ("noting", "pause")
    below = LobEnv("grid", horizon=42, tape=SHORT["tape"], spec=SHORT["spec"])
    row, expected = below.reset(seed=2)[0], []
    for _ in range(6):
        expected.append(row)
        row = below.step(Breathe().act(row[None])[0])[0]
    np.testing.assert_array_equal(policy.rows, expected)


@pytest.mark.parametrize("choice", [5, -1, 0.5, float("nan"), None])
def test_choices_that_the_pool_does_not_have_are_refused(choice: Any):
    env = RouterEnv("grid", **SHORT)
    env.reset(seed=0)
    with pytest.raises(ActionError):
        env.step(choice)
    env.step(0)  # nothing has moved


def test_a_step_needs_a_running_episode():
    env = RouterEnv("grid", **SHORT)
    with pytest.raises(ResetNeededError):
        env.step(0)
    env.reset(seed=0)
    for _ in range(7):
        truncated = env.step(0)[3]
    assert truncated
    with pytest.raises(ResetNeededError):
        env.step(0)


def test_pools_that_make_no_sense_are_refused():
    rule = CodeProfile("a", (0, 0, 4, 0, 0))
    bad: list[Any] = [
        "grid", 3, [], [rule], [rule, rule], [rule, object()], [rule, CodeProfile("b", (0, 0))],
        [rule, CodeProfile("b", (15, 0, 4, 0, 0))], [rule, CodeProfile("b", ())],
    ]  # fmt: skip
    for pool in bad:
        with pytest.raises(ParamsError):
            RouterEnv("grid", pool=pool, **SHORT)
    for positions in ((), (0.0, 0.5), (2.0,), (float("nan"),)):
        with pytest.raises(ParamsError):
            PositionProfile("p", positions, (rule,))
    with pytest.raises(ParamsError):
        PositionProfile("p", (0.0,), (Breathe(),))  # type: ignore[arg-type]
    with pytest.raises(LayoutError, match="unknown column 'sprad'"):
        RouterEnv("grid", pool=[rule, PolicyProfile("b", Breathe(), ("sprad",))], **SHORT)
    assert Pool((rule, CodeProfile("b", rule.codes))).size == 2


def test_policies_may_read_groups_of_columns():
    policy = PolicyProfile("b", Breathe(), ("inventory", "book_5"))
    env = RouterEnv("grid", pool=[policy, CodeProfile("pause", (0, 0, 4, 0, 2))], observation="spread", **SHORT)
    assert env.core.spec.layout.columns == ("spread", "inventory", *GROUPS["book_5"])
    assert env.observation_space.shape == (3,)
    env.reset(seed=0)
    env.step(0)


def test_policies_whose_answers_are_no_actions_are_refused():
    class Odd:
        answer: Any

        def act(self, observations: Any) -> Any:
            return self.answer

    for kind, answers in (
        ("grid", (np.zeros(5), np.zeros((1, 4)), np.full((1, 5), np.nan), np.full((1, 5), "x"))),
        ("target", (np.zeros((1, 2), int), np.array([0.5]), np.array([5]))),
    ):
        policy = Odd()
        env = RouterEnv(kind, pool=[policy, *default_pool(RouterEnv(kind, **SHORT).core.spec).profiles], **SHORT)
        assert env.pool.names[0] == "Odd-0"
        for answer in answers:
            policy.answer = answer
            env.reset(seed=0)
            with pytest.raises(ActionError):
                env.step(0)


def test_arguments_that_make_no_sense_are_refused():
    bad: list[dict[str, Any]] = [
        {"macro_steps": 0}, {"macro_steps": True}, {"macro_steps": 1.5}, {"horizon": 0}, {"horizon": "long"},
        {"render_mode": "video"}, {"kind": "other"}, {"split": "valid"}, {"spec": {"surprise": 1}},
    ]  # fmt: skip
    for change in bad:
        with pytest.raises(ParamsError):
            RouterEnv(**{**SHORT, **change})
    with pytest.raises(HorizonError, match="shorter horizon"):
        RouterEnv(**{**SHORT, "horizon": 1000})
    with pytest.raises(LayoutError, match="unknown column 'sprad'"):
        RouterEnv(**{**SHORT, "observation": "sprad"})


def test_every_step_below_is_drawn():
    pytest.importorskip("PIL")
    seen = []
    for mode in (None, "rgb_array"):
        env = RouterEnv("grid", render_mode=mode, **SHORT)
        env.reset(seed=0)
        assert env.core.core.can_hold == (mode is None)
        seen.append([env.step(1)[:4] for _ in range(3)])
        picture = env.render()
    assert picture.dtype == np.uint8
    assert picture.ndim == 3
    for left, right in zip(*seen, strict=True):
        np.testing.assert_array_equal(left[0], right[0])
        assert left[1:] == right[1:]
    assert RouterEnv("grid", **SHORT).render() is None


def test_ansi_rendering_names_the_profile():
    pytest.importorskip("PIL")
    env = RouterEnv("grid", render_mode="ansi", **SHORT)
    env.reset(seed=0)
    assert str(env.render()).splitlines()[0].endswith("profile=-")
    env.step(1)
    assert str(env.render()).splitlines()[0].endswith("profile=near")
    assert "acts: near" in str(env.render())
    env.reset()
    assert "acts: nobody yet" in str(env.render())
    vector = RouterVectorEnv(num_envs=2, render_mode="ansi", **SHORT)
    vector.reset(seed=0)
    lines = vector.render()
    assert lines is not None
    assert [line.splitlines()[0] for line in lines] == [vector.core.line(0), vector.core.line(1)]
