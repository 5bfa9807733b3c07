"""Goal: sweeps, regimes and random entry compare what they say they do.

Method: exact accounts. Episodes add up to the evaluator's seeds; a run at the break-even cost has nothing left; regimes
are measured again quote by quote; on a planted alpha who knows when to trade beats itself at random times, who holds a
position does not.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from decimal import Decimal
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from lobgym.agents.baselines import make_baseline
from lobgym.envs.markets import market_for
from lobgym.experiments.errors import EvaluationError
from lobgym.experiments.evaluation.episodes import Played, play, play_codes
from lobgym.experiments.evaluation.evaluate import EvalConfig, Evaluator
from lobgym.experiments.evaluation.intervals import iqm_interval
from lobgym.experiments.studies.contestants import Contestant
from lobgym.experiments.studies.costs import PPB_PER_BPS, dearer, slower
from lobgym.experiments.studies.random_entry import entry_cell, entry_study, entry_table, permutation_p, shuffled
from lobgym.experiments.studies.regimes import FIGURES, measure_regimes, regime_study, regime_table, thirds
from lobgym.experiments.studies.setting import Setting, setting_of
from lobgym.experiments.studies.sweeps import break_even, break_even_interval, crossing, sweep, sweep_cell, sweep_table
from lobgym.sim.desk import Desk
from lobgym.sim.desk_spec import DeskSpec
from lobgym.sim.instrument import SYNTH, FeeTier
from lobgym.sim.latency import LatencyQuantiles
from lobgym.sim.market import Market
from lobgym.sim.params import SimParams

TAPE = "synth?minutes=3"
ALPHA = "synth:planted-alpha?strength=0.5&minutes=40&seed=5"
CONFIG = EvalConfig((0, 3), 4, 60, "all")
KNOWN = "lobgym.experiments.known.players"


@pytest.fixture(scope="module")
def market() -> Market:
    return market_for(TAPE)


@pytest.fixture(scope="module")
def setting() -> Setting:
    return Setting.of(TAPE, CONFIG)


@pytest.fixture(scope="module")
def drawn(market: Market) -> Played:
    policy, spec = Contestant.of("random@target").open(market)
    return play(market, spec, policy, CONFIG)


# -- episodes ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["natr-grid@grid", "random@target"])
def test_episodes_add_up_to_the_evaluators_seeds(market: Market, name: str) -> None:
    policy, spec = Contestant.of(name).open(market)
    played = play(market, spec, policy, CONFIG)
    metrics = Evaluator(market, CONFIG).run([policy], spec, "fixed").per_seed
    assert list(played.by_seed().values()) == [one.pnl_units for one in metrics]
    assert list(played.by_seed("fills").values()) == [one.fills for one in metrics]
    assert played.episodes == 8
    assert sum(played.fills.tolist()) > 0


def test_where_delays_are_drawn_they_are_drawn_as_the_evaluator_draws_them(market: Market) -> None:
    params = SimParams(latency=LatencyQuantiles((0, 300_000_000), (0, 200_000_000)))
    policy, spec = Contestant.of("random@target").open(market, None, params)
    played = play(market, spec, policy, CONFIG)
    metrics = Evaluator(market, CONFIG).run([policy], spec, "fixed").per_seed
    assert list(played.by_seed().values()) == [one.pnl_units for one in metrics]
    # Seed 3 with the draws of seed 0 is another result: the draws decide.
    desk = Desk(spec, market, CONFIG.episodes)
    desk.reset(CONFIG.starts(market, 3, spec.interval_ns), 0)
    moved = sum(desk.step(codes)[1].pnl for codes in played.codes[:, CONFIG.episodes :])
    assert moved.tolist() != played.pnl[CONFIG.episodes :].tolist()


def test_the_same_actions_earn_the_same_again(market: Market, drawn: Played) -> None:
    _, spec = Contestant.of("random@target").open(market)
    again = play_codes(market, spec, drawn.codes, CONFIG)
    for name in Played.__dataclass_fields__:
        assert np.array_equal(getattr(again, name), getattr(drawn, name)), name


def test_a_span_holds_its_episodes(market: Market) -> None:
    span = (market.start_ns + 20_000_000_000, market.start_ns + 60_000_000_000)
    config = EvalConfig((1,), 50, 60, span)
    starts = config.starts(market, 1, 500_000_000)
    assert span[0] <= starts.min() <= starts.max() <= span[1] - 30_000_000_000
    assert config.span_ns(market, 500_000_000) == span
    for low, high in ((span[0], span[0] + 20_000_000_000), (market.start_ns - 1, span[1]), (span[1], span[0])):
        with pytest.raises(EvaluationError, match="a span of the tape"):
            EvalConfig((1,), 1, 60, (low, high)).starts(market, 1, 500_000_000)


# -- contestants and settings ------------------------------------------------------------------------------------------


def test_settings_come_back_from_json_and_stick_to_their_tape(setting: Setting) -> None:
    spanned = Setting(TAPE, setting.tape_digest, EvalConfig((4,), 2, 5, (10, 20)), 1_000_000_000)
    for one in (setting, spanned):
        assert setting_of(json.loads(json.dumps(one.to_json()))) == one
    with pytest.raises(EvaluationError, match="not the tape"):
        Setting(TAPE, "another", CONFIG).market()


def test_contestants_are_named_on_a_command_line(market: Market, tmp_path: Path) -> None:
    policy, spec = Contestant.of("natr-grid@grid").open(market, 1_000_000_000, SimParams(entry_ns=5))
    assert (policy.name, spec.kind, spec.interval_ns, spec.params.entry_ns) == ("natr-grid", "grid", 1_000_000_000, 5)
    assert Contestant.of(f"{KNOWN}:threshold").source == "call"
    for text in ("natr-grid@target", "nobody@grid", "natr-grid", str(tmp_path)):
        with pytest.raises(EvaluationError):
            Contestant.of(text)


def test_a_fitted_baseline_looks_at_the_part_before_the_test_alone(market: Market) -> None:
    setting = Setting.of("synth?minutes=10", EvalConfig((0,), 1, 60, embargo_ns=30_000_000_000))
    own = setting.market()
    low, high = setting.train(own) or (0, 0)
    tested = min(setting.config.starts(own, seed, 500_000_000).min() for seed in range(200))
    assert low == own.start_ns
    assert 0 <= tested - high - 30_000_000_000 < 5_000_000_000
    policy, spec = Contestant.of("linear-band@target").open(own, train=(low, high))
    assert policy.name == "linear-band"
    assert play(own, spec, policy, setting.config).episodes == 1
    with pytest.raises(EvaluationError, match="is fitted"):
        Contestant.of("linear@target").open(own)
    assert Setting.of(TAPE, CONFIG).train(market) is None


def test_a_folder_that_has_changed_is_refused(market: Market, tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text("{}")
    (tmp_path / "logs").mkdir()
    one = Contestant.of(str(tmp_path))
    assert one.source == "bundle"
    (tmp_path / "logs" / "progress.csv").write_text("ignored")
    assert Contestant.of(str(tmp_path)) == one
    (tmp_path / "manifest.json").write_text("{ }")
    with pytest.raises(EvaluationError, match="not what it was"):
        one.open(market)


# -- costs -------------------------------------------------------------------------------------------------------------


def test_a_dearer_venue_differs_in_its_fees_alone() -> None:
    base = SimParams(entry_ns=7)
    made = dearer(base, SYNTH, 150_000)
    assert (made.maker_fee_ppb, made.taker_fee_ppb) == (SYNTH.maker_fee_ppb + 150_000, SYNTH.taker_fee_ppb + 150_000)
    assert made.replace(maker_fee_ppb=None, taker_fee_ppb=None) == base
    tiers = SimParams(fee_tiers=((0, 100, 200), (50, 10, 20)))
    assert dearer(tiers, SYNTH, -5).fee_tiers == ((0, 95, 195), (50, 5, 15))
    tiered = replace(SYNTH, fee_tiers=(FeeTier(Decimal(1_000_000), 1_000, 2_000),))
    assert [row[1:] for row in dearer(base, tiered, 1).fee_tiers or ()] == [
        (SYNTH.maker_fee_ppb + 1, SYNTH.taker_fee_ppb + 1),
        (1_001, 2_001),
    ]
    assert slower(base, 3) == base.replace(entry_ns=10, response_ns=base.response_ns + 3)


def test_at_its_break_even_cost_nothing_is_left(setting: Setting, tmp_path: Path) -> None:
    """The known policy is profitable; exactly at PnL / turnover, to one part in a billion of it, it is not."""
    alpha = Setting.of(ALPHA, EvalConfig((0, 1), 4, 1200, "all"))
    one = Contestant.of(f"{KNOWN}:programme")
    task = {"setting": alpha.to_json(), "contestant": one.to_json(), "delay_ms": 0.0}
    base = sweep_cell({**task, "extra_bps": 0.0}, tmp_path)
    even = break_even(base["pnl"], base["turnover"])
    assert even is not None
    assert even > 1.0
    extra_ppb = round(even * PPB_PER_BPS)
    left = sweep_cell({**task, "extra_bps": extra_ppb / PPB_PER_BPS}, tmp_path)
    assert left["turnover"] == base["turnover"]
    assert abs(sum(left["pnl"])) <= sum(base["turnover"]) * 1e-9 + 1000
    assert sum(base["pnl"]) > 1e6
    gross = break_even([sum(base["pnl"]) + sum(base["fees"])], [sum(base["turnover"])])
    assert gross == pytest.approx(even + 5.0, abs=1e-3)  # SYNTH's takers pay 5 bps


def test_a_sweep_has_every_cell_once_and_finds_them_again(setting: Setting, tmp_path: Path) -> None:
    names = [Contestant.of(name) for name in ("random@target", "flat@target")]
    options = {"extra_bps": (-1.0, 2.0), "delays_ms": (100.0,), "backend": "serial"}
    result = sweep(names, setting, tmp_path, **options)  # type: ignore[arg-type]
    done = sorted(tmp_path.glob("*/result.json"))
    assert len(done) == 8
    stamps = [path.stat().st_mtime_ns for path in done]
    assert sweep(names, setting, tmp_path, **options) == result  # type: ignore[arg-type]
    assert [path.stat().st_mtime_ns for path in sorted(tmp_path.glob("*/result.json"))] == stamps
    random, flat = result["rows"]
    assert random["pnl_by_cost"][0] > random["pnl_by_cost"][1] > random["pnl_by_cost"][2]
    # Three points on one line: a policy that knows no fees loses the same for every basis point.
    low, middle, high = random["pnl_by_cost"]
    assert middle - low == pytest.approx((high - middle) / 2.0, rel=1e-6)
    assert random["break_even_extra_bps"] < 0.0
    assert flat["pnl_by_cost"] == [0.0, 0.0, 0.0]
    assert flat["break_even_extra_bps"] is flat["break_even_delay_ms"] is None
    assert len({cell["params_digest"] for cell in random["cells"]}) == 4
    assert len(sweep_table(result)) == 9


def test_a_sweeps_figures_are_those_of_single_runs_at_those_venues(tmp_path: Path) -> None:
    alpha = Setting.of(ALPHA, EvalConfig((0, 1, 5), 4, 600, "all"))
    one = Contestant.of(f"{KNOWN}:threshold")
    options = {"extra_bps": (4.0, 20.0), "delays_ms": (400.0, 20_000.0), "backend": "serial"}
    (row,) = sweep([one], alpha, tmp_path, **options)["rows"]  # type: ignore[arg-type]
    market = alpha.market()
    _, spec = one.open(market)
    base = spec.params
    maker, taker = market.instrument.maker_fee_ppb, market.instrument.taker_fee_ppb
    unit = float(market.instrument.money_unit) / 4

    def played(**changes: int) -> Played:
        policy, own = one.open(market, None, base.replace(**changes))
        return play(market, own, policy, alpha.config)

    def mean(found: Played) -> float:
        return unit * sum(found.by_seed().values()) / 3

    plain = played()
    costs = [plain, *(played(maker_fee_ppb=maker + ppb, taker_fee_ppb=taker + ppb) for ppb in (400_000, 2_000_000))]
    ways = [(base.entry_ns + ns, base.response_ns + ns) for ns in (400_000_000, 20_000_000_000)]
    delays = [plain, *(played(entry_ns=there, response_ns=back) for there, back in ways)]
    assert row["pnl_by_cost"] == pytest.approx([mean(found) for found in costs])
    assert row["pnl_by_delay"] == pytest.approx([mean(found) for found in delays])
    assert row["pnl_by_cost"][0] > 0.0 > row["pnl_by_cost"][2]
    pnl, fees, traded = (int(getattr(plain, name).sum()) for name in ("pnl", "fees", "turnover"))
    assert fees > 0
    assert row["break_even_extra_bps"] == pytest.approx(1e4 * pnl / traded)
    assert row["break_even_all_in_bps"] == pytest.approx(1e4 * (pnl + fees) / traded)
    # What is read off is a line between swept points: exact, where a policy does not look at fees.
    assert row["swept_extra_bps"] == pytest.approx(row["break_even_extra_bps"], rel=1e-3)
    assert row["break_even_delay_ms"] is not None
    assert row["break_even_delay_ms"] == crossing((0.0, 400.0, 20_000.0), [mean(found) for found in delays])
    seeds = [unit * value for value in plain.by_seed().values()]
    found = iqm_interval(seeds)
    assert (row["pnl"]["iqm"], row["pnl"]["low"], row["pnl"]["high"]) == pytest.approx(
        (found.iqm, found.low, found.high)
    )
    pairs = [list(plain.by_seed(name).values()) for name in ("pnl", "turnover")]
    assert (row["extra_bps_low"], row["extra_bps_high"]) == break_even_interval(*pairs)
    assert row["extra_bps_low"] <= row["break_even_extra_bps"] <= row["extra_bps_high"]


def test_a_break_even_costs_interval_is_that_of_sums() -> None:
    """All 27 resamples of three seeds enumerated; the last seed hardly traded, and hardly matters."""
    pnl, turnover = [300, 100, -5], [10_000, 20_000, 1]
    exact = sorted(
        1e4 * sum(pnl[k] for k in drawn) / sum(turnover[k] for k in drawn) for drawn in product(range(3), repeat=3)
    )
    low, high = break_even_interval(pnl, turnover, level=0.6) or (0.0, 0.0)
    assert (low, high) == (exact[5], exact[21])  # the fifths' edges lie within steps of three equal resamples
    assert low < (break_even(pnl, turnover) or 0.0) < high
    assert break_even_interval([0, 0], [0, 0]) is None
    assert break_even_interval([7, 0], [100, 0]) == (700.0, 700.0)


def test_where_a_sweep_crosses_zero() -> None:
    assert crossing([0.0, 1.0, 3.0], [2.0, 1.0, -1.0]) == 2.0
    assert crossing([0.0, 1.0], [2.0, 0.0]) == 1.0
    assert crossing([0.0, 1.0], [2.0, 1.0]) is None
    assert crossing([0.0, 1.0], [-1.0, 2.0]) is None
    assert break_even([5, -1], [400, 0]) == 100.0
    assert break_even([0], [0]) is None


# -- regimes -----------------------------------------------------------------------------------------------------------


def test_regimes_are_what_the_quotes_say(market: Market) -> None:
    """Measured again from a desk's own session, step by step, at the exchange's quotes."""
    steps, interval = 40, 500_000_000
    starts = CONFIG.starts(market, 3, interval)
    found = measure_regimes(market, starts, steps, interval)
    desk = Desk(DeskSpec.for_market(market, "target"), market, len(starts))
    desk.reset(starts, 0)
    quotes = np.empty((steps + 1, len(starts), 2))
    for step in range(steps + 1):
        for lane in range(len(starts)):
            quotes[step, lane] = desk.session.bests(lane, at_exchange=True)
        if step < steps:
            desk.advance()
    mids = quotes.mean(axis=2)
    moves = np.diff(mids, axis=0)
    volatility = 1e4 * np.sqrt(((moves / mids[:-1]) ** 2).mean(axis=0))
    spread = 1e4 * ((quotes[:, :, 1] - quotes[:, :, 0]) / mids).mean(axis=0)
    trend = (mids[-1] - mids[0]) / np.maximum(np.abs(moves).sum(axis=0), 1e-12)
    assert found == pytest.approx(np.stack([volatility, spread, trend], axis=1), rel=1e-9, abs=1e-12)
    assert volatility.min() > 0.0
    assert len(set(trend.tolist())) > 1


def test_slices_add_up_to_the_whole(setting: Setting, tmp_path: Path) -> None:
    result = regime_study([Contestant.of("random@target")], setting, tmp_path, backend="serial")
    (row,) = result["rows"]
    whole, *parts = row["slices"]
    for name, labels in FIGURES.items():
        own = [part for part in parts if part["figure"] == name]
        assert [part["slice"] for part in own] == list(labels)
        assert sum(part["pnl_units"] for part in own) == whole["pnl_units"]
        assert sum(part["episodes"] for part in own) == whole["episodes"] == 8
    assert len(regime_table(result)) == 3


def test_thirds_are_thirds() -> None:
    low, high = thirds([5.0, 1.0, 4.0, 2.0, 3.0, 6.0, 7.0])
    places = [int(value >= low) + int(value >= high) for value in (1, 2, 3, 4, 5, 6, 7)]
    assert places == [0, 0, 1, 1, 1, 2, 2]
    with pytest.raises(EvaluationError, match="three episodes"):
        thirds([1.0, 2.0])


# -- random entry ------------------------------------------------------------------------------------------------------


def test_surrogates_play_the_same_actions_at_other_times(drawn: Played) -> None:
    moved = shuffled(drawn.codes, 7)
    assert not np.array_equal(moved, drawn.codes)
    assert np.array_equal(moved, shuffled(drawn.codes, 7))
    assert not np.array_equal(moved, shuffled(drawn.codes, 8))

    def wheels(codes: np.ndarray) -> list[tuple[int, ...]]:
        """Each episode's actions, wherever on the wheel they begin."""
        columns = [codes[:, e, 0].tolist() for e in range(codes.shape[1])]
        return sorted(min(tuple(c[k:] + c[:k]) for k in range(len(c))) for c in columns)

    assert wheels(moved) == wheels(drawn.codes)
    with pytest.raises(EvaluationError, match="2 episodes"):
        shuffled(drawn.codes[:, :1], 0)


def test_every_arrangement_is_equally_likely() -> None:
    """Three episodes of two steps: 6 deals times 8 turns, counted over 4,800 draws; by chi square, 47 degrees."""
    codes = np.array([[[10 * e + t] for e in range(3)] for t in range(2)], np.int32)
    seen = Counter(shuffled(codes, seed)[0, :, 0].tobytes() for seed in range(4_800))
    assert len(seen) == 48
    assert sum((count - 100) ** 2 / 100 for count in seen.values()) < 82.7  # the 0.1% point


def test_random_entry_is_a_policy_against_its_own_arrangements(setting: Setting, tmp_path: Path) -> None:
    """Each figure again from single plays."""
    names = [Contestant.of(name) for name in ("random@target", "imbalance-taker@target")]
    rows = entry_study(names, setting, tmp_path, surrogates=19, backend="serial")["rows"]
    market = setting.market()
    unit = float(market.instrument.money_unit) / len(CONFIG.seeds) / CONFIG.episodes
    raw = []
    for one, row in zip(names, rows, strict=True):
        policy, spec = one.open(market)
        own = play(market, spec, policy, CONFIG)
        others = [play_codes(market, spec, shuffled(own.codes, number), CONFIG) for number in range(19)]
        pnl, surrogates = int(own.pnl.sum()), [int(other.pnl.sum()) for other in others]
        assert len(set(surrogates)) > 1
        assert row["pnl"] == pytest.approx(unit * pnl)
        assert row["random_pnl"] == pytest.approx(unit * sum(surrogates) / 19)
        assert row["best_random_pnl"] == pytest.approx(unit * max(surrogates))
        assert row["turnover"] == pytest.approx(unit * int(own.turnover.sum()))
        assert row["random_turnover"] == pytest.approx(unit * sum(int(other.turnover.sum()) for other in others) / 19)
        assert row["p"] == sum(value >= pnl for value in (pnl, *surrogates)) / 20
        raw.append(row["p"])
    small, large = sorted(range(2), key=lambda k: (raw[k], k))
    assert rows[small]["p_holm"] == min(1.0, 2 * raw[small])
    assert rows[large]["p_holm"] == max(rows[small]["p_holm"], raw[large])


def test_who_knows_when_beats_random_times_and_who_only_holds_does_not(tmp_path: Path) -> None:
    alpha = Setting.of(ALPHA, EvalConfig((0, 1), 6, 1200, "all"))
    names = [Contestant.of(f"{KNOWN}:{name}") for name in ("threshold", "always_long")]
    result = entry_study(names, alpha, tmp_path, surrogates=19, backend="serial")
    knows, holds = result["rows"]
    assert knows["p"] == 1 / 20
    assert knows["pnl"] > 0.0 > knows["best_random_pnl"]
    assert knows["random_turnover"] == pytest.approx(knows["turnover"], rel=0.1)
    assert holds["p"] == 1.0  # one action at all times: nothing to exchange, and every surrogate ties
    assert len(entry_table(result)) == 4
    with pytest.raises(EvaluationError, match="19 surrogates"):
        entry_study(names, alpha, tmp_path, surrogates=18)


def test_the_p_value_counts_the_observed_arrangement() -> None:
    assert permutation_p(5, [1, 2, 3]) == 0.25
    assert permutation_p(2, [1, 2, 3]) == 0.75
    assert permutation_p(0, [1, 2, 3]) == 1.0


def test_chance_has_uniform_p_values(market: Market, setting: Setting, tmp_path: Path) -> None:
    """A policy of pure chance is not told apart from itself at other times."""
    task = {"setting": setting.to_json(), "contestant": Contestant.of("random@target").to_json(), "surrogates": 19}
    cell = entry_cell(task, tmp_path)
    assert permutation_p(cell["pnl"], cell["surrogate_pnl"]) > 0.05
    assert make_baseline("flat", DeskSpec.for_market(market, "target"), 1.0).name == "flat"
