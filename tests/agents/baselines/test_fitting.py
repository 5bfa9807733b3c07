"""Goal: fits find what is there, on the training part only, and thresholds are those that would have earned most.

Method: numpy's solver as oracle of the regression; a plain loop as oracle of a rule's PnL; the planted alpha, where it
is known what the forecast is worth; and a tape cut off after the training part, which must give the same facts.
"""

from __future__ import annotations

import numpy as np
import pytest

from lobgym.agents.baselines import MarketFacts, make_baseline, make_suite, open_baseline
from lobgym.agents.baselines.fitting import MARKET_COLUMNS, fit_forecast, observed, pick_threshold, ridge, rule_pnl
from lobgym.agents.baselines.forecasts import Forecast
from lobgym.agents.baselines.rule import ObservationRule
from lobgym.agents.baselines.suite import turnover_of
from lobgym.agents.errors import CalibrationError, PolicyError
from lobgym.sim.desk import Desk
from lobgym.sim.desk_spec import DeskSpec
from lobgym.sim.flow.dealer import planted_alpha_tape
from lobgym.sim.market import Market
from lobgym.sim.params import SimParams
from lobgym.sim.tape import Tape, open_tape

SECOND = 1_000_000_000


def test_the_regression_is_numpys() -> None:
    rng = np.random.Generator(np.random.PCG64(1))
    rows = rng.normal(0.3, 1.0, (500, 6))
    rows[:, 3] = rows[:, 1] + 0.01 * rows[:, 3]  # nearly the same column twice
    wanted = rows @ np.array([1.0, -2.0, 0.0, 0.5, 3.0, 0.1]) + 0.7 + rng.normal(0.0, 0.5, 500)
    for penalty in (1e-6, 1e-1):
        weights, intercept, r2 = ridge(rows, wanted, penalty)
        centred = rows - rows.mean(axis=0)
        gram = centred.T @ centred + penalty * 500 * np.eye(6)
        oracle = np.linalg.solve(gram, centred.T @ (wanted - wanted.mean()))
        assert weights == pytest.approx(oracle, rel=1e-6)
        assert intercept == pytest.approx(wanted.mean() - oracle @ rows.mean(axis=0))
        left = wanted - rows @ oracle - intercept
        assert r2 == pytest.approx(1.0 - left.var() / wanted.var())


@pytest.mark.parametrize("band", [False, True])
def test_a_rules_pnl_is_that_of_a_plain_loop(band: bool) -> None:
    rng = np.random.Generator(np.random.PCG64(2))
    expected, moves = rng.normal(0.0, 1.0, 800), rng.normal(0.0, 2.0, 800)
    for threshold in (0.1, 0.9, 5.0):
        position, cash = 0, 0.0
        for forecast, move in zip(expected, moves, strict=True):
            wanted = 1 if forecast > threshold else -1 if forecast < -threshold else position if band else 0
            cash += wanted * move - 0.3 * abs(wanted - position)
            position = wanted
        cash -= 0.3 * abs(position)
        assert rule_pnl(expected, moves, 0.3, threshold, band) == pytest.approx(cash, abs=1e-9)


def test_the_threshold_is_the_best_of_those_tried_or_none() -> None:
    rng = np.random.Generator(np.random.PCG64(3))
    expected = rng.normal(0.0, 1.0, 3000)
    moves = np.where(np.abs(expected) > 1.5, 2.0 * np.sign(expected), -np.sign(expected))
    threshold, earned = pick_threshold(expected, moves, 0.1, band=False)
    assert threshold is not None
    assert 1.2 < threshold < 1.7
    assert earned == rule_pnl(expected, moves, 0.1, threshold, False)
    assert pick_threshold(expected, moves, 10.0, band=False) == (None, 0.0)
    assert pick_threshold(expected, -expected, 0.0, band=False) == (None, 0.0)


def test_what_is_observed_at_a_time_is_what_a_desk_there_observes() -> None:
    market = Market.compile(open_tape("synth?seed=3&minutes=2"))
    spec = DeskSpec.for_market(market, "target")
    times = market.start_ns + np.array([5, 40, 77, 100]) * SECOND
    rows = observed(market, spec.layout.columns, np.tile(times, 70))  # more than one block of lanes
    desk = Desk(spec, market)
    for place, time in enumerate(times):
        desk.reset(int(time))
        assert np.array_equal(rows[place], desk.observe()[0])
        assert np.array_equal(rows[place + 276], rows[place])


@pytest.fixture(scope="module")
def alpha() -> Market:
    return Market.compile(planted_alpha_tape(7, 1.0, 1.0))


def test_a_planted_alpha_is_found_and_traded(alpha: Market) -> None:
    """A signal worth a round trip net of one: the imbalance shows it, so both forecasts must pay in the other part."""
    cut = alpha.start_ns + (alpha.end_ns - alpha.start_ns) // 2
    facts = MarketFacts.of(alpha, alpha.start_ns, cut)
    assert facts.threshold is not None
    assert facts.linear is not None
    assert facts.threshold.columns[0] in ("imbalance_1", "imbalance_5", "pressure_5", "microprice")
    assert facts.threshold.weights[0] > 0.0
    assert facts.linear.r2 >= facts.threshold.r2 > 0.01
    spec = DeskSpec.for_market(alpha, "target")
    earned = {}
    for name in ("threshold", "threshold-band", "linear", "linear-band", "always-long", "flat"):
        policy = make_baseline(name, spec, 600_000.0, facts)
        desk = Desk(spec, alpha)
        desk.reset(cut)
        policy.reset(1)
        observations, total = desk.observe(), 0
        for _ in range((alpha.end_ns - cut) // spec.interval_ns - 1):
            observations, result = desk.step(spec.action.decode(policy.act(observations)))
            total += int(result.pnl[0])
        earned[name] = total
    assert earned["flat"] == 0
    assert earned["linear-band"] > earned["flat"]
    assert earned["threshold-band"] > earned["flat"]


def test_facts_come_from_the_training_part_alone() -> None:
    tape = open_tape("synth:volatile?seed=5&minutes=6")
    whole = Market.compile(tape)
    cut = whole.start_ns + 180 * SECOND
    part = Market.compile(
        Tape(tape.events[tape.events["local_ns"] <= cut + SECOND], tape.instrument, tape.provenance)
    )  # fmt: skip
    first, second = (MarketFacts.of(market, whole.start_ns, cut) for market in (whole, part))
    assert first.to_json() == second.to_json()
    assert MarketFacts.of(whole, whole.start_ns, cut + 60 * SECOND).to_json() != first.to_json()


def test_a_fee_that_nothing_covers_leaves_takers_flat() -> None:
    market = Market.compile(open_tape("synth?seed=3&minutes=4"))
    facts = MarketFacts.of(market, market.start_ns, market.end_ns, SimParams(taker_fee_ppb=50_000_000))
    assert facts.linear is not None
    assert (facts.linear.enter_bps, facts.linear.hold_bps) == (None, None)
    spec = DeskSpec.for_market(market, "target")
    rows = np.random.default_rng(1).uniform(-1, 1, (50, spec.layout.size)).astype(np.float32)
    for name in ("linear", "linear-band", "threshold", "threshold-band"):
        assert [spec.targets[code] for code in make_baseline(name, spec, 6e5, facts).act(rows)] == [0.0] * 50


def test_the_suite_has_everybody_and_says_who_is_missing(alpha: Market) -> None:
    cut = alpha.start_ns + (alpha.end_ns - alpha.start_ns) // 2
    suite = make_suite(alpha, alpha.start_ns, cut)
    names = {(entry.name, entry.spec.kind) for entry in suite.entries}
    skipped = set(suite.skipped)
    assert len(names) == len(suite.entries) > 25
    # A dealer's prints all lie at the touch: where nobody is met further out there is no k, and it says so.
    assert skipped <= {"avellaneda-stoikov-calibrated (maker)", "glft (maker)"} | {
        f"{name} (target)" for name in ("threshold", "threshold-band", "linear", "linear-band")
    }
    for entry in suite.entries:
        rows = np.random.default_rng(1).uniform(-1, 1, (3, entry.spec.layout.size)).astype(np.float32)
        entry.policy.reset(3, 1)
        entry.spec.action.decode(entry.policy.act(rows))
        rows = np.random.default_rng(1).uniform(-1, 1, (3, entry.spec.layout.size)).astype(np.float32)
        if entry.name not in ("flat", "random"):
            alone = open_baseline(entry.name, alpha, DeskSpec.for_market(alpha, entry.spec.kind), alpha.start_ns, cut)
            assert alone.spec == entry.spec
            for policy in (alone.policy, entry.policy):
                policy.reset(3, 1)
            assert np.array_equal(alone.policy.act(rows), entry.policy.act(rows))
    matched = next(one for one in suite.entries if one.name == "random-matched" and one.spec.kind == "target")
    taker = next(one for one in suite.entries if one.name == "imbalance-taker")
    both = [turnover_of(one.policy, one.spec, alpha, alpha.start_ns, cut) for one in (matched, taker)]
    assert both[0] == pytest.approx(both[1], rel=0.25)
    assert sum(isinstance(one.policy, ObservationRule) for one in suite.entries) > 15


def test_mistakes_are_named(alpha: Market) -> None:
    with pytest.raises(CalibrationError, match="quantiles need 50"):
        MarketFacts.of(alpha, alpha.start_ns, alpha.start_ns + 20 * SECOND)
    with pytest.raises(CalibrationError, match="a fit needs 100"):
        fit_forecast(alpha, MARKET_COLUMNS, alpha.start_ns, alpha.start_ns + 20 * SECOND, SECOND, 1.0)
    with pytest.raises(PolicyError, match="one weight for each column"):
        Forecast(("spread",), (), 0.0, 1, None, None, 1.0, 0.0, 0.0, 1, 0.0)
    grid, target = DeskSpec.for_market(alpha, "grid"), DeskSpec.for_market(alpha, "target", interval_ns=SECOND)
    with pytest.raises(PolicyError, match="one venue and one interval"):
        make_suite(alpha, alpha.start_ns, alpha.end_ns, [grid, target])
    with pytest.raises(PolicyError, match="this baseline is fitted"):
        make_baseline("glft", DeskSpec.for_market(alpha, "maker"), 6e5)
