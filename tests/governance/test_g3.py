"""G3: each rule holds at its limit and fails one unit beyond, and a policy that churns fails in a real run."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lobgym.governance.g3 import BASE, FEE, LATENCY, Limits, capital_of, gate_g3, rules, stressed
from lobgym.governance.result import GateResult
from lobgym.runtime.totals import Totals
from lobgym.sim.desk_spec import DeskSpec
from lobgym.sim.market import Market
from lobgym.sim.tape import Tape
from tests.runtime.fixtures import MakeBundle

CAPITAL = 1_000_000
POSITION = 100
TOTALS = Totals(
    decisions=10,
    fills=5,
    equity_first=0,
    equity_last=500_000,
    equity_high=500_000,
    fees=20_000,
    fees_abs=20_000,
    turnover=100_000_000,
    position_max=POSITION,
)
# 1.1 * 20,000 + 1 bp of 100 million; 2 bps of 100 million + a tenth of the capital
FEE_LOSS, LATENCY_LOSS = 32_000, 120_000


def failed(result: GateResult) -> list[str]:
    return [check.name for check in result.failures]


def broken(**runs: Totals) -> list[str]:
    results = {BASE: TOTALS, FEE: TOTALS, LATENCY: TOTALS} | runs
    return [check.name for check in rules(results, CAPITAL, POSITION) if not check.passed]


def with_pnl(pnl: int) -> Totals:
    return replace(TOTALS, equity_last=pnl)


def test_the_limits_are_those_of_the_rules() -> None:
    assert Limits.of(CAPITAL, TOTALS) == Limits(CAPITAL, 500_000, FEE_LOSS, LATENCY_LOSS)


@pytest.mark.parametrize("name", [BASE, FEE, LATENCY])
def test_every_run_keeps_position_capital_and_drawdown(name: str) -> None:
    assert broken() == []
    over = replace(TOTALS, position_max=POSITION + 1)
    assert broken(**{name: over}) == [f"{name}: largest position after an interval"]
    assert broken(**{name: replace(TOTALS, equity_low=-(CAPITAL - 1))}) == []
    assert broken(**{name: replace(TOTALS, equity_low=-CAPITAL)}) == [f"{name}: lost of the capital"]
    assert broken(**{name: replace(TOTALS, drawdown_max=500_000)}) == []
    assert broken(**{name: replace(TOTALS, drawdown_max=500_001)}) == [f"{name}: drawdown"]


@pytest.mark.parametrize(("name", "loss"), [(FEE, FEE_LOSS), (LATENCY, LATENCY_LOSS)])
def test_stress_costs_no_more_than_the_rules_allow(name: str, loss: int) -> None:
    assert broken(**{name: with_pnl(500_000 - loss)}) == []
    assert broken(**{name: with_pnl(500_000 - loss - 1)}) == [f"{name}: PnL"]


def test_a_loss_is_no_failure_by_itself() -> None:
    losing = with_pnl(-300_000)
    assert broken(**{BASE: losing, FEE: losing, LATENCY: losing}) == []


def test_rebates_are_no_help_under_stress() -> None:
    """The extra cost counts absolute fees: 20,000 of rebates cost 20,000 when they go."""
    rebated = replace(TOTALS, fees=-20_000)
    assert Limits.of(CAPITAL, rebated).fee_loss == FEE_LOSS


def test_the_stressed_desks(specs: dict[str, DeskSpec], market: Market) -> None:
    made = market.instrument
    desks = stressed(specs["grid"], made)
    assert list(desks) == [BASE, FEE, LATENCY]
    assert desks[BASE] == specs["grid"]
    assert desks[FEE].params.taker_fee_ppb == 2 * made.taker_fee_ppb
    assert desks[FEE].params.maker_fee_ppb == 2 * made.maker_fee_ppb
    assert desks[LATENCY].params.entry_ns == 2 * specs["grid"].params.entry_ns
    assert desks[LATENCY].params.response_ns == 2 * specs["grid"].params.response_ns
    rebate = specs["grid"].replace(params=specs["grid"].params.replace(maker_fee_ppb=-50_000))
    assert stressed(rebate, made)[FEE].params.maker_fee_ppb == 0


def test_the_capital_is_a_tenth_of_the_position_limit(specs: dict[str, DeskSpec], market: Market) -> None:
    made = market.instrument
    worth = specs["grid"].risk.position_lots_max * float(made.lot_size) * 60_000
    assert made.money_to_float(capital_of(specs["grid"], market)) == pytest.approx(worth / 10, rel=0.01)


def test_a_quiet_quoter_passes(make_bundle: MakeBundle, tape: Tape) -> None:
    result = gate_g3(make_bundle("grid"), tape, 400)
    assert result.passed, result.failures
    assert len(result.checks) == 3 + 9 + 2
    assert any("PnL" in note for note in result.notes)
    assert gate_g3(make_bundle("grid", "again"), tape, 400).checks == result.checks


def test_a_policy_that_churns_fails(make_bundle: MakeBundle, tape: Tape) -> None:
    """It turns its whole position over several times a second and pays for it until nothing is left."""
    result = gate_g3(make_bundle("target"), tape)
    assert f"{FEE}: lost of the capital" in failed(result)
    assert f"{FEE}: drawdown" in failed(result)


def test_a_desk_that_runs_out_of_room_fails(make_bundle: MakeBundle, specs: dict[str, DeskSpec], tape: Tape) -> None:
    spec = specs["target"].replace(params=specs["target"].params.replace(max_spent=1), sweep_ticks=1000)
    result = gate_g3(make_bundle("target", spec=spec), tape, 400)
    assert f"{BASE}: runs to its end" in failed(result)
    assert "CapacityError" in result.failures[0].actual


def test_what_does_not_load_fails(make_bundle: MakeBundle, tape: Tape) -> None:
    assert failed(gate_g3(make_bundle("grid"), "nonsense")) == ["bundle and tape load"]
