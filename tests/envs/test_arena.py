"""The arena's core: what agents are paid, when they leave, that nothing comes from nowhere, and that runs repeat."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from lobgym.envs.arena import ArenaReward
from lobgym.envs.arena.config import ArenaTask
from lobgym.envs.arena.core import INFO_KEYS
from lobgym.envs.errors import ResetNeededError
from lobgym.sim.errors import ActionError, LobgymError, ParamsError, ScenarioError
from lobgym.sim.money import mark_value
from lobgym.sim.params import SimParams
from lobgym.sim.records import BUY, SELL
from tests.envs.arenas import MS, core_of, held, random_actions

# -- money -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("market", ["synth:volatile", "synth:calm", "synth:thin-book", "synth:flash-crash?minutes=6"])
def test_what_agents_and_crowd_own_sums_to_nothing(market: str) -> None:
    core = core_of(market=market, interval_ns=2_000 * MS)
    core.reset(3)
    rng = np.random.default_rng(3)
    exchange = core.exchange
    agents = len(core.agents)
    for _ in range(100):
        core.step(random_actions(core, rng))
        lane, board = exchange.state.lane[:agents], exchange.board
        assert int(lane["position"].sum()) + int(board["flow_position"]) == 0
        assert int(lane["cash"].sum()) + int(board["flow_cash"]) == 0
        core.leave()
    # The same in equity: what all gain is what is paid in fees, to the rounding of each account.
    mark2 = int(core.run.clock[1])
    crowd = int(board["flow_cash"]) + mark_value(exchange.econ, int(board["flow_position"]), mark2)
    equity = [int(one["cash"] - one["fees"]) + mark_value(exchange.econ, int(one["position"]), mark2) for one in lane]
    assert -agents - 1 <= sum(equity) + int(lane["fees"].sum()) + crowd <= 0
    assert int(lane["fills"].sum()) > 100


def test_steps_sum_to_the_ledger_and_rewards_follow() -> None:
    terms = {"maker": ArenaReward(inventory_penalty=2.0, scale=0.5), "execution": ArenaReward(pnl=0.0, shortfall=1.0)}
    core = core_of(reward=terms)
    core.reset(8)
    rng = np.random.default_rng(8)
    agents = range(len(core.agents))
    sums = {name: np.zeros(len(agents), np.int64) for name in ("pnl_units", "shortfall_units", "fees_units", "fills")}
    began = core.run.totals.copy()
    while core.live:
        live = [core.index[name] for name in core.live]
        core.step(random_actions(core, rng))
        for i in live:
            info = core.info(i)
            assert tuple(info) == INFO_KEYS
            for name, values in sums.items():
                values[i] += info[name]
            unit, made = core.unit, core.config.rewards[i]
            penalty = made.inventory_penalty * abs(info["position_lots"]) / core.specs[i].position_lots_max
            worth = made.pnl * info["pnl_units"] * unit - made.shortfall * info["shortfall_units"] * unit - penalty
            assert core.run.gains[i] == pytest.approx(made.scale * worth, rel=1e-6, abs=1e-9)
        core.leave()
    for i in agents:
        account = core.exchange.account(i)
        mark2 = int(core.run.clock[1])
        if core.run.end[i] == 0:  # to the last step
            worth = mark_value(core.exchange.econ, account.position_lots, mark2)
            lane = core.exchange.state.lane[i]
            assert sums["pnl_units"][i] == int(lane["cash"]) - int(lane["fees"]) + worth
            assert sums["fees_units"][i] == int(lane["fees"])
        assert sums["shortfall_units"][i] == core.run.totals[i, 3] - began[i, 3]
        assert sums["pnl_units"][i] == core.summary(i)["pnl_units"]


def test_takers_move_the_price_that_everybody_gets() -> None:
    """Impact: the same crowd, with somebody who buys all the time and with nobody."""

    def mids(code: int) -> list[int]:
        core = core_of(
            agents={"taker": 1}, max_cycles=40, market="synth:calm", interval_ns=100 * MS,
            spec={"taker": {"position_lots_max": 100_000, "sweep_ticks": 600}},
        )  # fmt: skip
        made = []
        for seed in range(5):
            core.reset(seed)
            before = int(core.run.clock[1])
            for _ in range(20):
                core.step({"taker_0": code})
            made.append(int(core.run.clock[1]) - before)
        return made

    bought, nothing, sold = (mids(code) for code in (4, 2, 0))
    # 100,000 lots of the crowd's move its value by 20 ticks, twice that in mid2; now and then the market is elsewhere.
    assert all(a > b > c for a, b, c in zip(bought, nothing, sold, strict=True))
    assert 30 <= np.mean(np.array(bought) - nothing) <= 50
    assert 30 <= np.mean(np.array(nothing) - sold) <= 50


# -- ends --------------------------------------------------------------------------------------------------------------


def test_one_agent_goes_bankrupt_and_is_closed_out_while_the_others_go_on() -> None:
    core = core_of(capital={"taker_0": 30.0}, agents={"grid": 1, "taker": 2})
    core.reset(6)
    grid = held(core, "grid_0", [6, 2, 4, 0, 0])
    k = 0
    while "taker_0" in core.live:
        core.step({"grid_0": grid, "taker_0": 4 * (k % 2), "taker_1": 2})
        ended = core.info(core.index["taker_0"])
        core.leave()
        k += 1
        assert k < 40
    assert ended["end"] == "bankrupt"
    assert ended["equity_units"] * core.unit <= -30.0
    assert core.live == ["grid_0", "taker_1"]
    for _ in range(5):
        core.step({"grid_0": grid, "taker_1": 2})
        core.leave()
    i = core.index["taker_0"]
    assert core.exchange.account(i).position_lots == 0
    assert len(core.exchange.orders(i)) == 0
    assert core.live == ["grid_0", "taker_1"]


def test_the_venue_liquidates_who_lacks_margin() -> None:
    rules = SimParams(capital=2_000 * 10**8, margin_tiers=((0, 10_000, 5_000),))
    core = core_of(agents={"grid": 1, "taker": 1}, params=rules, capital=1e6, market="synth:flash-crash?minutes=4")
    core.max_cycles = 1_000
    core.reset(3)
    pause = held(core, "grid_0", [0, 0, 4, 0, 2])
    end = ""
    while not end:
        core.step({"grid_0": pause, "taker_0": 4})
        end = core.info(1)["end"]
        core.leave()
    assert end == "liquidated"
    assert core.live == ["grid_0"]


def test_a_filled_parent_order_ends_the_execution_agent_alone() -> None:
    core = core_of(agents={"grid": 1, "execution": 1}, task=ArenaTask("buy", lots=500))
    core.reset(2)
    assert core.run.tasks[1]["side"] == BUY
    assert core.run.tasks[1]["lots"] == 500
    core_bins = core.specs[1].action.bins
    cross = held(core, "execution_0", [core_bins[0] - 1, core_bins[1] - 1])
    grid = held(core, "grid_0", [6, 2, 4, 0, 0])
    for _ in range(100):
        core.step({"grid_0": grid, "execution_0": cross} if len(core.live) == 2 else {"grid_0": grid})
        info = core.info(1)
        if core.run.live[1] and info["end"]:
            break
        core.leave()
    assert info["end"] == "filled"
    assert info["position_lots"] >= 500
    assert core.leave() == ["grid_0"]


def test_parent_orders_are_drawn_for_each_episode() -> None:
    core = core_of(agents={"execution": 2})
    sides = set()
    for _ in range(12):
        core.reset(None if sides else 5)
        task = core.run.tasks[0]
        sides.add((int(task["side"]), int(core.run.tasks[1]["side"])))
        assert task["end_ns"] - task["start_ns"] == 100 * core.config.interval_ns
        bid, ask = (int(core.exchange.ladder(side, 1, member=0)[0, 0]) for side in (BUY, SELL))
        assert task["arrival2"] == bid + ask
    assert len(sides) >= 3


# -- repeatability -----------------------------------------------------------------------------------------------------


def digest_of(steps: int, interval_ns: int) -> str:
    """Of everything that agents are told in a run; also what the child processes below compute."""
    core = core_of(interval_ns=interval_ns, agents={"maker": 1, "grid": 1, "taker": 1, "execution": 1})
    rng = np.random.default_rng(7)
    sha = hashlib.sha256()
    for seed in (7, None):
        core.reset(seed)
        for _ in range(steps):
            sha.update(core.run.observations.tobytes())
            core.step(random_actions(core, rng))
            sha.update(core.run.gains.tobytes())
            sha.update(repr(core.infos()).encode())
            core.leave()
    return sha.hexdigest()


@pytest.mark.parametrize(
    ("variables", "steps", "interval_ns"),
    [({}, 40, 200 * MS), ({"NUMBA_DISABLE_JIT": "1"}, 3, 2 * MS)],
    ids=["another process", "without the compiler"],
)
def test_a_seed_gives_the_same_bits(variables: dict[str, str], steps: int, interval_ns: int) -> None:
    code = f"from tests.envs.test_arena import digest_of; print(digest_of({steps}, {interval_ns}))"
    command = [sys.executable, "-c", code]
    told = subprocess.run(command, env=os.environ | variables, capture_output=True, text=True, check=True).stdout
    assert told.split()[-1] == digest_of(steps, interval_ns)


def test_an_episode_is_a_function_of_seed_and_number() -> None:
    one, other = core_of(), core_of()
    rng = np.random.default_rng(1)
    one.reset(9)
    for _ in range(20):
        one.step(random_actions(one, rng))
    one.reset()
    other.reset(9)
    other.reset()
    assert np.array_equal(one.run.observations, other.run.observations)
    first = other.run.observations.copy()
    other.reset(10)
    assert not np.array_equal(first, other.run.observations)


# -- misuse ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        ({"agents": {"marker": 1}}, ParamsError, "known: maker, grid, taker, execution"),
        ({"agents": {}}, ParamsError, "1 to 64 agents"),
        ({"agents": {"maker": 1.5}}, ParamsError, "integer"),
        ({"max_cycles": 0}, ParamsError, "max_cycles"),
        ({"interval_ns": 0}, ParamsError, "interval_ns"),
        ({"market": "synth:clam"}, ScenarioError, "synth:calm"),
        ({"spec": {"maker": {"orderlots": 1}}}, ParamsError, "orderlots"),
        ({"spec": {"maker": {"interval_ns": 1}}}, ParamsError, "interval_ns"),
        ({"vary": {"entry_ns": {"maker_9": 1}}}, ParamsError, "maker_9"),
        ({"capital": {"taker": -1.0}}, ParamsError, "positive"),
        ({"reward": {"maker": 1.0}}, ParamsError, "ArenaReward"),
        ({"task": ArenaTask(lots=1 << 30)}, ParamsError, "position limit"),
        ({"exchange": {"members": 3}}, ParamsError, "members"),
    ],
)
def test_arguments_that_make_no_sense_are_refused(arguments: Any, error: type[LobgymError], says: str) -> None:
    with pytest.raises(error, match=says):
        core_of(**arguments)


def test_steps_that_make_no_sense_are_refused_and_change_nothing() -> None:
    core = core_of(agents={"maker": 1, "taker": 1})
    right = {"maker_0": np.zeros(4, np.float32), "taker_0": 2}
    with pytest.raises(ResetNeededError, match="reset"):
        core.step(right)
    core.reset(1)
    before = core.run.observations.copy(), core.now_ns
    nan = np.array([0, 0, np.nan, 0], np.float32)
    for wrong, says in [
        ({"maker_0": nan}, "maker_0 needs 4 finite numbers"),
        ({"maker_0": np.array([0, 0, 1.1, 0])}, "from -1 to 1"),
        ({"maker_0": np.zeros(3)}, "4 finite numbers"),
        ({"maker_0": None}, "4 finite numbers"),
        ({"taker_0": 5}, "integer from 0 to 4"),
        ({"taker_0": -1}, "integer from 0 to 4"),
        ({"taker_0": 1.0}, "integer from 0 to 4"),
        ({"nobody": 1}, "nobody"),
    ]:
        with pytest.raises(ActionError, match=says):
            core.step({**right, **wrong})
    with pytest.raises(ActionError, match="no action for taker_0"):
        core.step({"maker_0": right["maker_0"]})
    assert np.array_equal(core.run.observations, before[0])
    assert core.now_ns == before[1]
    core.step(right)


def test_codes_are_those_that_the_desk_decodes() -> None:
    core = core_of()
    core.reset(1)
    rng = np.random.default_rng(5)
    for _ in range(50):
        actions = random_actions(core, rng)
        core.step(actions)
        for name, action in actions.items():
            i = core.index[name]
            spec = core.specs[i].action
            wanted = spec.decode(action[None] if spec.continuous else np.array([action]))[0]
            assert core.run.codes[i, : spec.size].tolist() == wanted.tolist()
        core.leave()


def test_seeds_that_are_none_are_refused() -> None:
    core = core_of(agents={"taker": 1})
    for seed in (-1, 1 << 63, 1.5):
        with pytest.raises(ParamsError, match="seed"):
            core.reset(seed)  # type: ignore[arg-type]
