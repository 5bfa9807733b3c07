"""Goal: rewards are the written formulas, sum to the ledger, and functions of one's own are added as they are.

Method: each term alone, computed again in exact fractions from the infos, the account and the fills.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from lobgym.envs import LobEnv, LobVectorEnv, RewardError, RewardTerms
from lobgym.envs.core import EnvCore
from lobgym.envs.rewards import RewardFacts, default_reward
from lobgym.sim.desk import StepResult
from lobgym.sim.errors import ParamsError
from lobgym.sim.records import BUY

LANES = 4
TAPE = "synth?seed=4&minutes=3"
ARGUMENTS: dict[str, Any] = {"tape": TAPE, "horizon": 60, "spec": {"interval_ns": 250_000_000}}


def actions_of(core: EnvCore, steps: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    if not core.spec.action.continuous:
        return rng.integers(0, 5, (steps, core.lanes))
    return rng.uniform(-1, 1, (steps, core.lanes, core.spec.action.size)).astype(np.float32)


def walk(core: EnvCore, steps: int, always: tuple[float, ...] = ()) -> list[tuple[np.ndarray, StepResult]]:
    """Rewards and results of an episode's first steps: of random actions, or of one."""
    everyone = np.ones(core.lanes, np.bool_)
    core.seed(3, everyone)
    core.begin(everyone)
    made = []
    for action in actions_of(core, steps):
        step = core.step(np.tile(np.float32(always), (core.lanes, 1)) if always else action)
        made.append((step.rewards, step.result))
    return made


def core_of(kind: str, reward: Any, **changes: Any) -> EnvCore:
    return EnvCore(kind, lanes=LANES, reward=reward, **{**ARGUMENTS, **changes})


@pytest.mark.parametrize("kind", ["grid", "target", "maker"])
def test_float_rewards_sum_to_the_ledger(kind: str):
    env = LobVectorEnv(kind, num_envs=LANES, **ARGUMENTS)
    env.reset(seed=0)
    total = np.zeros(LANES)
    for action in actions_of(env.core, 60):
        _, reward, _, _, infos = env.step(action)
        total += reward
    assert infos["summary"]["fills"].sum() > 0
    for i in range(LANES):
        exact = Fraction(int(infos["summary"]["pnl_units"][i]), 10**8)
        assert abs(Fraction(total[i]) - exact) <= Fraction(1, 10**6) * max(abs(exact), Fraction(1, 10**6))
        assert infos["summary"]["return"][i] == total[i]


def test_fees_and_funding_count_what_was_paid():
    for name in ("fees", "funding"):
        core = core_of("target", RewardTerms(pnl=0.0, **{name: 2.0}))
        paid = 0
        for reward, result in walk(core, 60):
            units = getattr(result, name)
            np.testing.assert_allclose(reward, -2.0 * units * 1e-8, rtol=1e-12)
            paid += int(np.abs(units).sum())
        if name == "fees":
            assert paid > 0


def test_spread_capture_is_what_fills_gain_over_the_mid_before():
    core = core_of("target", RewardTerms(pnl=0.0, spread_capture=1.0))
    core.desk.session.keep_log("fills", 1 << 14)
    made = core.market.instrument
    per_tick_lot = Fraction(made.money_per_tick_lot)
    everyone = np.ones(LANES, np.bool_)
    core.seed(3, everyone)
    core.begin(everyone)
    seen = 0
    for action in actions_of(core, 60):
        step = core.step(action)
        expected = np.zeros(LANES)
        for fill in core.desk.session.drain_fills():
            lane = int(fill["lane"])
            side, qty, tick = int(fill["side"]), int(fill["qty"]), int(fill["tick"])
            mid = Fraction(int(step.result.mid2_before[lane]), 2)
            expected[lane] += float(side * (mid - tick) * qty * per_tick_lot / 10**8)
            seen += 1
        # The value at the mid is rounded down to a money unit.
        np.testing.assert_allclose(step.rewards, expected, rtol=1e-9, atol=2e-8)
    assert seen > 10


def test_drawdown_is_what_its_maximum_grows_by():
    core = core_of("target", RewardTerms(pnl=0.0, drawdown=1.0))
    peak, worst = np.zeros(LANES), np.zeros(LANES)
    for reward, result in walk(core, 60):
        equity = result.equity * 1e-8
        peak = np.maximum(peak, equity)
        grown = np.maximum(worst, peak - equity)
        np.testing.assert_allclose(reward, -(grown - worst), rtol=1e-9, atol=1e-9)
        worst = grown
    assert (worst > 0).all()
    np.testing.assert_allclose(core.summary()["max_drawdown_units"] * 1e-8, worst, rtol=1e-9)


def test_the_shortfall_telescopes_to_that_of_the_whole_task():
    """The definition at the end: side * (what was paid + what is left at the mid - all at arrival), and the fees."""
    core = core_of("execution", RewardTerms(pnl=0.0, shortfall=1.0), task={"side": "random"})
    steps = walk(core, 40, always=(-0.6, 1.0))  # slices of less than the even pace, each taken at once
    total = np.sum([reward for reward, _ in steps], axis=0)
    result = steps[-1][1]
    per_tick_lot = Fraction(core.market.instrument.money_per_tick_lot)
    assert len(set(core.desk.tasks["side"].tolist())) == 2
    for i in range(LANES):
        task = core.desk.tasks[i]
        side, lots = int(task["side"]), int(task["lots"])
        account = core.desk.session.account(i)
        left = lots - side * account.position_lots
        assert 0 < left < lots
        mid, arrival = Fraction(int(result.mid2[i]), 2), Fraction(int(task["arrival2"]), 2)
        paid = -side * Fraction(account.cash)  # for what is filled
        shortfall = paid + (left * mid - lots * arrival) * per_tick_lot
        exact = side * shortfall + account.fees
        assert abs(total[i] + float(exact / 10**8)) < 1e-6


def test_what_is_left_undone_is_charged_at_the_end():
    alone = core_of("execution", RewardTerms(pnl=0.0, unfilled_bps=10.0), horizon=20, task={"side": "buy"})
    rewards = [reward for reward, _ in walk(alone, 20, always=(-0.6, 1.0))]
    assert not np.any(rewards[:-1])
    lots = alone.desk.tasks["lots"] - alone.desk.session.state.lane["position"]
    per_tick_lot = alone.market.instrument.money_per_tick_lot
    mid = np.array([alone.desk.mid2(i) for i in range(LANES)]) / 2
    np.testing.assert_allclose(rewards[-1], -1e-3 * lots * mid * per_tick_lot * 1e-8, rtol=1e-9)
    assert (rewards[-1] < 0).all()


def test_terms_add_up_and_scale():
    weights = {"pnl": 0.5, "inventory_penalty": 0.25, "fees": 0.125, "spread_capture": 2.0, "drawdown": 0.75}
    together = [reward for reward, _ in walk(core_of("target", RewardTerms(scale=3.0, **weights)), 40)]
    apart = np.zeros((40, LANES))
    for name, weight in weights.items():
        terms = RewardTerms(**{"pnl": 0.0, name: weight})
        apart += [reward for reward, _ in walk(core_of("target", terms), 40)]
    np.testing.assert_allclose(together, 3.0 * apart, rtol=1e-9, atol=1e-9)


def quick(result: StepResult, facts: RewardFacts) -> np.ndarray:
    return -0.01 * result.submits + 0.0 * facts.steps


def test_functions_are_added_as_they_are():
    plain = walk(core_of("grid", None), 40)
    core = core_of("grid", (RewardTerms(), quick))
    own = walk(core, 40)
    for (before, result), (after, again) in zip(plain, own, strict=True):
        np.testing.assert_array_equal(result.pnl, again.pnl)
        np.testing.assert_array_equal(after, before + -0.01 * result.submits)
    np.testing.assert_array_equal(core.returns, np.sum([reward for reward, _ in own], axis=0))
    alone = LobEnv("grid", reward=quick, **ARGUMENTS)
    alone.reset(seed=3)
    reward = alone.step(actions_of(core, 1)[0][0])[1]
    assert reward == -0.01 * own[0][1].submits[0]


def test_functions_that_give_no_reward_are_refused():
    for bad, message in (
        (lambda result, facts: 1.0, "one number a lane"),
        (lambda result, facts: np.full(LANES, "x"), "one number a lane"),
        (lambda result, facts: np.array([0.0, np.nan, 0.0, 0.0]), "lane 1"),
    ):
        core = core_of("grid", bad)
        with pytest.raises(RewardError, match=message):
            walk(core, 1)
    for bad_reward in ("pnl", (), (RewardTerms(), RewardTerms()), [1.0]):
        with pytest.raises(ParamsError, match="RewardTerms"):
            core_of("grid", bad_reward)
    for terms in ({"pnl": float("nan")}, {"unfilled_bps": -1.0}, {"scale": True}):
        with pytest.raises(ParamsError):
            RewardTerms(**terms)


def test_the_default_is_the_equity_or_the_shortfall():
    assert default_reward("maker") == RewardTerms()
    assert default_reward("execution") == RewardTerms(pnl=0.0, shortfall=1.0, unfilled_bps=10.0)
    core = core_of("execution", None, task={"side": "buy"})
    assert core.plan.terms == default_reward("execution")
    assert (core.desk.tasks["side"] == 0).all()
    walk(core, 1)
    assert (core.desk.tasks["side"] == BUY).all()
