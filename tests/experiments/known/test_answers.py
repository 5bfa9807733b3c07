"""Goal: the known answers come out, and a wrong market would be noticed.

Method: the dynamic programme against matrix exponentials, numerical integration, exhaustive search and all other
tables; then both studies of docs/known-answers.md, smaller, through the real desk.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from scipy.linalg import expm
from typer.testing import CliRunner

from lobgym.agents.baselines.alpha import FOLLOW, SignalTable
from lobgym.agents.errors import PolicyError
from lobgym.experiments.cli import app
from lobgym.experiments.errors import EvaluationError
from lobgym.experiments.known.alpha import alpha_desk, alpha_study, alpha_table
from lobgym.experiments.known.answers import KnownAnswers, report
from lobgym.experiments.known.martingale import ALPHA, EDGE_TICKS, JOINER, TAKER, martingale_study, martingale_table
from lobgym.experiments.known.programme import AlphaProgramme, Table
from lobgym.experiments.known.run import run_policies, tick_lot_units
from lobgym.sim.desk_spec import DeskSpec
from lobgym.sim.flow.dealer import REACTION_NS, STRENGTHS, DealerFlow, planted_alpha_tape
from lobgym.sim.market import Market

INTERVAL, ENTRY, FEED, FEE = 500_000_000, 10_000_000, 2_000_000, 500_000


def programme(strength: float = 0.5, interval_ns: int = INTERVAL, entry_ns: int = ENTRY) -> AlphaProgramme:
    return AlphaProgramme.of(DealerFlow.planted_alpha(strength), interval_ns, entry_ns, FEED, FEE)


# -- the programme -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("interval_ns", [INTERVAL, 20_000_000_000])
def test_chain_and_drift_are_those_of_the_generator(interval_ns: int) -> None:
    flow, made = DealerFlow.planted_alpha(0.5), programme(0.5, interval_ns)
    leave, come = 1e9 / flow.stay_ns, 1e9 / flow.rest_ns
    generator = np.array([[-leave, leave, 0.0], [come / 2, -come, come / 2], [0.0, leave, -leave]])
    assert made.chain == pytest.approx(expm(generator * interval_ns / 1e9), abs=1e-12)
    grid = np.linspace((FEED + ENTRY) / 1e9, (FEED + ENTRY + interval_ns) / 1e9, 2001)
    seen = np.array([expm(generator * u) @ [-1.0, 0.0, 1.0] for u in grid]) * flow.drift_ticks_per_s
    assert made.drift == pytest.approx(np.trapezoid(seen, grid, axis=0), rel=1e-6, abs=1e-9)
    assert made.cost == 24 + 300
    assert REACTION_NS == FEED + ENTRY


def exhaustive(made: AlphaProgramme, signal: int, position: int, left: int) -> float:
    """Best expected ticks by trying everything, in plain Python."""
    if left == 0:
        return 0.0
    return max(
        made.drift[signal] * (unit - 1)
        - made.cost * abs(unit - position)
        + sum(made.chain[signal, then] * exhaustive(made, then, unit, left - 1) for then in range(3))
        for unit in range(3)
    )


def test_the_optimum_is_what_exhaustive_search_finds() -> None:
    made = programme(1.0, 20_000_000_000)  # so slow that five decisions are worth a trade
    for decisions in range(5):
        assert made.optimum(decisions) == pytest.approx(exhaustive(made, 1, 1, decisions))
    assert made.optimum(4) > 0.0


def symmetric_tables() -> Iterator[Table]:
    """Every table that treats up and down alike."""
    for up, flat in product(product((-1, 0, 1), repeat=3), (-1, 0, 1)):
        yield tuple(-unit for unit in reversed(up)), (-flat, 0, flat), up


@pytest.mark.parametrize("strength", STRENGTHS)
def test_no_other_table_earns_more(strength: float) -> None:
    made, decisions = programme(strength), 400
    best = made.optimal_table()
    assert max(made.expected(table, decisions) for table in symmetric_tables()) == made.expected(best, decisions)
    # It waits through the pauses: half of the signals continue the position, and closing would cost a round trip.
    assert best == ((-1, -1, -1), (-1, 0, 1), (1, 1, 1))
    assert made.expected(best, decisions) <= made.optimum(decisions) + 1e-9


@pytest.mark.parametrize("strength", STRENGTHS)
def test_the_threshold_rule_earns_the_strength_on_each_signal(strength: float) -> None:
    flow = DealerFlow.planted_alpha(strength)
    decisions = 40_000
    signals = decisions * INTERVAL / (flow.stay_ns + flow.rest_ns)
    trips = programme(strength).expected(FOLLOW, decisions) / 648 / signals
    assert trips == pytest.approx(strength, abs=0.02)  # decisions twice a second cost the rest


def test_latency_costs() -> None:
    table = programme().optimal_table()
    values = [programme(0.5, INTERVAL, entry).expected(table, 2000) for entry in (0, ENTRY, 1_000_000_000)]
    assert values[0] > values[1] > values[2] > 0.0


# -- the policy --------------------------------------------------------------------------------------------------------


def test_a_table_reads_signal_and_position_and_refuses_other_desks() -> None:
    market = Market.compile(planted_alpha_tape(1, 0.05))
    spec = alpha_desk(market)
    names = spec.layout.names
    rows = np.zeros((9, len(names)), np.float32)
    cells = list(product((-0.5, 0.1, 0.5), (-1.0, 0.0, 1.0)))
    rows[:, names.index("imbalance_1")] = [imbalance for imbalance, _ in cells]
    rows[:, names.index("inventory")] = [inventory for _, inventory in cells]
    table = ((0, 1, -1), (1, 0, 0), (-1, 1, 0))
    actions = SignalTable(spec, table, 0.3, "any").act(rows)
    assert [spec.targets[int(code)] for code in spec.action.decode(actions)[:, 0]] == [0, 1, -1, 1, 0, 0, -1, 1, 0]
    for wrong in (DeskSpec.for_market(market, "target"), DeskSpec.for_market(market, "grid")):
        with pytest.raises(PolicyError, match="targets"):
            SignalTable(wrong, table, 0.3, "any")
    with pytest.raises(PolicyError, match="3 x 3"):
        SignalTable(spec, table[:2], 0.3, "any")


def test_what_a_run_earned_is_its_account_at_the_exchanges_mid() -> None:
    market = Market.compile(planted_alpha_tape(2, 0.2, 1.0))
    spec = alpha_desk(market)
    assert tick_lot_units(market) == 10_000  # 0.1 * 0.001 quote units, of 1e-8 each
    (none, one, twin) = run_policies(
        market, spec, [SignalTable(spec, ((0,) * 3,) * 3, 0.3, "flat")] + [SignalTable(spec, FOLLOW, 0.3, "it")] * 2, 5
    )
    assert (none.tick_lots, none.lots, none.fills) == (0.0, 0, 0)
    assert one == twin
    assert one.lots >= 200
    assert one.maker_fills == 0


# -- the studies -------------------------------------------------------------------------------------------------------


def test_on_the_martingale_takers_pay_the_half_spread_and_nobody_earns() -> None:
    """The study of docs/known-answers.md with 12 seeds of 10 minutes; the edge of 0.2 bp is found."""
    result = martingale_study(12, 10.0, pilots=3)
    assert result.failures == ()
    fair = {one.policy: one for one in result.fair}
    planted = {one.policy: one for one in result.planted}
    assert set(fair) == set(planted)
    assert len(fair) == 7
    assert abs(result.taker_ticks[0] - 24) < 1.0
    assert fair[TAKER].test.t < -50
    assert planted[JOINER].p_holm < ALPHA < fair[JOINER].p_holm
    found = planted[JOINER]
    most = EDGE_TICKS * found.lots / found.test.count  # the whole edge on every lot
    assert 0.0 < found.test.mean < most + 3 * found.test.stderr
    assert "| joining-grid |" in "\n".join(martingale_table(result))


def test_the_programme_earns_what_it_says() -> None:
    results = list(alpha_study(4, 1.0, (0.5, 1.0)))
    assert [failure for one in results for failure in one.failures] == []
    for one in results:
        best, rule, held = one.policies
        assert best.positive == one.seeds
        assert best.measured.mean > rule.measured.mean > abs(held.expected)
        assert best.expected <= one.optimum
        assert one.margin > 2.0
    assert len(alpha_table(results)) == 4 + 2 * 3


def test_the_command_prints_tables_and_json() -> None:
    run = CliRunner().invoke(app, ["market", "known", "alpha", "--alpha-seeds", "2", "--hours", "0.05", "--json"])
    printed = json.loads(run.output)
    assert [one["strength"] for one in printed["alpha"]] == list(STRENGTHS)
    assert run.exit_code == (1 if printed["failures"] else 0)
    for words, said in ((["martingale", "--seeds", "2"], "at least 5 seeds"), (["everything"], "martingale, alpha")):
        with pytest.raises(EvaluationError, match=said):
            CliRunner().invoke(app, ["market", "known", *words], catch_exceptions=False)
    with pytest.raises(EvaluationError):
        list(alpha_study(1, 1.0))


def test_an_answer_that_is_not_the_known_one_is_a_failure() -> None:
    """A dealer that pays its makers passes for no martingale; a programme for another strength is found out."""
    fair = martingale_study(5, 1.0, pilots=3)
    cheat = replace(fair.fair[0], p_holm=0.001)
    assert any("earns" in line for line in replace(fair, fair=(cheat, *fair.fair[1:])).failures)
    off = replace(fair.taker, low=1.0, high=2.0)
    assert any("half spread" in line for line in replace(fair, taker=off).failures)
    silent = tuple(replace(one, p_holm=1.0) for one in fair.planted)
    assert any("not found" in line for line in replace(fair, planted=silent).failures)
    (alpha,) = alpha_study(2, 0.1, (1.0,))
    best = replace(alpha.policies[0], expected=1e6, positive=1)
    wrong = KnownAnswers(None, (replace(alpha, policies=(best, *alpha.policies[1:])),))
    assert len(wrong.failures) >= 2
    assert report(wrong)[-1].startswith("FAILED: ")
