"""G3, Robustness: the same policy where trading costs twice as much, and where everything takes twice as long.

Three runs of equal start, length and seed: base; `fee_2x` (every fee f becomes f + |f|, so a rebate becomes nothing);
`latency_2x` (both ways). Capital is what a tenfold margin of the position limit needs: a tenth of the limit's value at
the first mid. The rules, for every run where nothing else is said:

- it runs to its end, no interval ends beyond the position limit;
- it never loses its capital (it would be liquidated), and its drawdown stays within half of it;
- fee_2x:     PnL >= PnL(base) - 1.1 * (fees of the base run, as absolutes) - 1 bp of the base run's turnover;
- latency_2x: PnL >= PnL(base) - 2 bps of the base run's turnover - a tenth of the capital.

Whether the policy earns anything is no part of the rules: it is reported in the notes.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Final

from lobgym.governance.result import Check, GateResult, at_least, at_most
from lobgym.runtime.bundle import LoadedBundle, load_bundle
from lobgym.runtime.engine import PaperRun, RunPlan, plan_run
from lobgym.runtime.totals import Totals
from lobgym.sim.desk_spec import DeskSpec
from lobgym.sim.errors import LobgymError
from lobgym.sim.instrument import Instrument
from lobgym.sim.market import Market
from lobgym.sim.money import mark_value
from lobgym.sim.pace import PACE_INTERVAL, PACES
from lobgym.sim.tape import Tape, open_tape
from lobgym.sim.view import best_ask, best_bid, cursor_at

__all__ = ["Limits", "capital_of", "gate_g3", "rules", "stressed"]

TITLE: Final = "Robustness"
STRESS: Final = 2
LEVERAGE: Final = 10
DRAWDOWN_CAPITAL_PERCENT: Final = 50
FEE_EXTRA_PERCENT: Final = 110
FEE_TURNOVER_BPS: Final = 1
LATENCY_TURNOVER_BPS: Final = 2
LATENCY_CAPITAL_PERCENT: Final = 10
BPS: Final = 10_000

BASE, FEE, LATENCY = "base", "fee_2x", "latency_2x"


@dataclass(frozen=True)
class Limits:
    """What the rules allow, in money units, from the base run and the capital."""

    capital: int
    drawdown: int
    fee_loss: int
    latency_loss: int

    @classmethod
    def of(cls, capital: int, base: Totals) -> Limits:
        """The limits that follow from a capital and a base run."""
        return cls(
            capital,
            capital * DRAWDOWN_CAPITAL_PERCENT // 100,
            base.fees_abs * FEE_EXTRA_PERCENT // 100 + base.turnover * FEE_TURNOVER_BPS // BPS,
            base.turnover * LATENCY_TURNOVER_BPS // BPS + capital * LATENCY_CAPITAL_PERCENT // 100,
        )


def gate_g3(
    bundle: LoadedBundle | str | os.PathLike[str],
    tape: Tape | str | os.PathLike[str],
    steps: int | None = None,
    seed: int = 0,
) -> GateResult:
    """Run the gate: `steps` decisions (default: all, and never more than the tape holds) in each of the three runs."""
    try:
        loaded = bundle if isinstance(bundle, LoadedBundle) else load_bundle(Path(bundle), allow_ungated=True)
        market = Market.compile(open_tape(tape), loaded.spec.params.print_implied_depth)
        plan = plan_run(market, loaded.spec, None, None, seed)
    except LobgymError as error:
        return GateResult.of("G3", TITLE, [Check("bundle and tape load", False, "both do", str(error))])
    if steps is not None:
        plan = RunPlan(plan.start_ns, max(1, min(steps, plan.steps)), seed)
    results: dict[str, Totals] = {}
    checks: list[Check] = []
    for name, spec in stressed(loaded.spec, market.instrument).items():
        totals = _run(loaded, market, plan, spec)
        ended = f"{totals.decisions} decisions" if isinstance(totals, Totals) else totals
        # How many decisions a tape holds is known beforehand only where nothing ends a step early.
        fixed = spec.pace == PACES[PACE_INTERVAL]
        expected = f"{plan.steps} decisions" if fixed else f"at most {plan.steps} decisions"
        passed = isinstance(totals, Totals) and (totals.decisions == plan.steps or not fixed)
        checks.append(Check(f"{name}: runs to its end", passed, expected, ended))
        if isinstance(totals, Totals):
            results[name] = totals
    capital = capital_of(loaded.spec, market)
    checks += rules(results, capital, loaded.spec.risk.position_lots_max)
    return GateResult.of("G3", TITLE, checks, _notes(results, capital, market.instrument))


def stressed(spec: DeskSpec, instrument: Instrument) -> dict[str, DeskSpec]:
    """The desk of each run, by its name, the base first."""
    params = spec.params
    maker = instrument.maker_fee_ppb if params.maker_fee_ppb is None else params.maker_fee_ppb
    taker = instrument.taker_fee_ppb if params.taker_fee_ppb is None else params.taker_fee_ppb
    fees = params.replace(maker_fee_ppb=maker + abs(maker), taker_fee_ppb=taker + abs(taker))
    slow = params.replace(entry_ns=params.entry_ns * STRESS, response_ns=params.response_ns * STRESS)
    return {BASE: spec, FEE: spec.replace(params=fees), LATENCY: spec.replace(params=slow)}


def capital_of(spec: DeskSpec, market: Market) -> int:
    """Money units: a tenth of the position limit's value at the first mid of the local book."""
    cursor = cursor_at(market.local_view[0], market.start_ns)
    mid2 = int(best_bid(market.local_view[0], cursor)) + int(best_ask(market.local_view[0], cursor))
    worth = abs(int(mark_value(market.economics(), spec.risk.position_lots_max, mid2)))
    return worth // LEVERAGE


def _run(bundle: LoadedBundle, market: Market, plan: RunPlan, spec: DeskSpec) -> Totals | str:
    """The sums of a run, or what stopped it."""
    try:
        run = PaperRun(bundle, market, plan, spec)
        for _ in run.records():
            pass
    except LobgymError as error:
        return f"{type(error).__name__}: {error}"
    return run.totals


def rules(results: dict[str, Totals], capital: int, position_max: int) -> list[Check]:
    """The checks on the runs that came to their end (all of the module's rules but that one)."""
    checks: list[Check] = []
    base = results.get(BASE)
    limits = Limits.of(capital, base or Totals())
    for name, totals in results.items():
        lost = totals.equity_first - totals.equity_low
        checks += [
            at_most(f"{name}: largest position after an interval", position_max, totals.position_max, "lots"),
            at_most(f"{name}: lost of the capital", limits.capital - 1, lost, "money units"),
            at_most(f"{name}: drawdown", limits.drawdown, totals.drawdown_max, "money units"),
        ]
        allowed = {FEE: limits.fee_loss, LATENCY: limits.latency_loss}.get(name)
        if base is not None and allowed is not None:
            checks.append(at_least(f"{name}: PnL", base.pnl - allowed, totals.pnl, "money units"))
    return checks


def _notes(results: dict[str, Totals], capital: int, instrument: Instrument) -> list[str]:
    def money(units: int) -> str:
        return format((Decimal(units) * instrument.money_unit).quantize(Decimal("0.000001")), "f")

    currency = instrument.base if instrument.is_inverse else instrument.quote
    notes = [f"capital {money(capital)} {currency}; profit is reported, not required"]
    notes += [
        f"{name}: PnL {money(totals.pnl)}, fees {money(totals.fees)}, turnover {money(totals.turnover)} {currency}, "
        f"{totals.fills} fills"
        for name, totals in results.items()
    ]
    if not any(totals.fills for totals in results.values()):
        notes.append("the policy did not trade: these runs show nothing about it")
    return notes
