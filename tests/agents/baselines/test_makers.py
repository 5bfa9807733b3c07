"""Goal: the closed forms of the market makers are those of their papers.

Method: Avellaneda and Stoikov's own simulation of 2008 is run here, in the test, with their parameters, driven by the
project's formulas, and has to give the table of their paper; Gueant, Lehalle and Fernandez-Tapia's form against the
equation that it solves; codes of both against plain scalar arithmetic.
"""

from __future__ import annotations

import math

import numpy as np
import pytest

from lobgym.agents.baselines.calibration import Calibration, Intensity
from lobgym.agents.baselines.makers import (
    CalibratedMaker,
    avellaneda_stoikov,
    constant_half_spread,
    gueant_lehalle,
)
from lobgym.agents.errors import PolicyError
from lobgym.sim.desk_spec import DeskSpec
from lobgym.sim.market import Market
from lobgym.sim.tape import open_tape

SIGMA, DECAY, RATE, LENGTH, STEP = 2.0, 1.5, 140.0, 1.0, 0.005  # of the paper's section 3.3
PATHS = 1000


def simulate(gamma: float, inventory_aware: bool, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The paper's model: float64[PATHS] profit and int64[PATHS] final inventory.

    The mid moves by sigma sqrt(dt) up or down; a quote d away is filled with probability A exp(-k d) dt. The symmetric
    strategy quotes the average spread of the other one around the mid.
    """
    rng = np.random.Generator(np.random.PCG64(seed))
    steps = round(LENGTH / STEP)
    times = [LENGTH - step * STEP for step in range(steps)]
    average = sum(avellaneda_stoikov(gamma, DECAY, SIGMA, left)[0] for left in times) / steps
    mid, cash, held = np.full(PATHS, 100.0), np.zeros(PATHS), np.zeros(PATHS, np.int64)
    for left in times:
        half, shift = avellaneda_stoikov(gamma, DECAY, SIGMA, left) if inventory_aware else (average, 0.0)
        centre = mid - shift * held
        bid, ask = centre - half, centre + half
        bought = rng.random(PATHS) < RATE * np.exp(-DECAY * (mid - bid)) * STEP
        sold = rng.random(PATHS) < RATE * np.exp(-DECAY * (ask - mid)) * STEP
        cash += np.where(sold, ask, 0.0) - np.where(bought, bid, 0.0)
        held += bought.astype(np.int64) - sold.astype(np.int64)
        mid = mid + SIGMA * math.sqrt(STEP) * np.where(rng.random(PATHS) < 0.5, 1.0, -1.0)
    return cash + held * mid, held


def test_the_papers_table_comes_out() -> None:
    """gamma 0.1, 1,000 paths: profit about 65 (6.6) with the inventory, about 68 (12.7) without."""
    profit, held = simulate(0.1, True, seed=1)
    assert profit.mean() == pytest.approx(65.0, abs=1.5)
    assert profit.std() == pytest.approx(6.6, abs=0.7)
    assert held.std() == pytest.approx(2.9, abs=0.5)
    profit, held = simulate(0.1, False, seed=2)
    assert profit.mean() == pytest.approx(68.0, abs=1.8)
    assert profit.std() == pytest.approx(12.7, abs=1.3)
    assert held.std() == pytest.approx(8.4, abs=1.2)


def test_a_timid_dealer_earns_less_and_a_bold_one_is_nearly_symmetric() -> None:
    """gamma 0.5 pays for its small spread of profits, gamma 0.01 hardly looks at its inventory."""
    timid, _ = simulate(0.5, True, seed=3)
    bold, _ = simulate(0.01, True, seed=4)
    assert timid.mean() < 55.0 < 64.0 < bold.mean()
    assert timid.std() < 6.5 < 7.5 < bold.std()


def test_the_average_spread_of_the_paper() -> None:
    """1.49 for gamma 0.1 and 1.35 for 0.01, averaged over the session."""
    for gamma, spread in ((0.1, 1.49), (0.01, 1.35)):
        halves = [avellaneda_stoikov(gamma, DECAY, SIGMA, LENGTH - step * STEP)[0] for step in range(200)]
        assert 2.0 * sum(halves) / 200 == pytest.approx(spread, abs=0.005)


def test_gueant_lehalle_solves_its_own_stationary_equation() -> None:
    """Far from the end quotes are read off the eigenvector of the smallest eigenvalue of a tridiagonal matrix.

    With alpha = k gamma sigma^2 / 2 and eta = A (1 + gamma / k)^-(1 + k / gamma), that matrix has alpha q^2 on its
    diagonal and -eta beside it; the bid at inventory q is ln(f_q / f_{q+1}) / k + ln(1 + gamma / k) / gamma away. The
    closed form approximates it where the inventory is not near its limit.
    """
    gamma, decay, sigma, rate, limit = 0.01, 0.3, 0.3, 0.9, 60
    alpha, eta = decay * gamma * sigma**2 / 2.0, rate * (1.0 + gamma / decay) ** -(1.0 + decay / gamma)
    inventory = np.arange(-limit, limit + 1)
    matrix = np.diag(alpha * inventory.astype(float) ** 2)
    matrix -= eta * (np.eye(2 * limit + 1, k=1) + np.eye(2 * limit + 1, k=-1))
    first = np.abs(np.linalg.eigh(matrix)[1][:, 0])
    half, shift = gueant_lehalle(gamma, decay, sigma, rate)
    for held in (-3, 0, 2, 5):
        place = held + limit
        bid = math.log(first[place] / first[place + 1]) / decay + constant_half_spread(gamma, decay)
        ask = math.log(first[place] / first[place - 1]) / decay + constant_half_spread(gamma, decay)
        assert half + shift * held == pytest.approx(bid, rel=0.02)
        assert half - shift * held == pytest.approx(ask, rel=0.02)


# -- on a desk ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def spec() -> DeskSpec:
    return DeskSpec.for_market(Market.compile(open_tape("synth?minutes=1")), "maker")


def calibration(**changes: float) -> Calibration:
    values = {"half_spread_ticks": 0.5, "sigma_ticks": 40.0, "maker_fee_ticks": 0.0, "taker_fee_ticks": 0.0} | changes
    line = Intensity(2.0, 0.02, 1.0, (), (), ())
    return Calibration(low_ns=0, high_ns=1, window_ns=1, mid_ticks=600_000.0, intensity=line, **values)


@pytest.mark.parametrize("form", ["avellaneda-stoikov", "gueant-lehalle"])
@pytest.mark.parametrize("fee", [0.0, 60.0])
def test_codes_are_those_of_scalar_arithmetic(spec: DeskSpec, form: str, fee: float) -> None:
    known = calibration(maker_fee_ticks=fee)
    policy = CalibratedMaker(spec, known, form, gamma_over_k=0.05, horizon_s=4.0)
    gamma = 0.05 * 0.02
    for inventory in (-1.0, -0.4, -0.01, 0.0, 0.2, 0.9):
        orders = inventory * spec.position_lots_max / spec.order_lots
        if form == "avellaneda-stoikov":
            shift = gamma * 40.0**2 * 4.0
            half = shift / 2.0 + math.log(1.0 + gamma / 0.02) / gamma + fee
        else:
            rate = 2.0 * math.exp(-0.02 * fee)
            shift = math.sqrt(40.0**2 * gamma / (2.0 * 0.02 * rate) * 1.05 ** (1.0 + 1.0 / 0.05))
            half = shift / 2.0 + math.log(1.0 + gamma / 0.02) / gamma + fee
        row = np.zeros((1, spec.layout.size), np.float32)
        row[0, spec.layout.names.index("inventory")] = inventory
        codes = spec.action.decode(policy.act(row))[0].tolist()
        wanted = [
            min(range(len(spec.offset_ticks)), key=lambda code: abs(spec.offset_ticks[code] - ticks))
            for ticks in (half + shift * orders, half - shift * orders)
        ]
        assert codes == [*wanted, 0, 0]


def test_a_fee_moves_both_quotes_out_by_as_much(spec: DeskSpec) -> None:
    free, paid = (CalibratedMaker(spec, calibration(maker_fee_ticks=fee), "avellaneda-stoikov") for fee in (0.0, 30.0))
    assert paid.half_spread_ticks == pytest.approx(free.half_spread_ticks + 30.0)
    assert paid.shift_ticks == free.shift_ticks


def test_mistakes_are_named(spec: DeskSpec) -> None:
    with pytest.raises(PolicyError, match="expected a form"):
        CalibratedMaker(spec, calibration(), "best")
    with pytest.raises(PolicyError, match="positive"):
        CalibratedMaker(spec, calibration(), "gueant-lehalle", gamma_over_k=0.0)
