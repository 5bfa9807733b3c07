"""Goal: how an episode ends has a name, and venue, randomisation and tasks are what their arguments say.

Method: an episode of each ending; the lanes' own records against the arguments; errors that name the remedy.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from lobgym.agents.sb3.train import make_env
from lobgym.envs import ENV_KINDS, HorizonError, LobEnv, LobVectorEnv, ResetNeededError, SplitError
from lobgym.envs.core import EnvCore
from lobgym.envs.sb3 import make_sb3_vec_env
from lobgym.sim.desk_spec import DeskSpec
from lobgym.sim.errors import ActionError, LayoutError, ParamsError, TapeError
from lobgym.sim.latency import LatencyQuantiles
from lobgym.sim.params import SimParams
from lobgym.sim.queue import QUEUE_MODELS
from lobgym.sim.records import BUY, SELL

TAPE = "synth?seed=4&minutes=3"
ARGUMENTS: dict[str, Any] = {"tape": TAPE, "horizon": 37, "spec": {"interval_ns": 250_000_000}}
LANES = 5


def run_to_end(env: LobEnv, action: Any, seed: int = 0) -> tuple[bool, bool, dict[str, Any], int]:
    env.reset(seed=seed)
    steps = 0
    while True:
        _, _, terminated, truncated, info = env.step(action)
        steps += 1
        if terminated or truncated:
            assert info["end"] == info["summary"]["end"]
            return terminated, truncated, info, steps
        assert info["end"] == ""


# -- ends --------------------------------------------------------------------------------------------------------------


def test_the_horizon_truncates():
    terminated, truncated, info, steps = run_to_end(LobEnv("target", **ARGUMENTS), 2)
    assert (terminated, truncated, info["end"], steps) == (False, True, "horizon", 37)


def test_losing_the_capital_terminates():
    env = LobEnv("target", capital=5.0, **ARGUMENTS)
    env.reset(seed=0)
    for step in range(37):
        _, _, terminated, truncated, info = env.step((0, 4)[step % 2])
        if terminated or truncated:
            break
    assert (terminated, truncated, info["end"]) == (True, False, "bankrupt")
    assert info["equity_units"] <= -5 * 10**8


def test_a_filled_task_terminates():
    env = LobEnv("execution", **{**ARGUMENTS, "horizon": 200, "task": {"side": "sell", "lots": 3}})
    first = env.reset(seed=0)[1]
    assert (first["task_side"], first["task_lots"]) == (SELL, 3)
    terminated, truncated, info, _ = run_to_end(env, np.ones(2, np.float32))
    assert (terminated, truncated, info["end"], info["position_lots"]) == (True, False, "filled", -3)


def test_without_a_horizon_the_tape_ends_the_episode():
    env = LobEnv("target", **{**ARGUMENTS, "horizon": None})
    terminated, truncated, info, steps = run_to_end(env, 2)
    assert (terminated, truncated, info["end"]) == (True, False, "tape_end")
    left = env.core.market.end_ns - info["time_ns"]
    assert 0 <= left < 250_000_000
    assert steps == info["summary"]["steps"] >= 1


def test_without_a_horizon_a_split_still_ends_where_it_ends():
    env = LobEnv("target", split="train", embargo_ns=40_000_000_000, **{**ARGUMENTS, "horizon": None})
    _, _, info, _ = run_to_end(env, 2)
    market = env.core.market
    cut = market.end_ns - (market.end_ns - market.start_ns) * 3 // 10
    assert cut - 40_250_000_000 < info["time_ns"] <= cut - 40_000_000_000


def test_liquidation_terminates():
    params = SimParams(capital=10**12, margin_tiers=((0, 100_000, 50_000),))
    env = LobEnv("target", params=params, **ARGUMENTS)
    env.reset(seed=0)
    env.step(4)
    for _ in range(3):
        info = env.step(4)[4]
    assert info["position_lots"] > 0
    env.core.desk.session.state.lane["capital"][:] = 1  # and then nothing to answer for it
    for _ in range(30):
        _, _, terminated, truncated, info = env.step(4)
        if terminated or truncated:
            break
    assert (terminated, info["end"]) == (True, "liquidated")


def test_vector_infos_name_the_ends_of_the_lanes_that_ended():
    env = LobVectorEnv("target", num_envs=LANES, capital=5.0, autoreset_mode="Disabled", **ARGUMENTS)
    env.reset(seed=0)
    actions = np.where(np.arange(LANES) % 2 == 0, 2, 4)
    for step in range(37):
        lanes = actions.copy()
        if step % 2:
            lanes[actions == 4] = 0
        _, _, terminated, truncated, infos = env.step(lanes)
        if (terminated | truncated).any():
            break
    for i in range(LANES):
        wanted = "bankrupt" if terminated[i] else ("horizon" if truncated[i] else "")
        assert infos["end"][i] == wanted
    assert terminated.any()
    assert not terminated[0]


# -- the venue by argument ---------------------------------------------------------------------------------------------


def params_of(**arguments: Any) -> SimParams:
    return EnvCore("maker", lanes=1, **{**ARGUMENTS, **arguments}).spec.params


def test_venue_arguments_are_parameters():
    made = params_of(latency=5_000_000, queue="risk_averse", fees=(-0.1, 0.5))
    assert (made.entry_ns, made.response_ns, made.queue) == (5_000_000, 5_000_000, "risk_averse")
    assert (made.maker_fee_ppb, made.taker_fee_ppb) == (-10_000, 50_000)
    assert params_of(latency=(1, 2)).response_ns == 2
    model = LatencyQuantiles((1_000, 2_000), (1_000, 2_000))
    assert params_of(latency=model) == SimParams(latency=model, entry_ns=0, response_ns=0)
    assert params_of(params=SimParams(queue_power=2), fees=(1, 2)) == SimParams(
        queue_power=2, maker_fee_ppb=100_000, taker_fee_ppb=200_000
    )
    assert params_of(profile="hftbacktest").profile == "hftbacktest"
    assert params_of() == SimParams()


def test_a_profile_compiles_its_market_and_steps():
    env = LobVectorEnv("grid", num_envs=2, profile="hftbacktest", **ARGUMENTS)
    env.reset(seed=0)
    assert env.core.market.depth_only
    for _ in range(20):
        observations = env.step(env.action_space.sample())[0]
    assert np.isfinite(observations).all()


@pytest.mark.parametrize(
    "bad",
    [
        {"latency": 1.5}, {"latency": (1, 2, 3)}, {"latency": True}, {"queue": "fair"}, {"fees": 1.0},
        {"fees": (0.0000001, 1)}, {"fees": ("a", "b")}, {"profile": "kind"}, {"latency": -1},
        {"randomise": {"colour": (1, 2)}}, {"randomise": {"entry_ns": 5}}, {"randomise": {"entry_ns": (5, 1)}},
        {"randomise": {"entry_ns": (0, 1 << 60)}}, {"randomise": {"queue_model": ["fair"]}}, {"randomise": [1]},
        {"randomise": {"capital": (1, 2)}}, {"task": {"side": "buy"}},
    ],
)  # fmt: skip
def test_arguments_that_make_no_sense_are_refused(bad: dict[str, Any]):
    with pytest.raises(ParamsError):
        LobEnv("maker", **{**ARGUMENTS, **bad})


# -- randomisation and tasks -------------------------------------------------------------------------------------------

VARIED = {"entry_ns": (1_000_000, 9_000_000), "queue_model": ["power3", "risk_averse"], "maker_fee_ppb": [0, 7_000]}


def lanes_of(core: EnvCore) -> dict[str, list[int]]:
    return {name: core.desk.session.state.lane[name].tolist() for name in VARIED}


def test_randomisation_is_a_function_of_seed_and_episode():
    core = EnvCore("grid", lanes=40, randomise=VARIED, **ARGUMENTS)
    everyone = np.ones(40, np.bool_)
    core.seed(7, everyone)
    core.begin(everyone)
    first = lanes_of(core)
    assert len(set(first["entry_ns"])) > 30
    assert 1_000_000 <= min(first["entry_ns"]) <= max(first["entry_ns"]) <= 9_000_000
    assert set(first["queue_model"]) == {QUEUE_MODELS["power3"], QUEUE_MODELS["risk_averse"]}
    assert set(first["maker_fee_ppb"]) == {0, 7_000}
    some = np.arange(40) % 2 == 0
    core.next_episode(some)
    second = lanes_of(core)
    for name in VARIED:
        assert [x for x, went in zip(second[name], some, strict=True) if not went] == first[name][1::2]
    assert second["entry_ns"][::2] != first["entry_ns"][::2]
    alone = EnvCore("grid", lanes=1, randomise=VARIED, **ARGUMENTS)
    for seed, episode in ((7, 0), (16, 0), (7, 1)):
        alone.seed(seed, np.ones(1, np.bool_))
        alone.episode[0] = episode
        alone.begin(np.ones(1, np.bool_))
        theirs = second if episode == 1 else first
        assert {name: values[0] for name, values in lanes_of(alone).items()} == {
            name: theirs[name][seed - 7] for name in VARIED
        }


def test_tasks_are_drawn_by_seed_and_episode():
    arguments = {**ARGUMENTS, "task": {"lots": (2, 9)}}
    env = LobVectorEnv("execution", num_envs=60, **arguments)
    _, infos = env.reset(seed=5)
    assert set(infos["task_side"].tolist()) == {BUY, SELL}
    assert set(infos["task_lots"].tolist()) == set(range(2, 10))
    tasks = env.core.desk.tasks
    np.testing.assert_array_equal(tasks["end_ns"] - tasks["start_ns"], 37 * 250_000_000)
    alone = LobEnv("execution", **arguments)
    for i in (0, 17, 59):
        info = alone.reset(seed=5 + i)[1]
        assert (info["task_side"], info["task_lots"]) == (infos["task_side"][i], infos["task_lots"][i])
    assert [alone.reset()[1]["task_lots"] for _ in range(8)] != [info["task_lots"]] * 8


def test_a_notional_is_worth_its_lots():
    core = EnvCore("execution", lanes=1, **{**ARGUMENTS, "task": {"side": "buy", "notional": 5_000}})
    assert core.tasks is not None
    assert core.tasks.lots_low == core.tasks.lots_high
    spec = DeskSpec.for_market(core.market, "execution")
    assert core.tasks.lots_low == pytest.approx(5 * spec.order_lots, rel=0.2)  # an order is worth about a thousand


@pytest.mark.parametrize(
    "bad", [{"side": "long"}, {"lots": 0}, {"lots": 1 << 50}, {"lots": 1, "notional": 1}, {"notional": "all"}, {"x": 1}]
)
def test_tasks_that_are_none_are_refused(bad: dict[str, Any]):
    with pytest.raises(ParamsError):
        LobEnv("execution", **{**ARGUMENTS, "task": bad})


# -- misuse ------------------------------------------------------------------------------------------------------------


def test_the_test_part_is_refused_to_training():
    for env_id in ENV_KINDS:
        with pytest.raises(SplitError, match="split='train'"):
            make_sb3_vec_env(env_id, 2, split="test", **ARGUMENTS)
    env = make_sb3_vec_env("lobgym/Grid-v0", 2, split="test", evaluation=True, **ARGUMENTS)
    assert env.core.split == "test"
    assert make_env.__defaults__[:2] == ("train", False)


def test_misuse_is_an_error_that_names_the_remedy():
    cases: list[tuple[type[Exception], str, dict[str, Any]]] = [
        (TapeError, "synth:calm", {"tape": "sinth"}),
        (LayoutError, "spread", {"observation": ["sprad"]}),
        (HorizonError, "shorter horizon", {"horizon": 10**6}),
        (ParamsError, "None for episodes", {"horizon": 0}),
    ]
    for error, remedy, change in cases:
        with pytest.raises(error, match=remedy):
            LobEnv("maker", **{**ARGUMENTS, **change})


@pytest.mark.parametrize("kind", ["grid", "maker", "execution"])
def test_actions_outside_the_box_are_refused_and_rounding_is_not(kind: str):
    env = LobEnv(kind, **ARGUMENTS)
    size = env.core.spec.action.size
    with pytest.raises(ResetNeededError, match="reset"):
        env.step(np.zeros(size, np.float32))
    env.reset(seed=0)
    for bad in (1.001, -1.5, np.nan, np.inf):
        action = np.zeros(size, np.float32)
        action[-1] = bad
        with pytest.raises(ActionError, match="lane 0"):
            env.step(action)
    assert env.core.steps[0] == 0
    env.step(np.full(size, np.nextafter(np.float32(1.0), np.float32(2.0))))
    env.reset(seed=0)
    env.step(np.full(size, -1.0))  # also where it comes as float64
    vector = LobVectorEnv(kind, num_envs=3, **ARGUMENTS)
    vector.reset(seed=0)
    actions = np.zeros((3, size), np.float32)
    actions[2, 0] = -2.0
    with pytest.raises(ActionError, match="lane 2"):
        vector.step(actions)


def test_choices_that_are_none_are_refused():
    env = LobVectorEnv("target", num_envs=3, **ARGUMENTS)
    env.reset(seed=0)
    for bad in (np.array([0, 1, 5]), np.array([0, -1, 1]), np.array([0.0, 1.0, 2.0]), np.array([0, 1])):
        with pytest.raises(ActionError):
            env.step(bad)


def test_the_embargo_covers_what_observations_look_back_on():
    made = {"split": "train", "embargo_ns": 0, "horizon": 1}
    short = EnvCore("grid", TAPE, 1, observation=("spread",), **made)
    long = EnvCore("grid", TAPE, 1, observation=("spread", "return_60s"), **made)
    assert short.starts.high_ns - long.starts.high_ns == long.spec.layout.lookback_ns >= 60_000_000_000
