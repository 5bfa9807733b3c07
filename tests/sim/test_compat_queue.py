"""The compiled queue of the compatibility profiles equals the plain-Python one, bit for bit, where that is defined."""

from __future__ import annotations

import math
import struct

import numpy as np
import pytest

from lobgym.sim import records as rec
from lobgym.sim.compat_queue import base_units, front_after_depth, lots_past, probability_behind
from lobgym.sim.queue import LOG, LOG2, POWER, POWER2, POWER3, QUEUE_MODELS
from tests.oracle.reference_hft import Order, PeerModel
from tests.oracle.reference_parts import Settings, probability, round_half_away

MODELS = {
    "power": POWER,
    "power2": POWER2,
    "power3": POWER3,
    "log": LOG,
    "log2": LOG2,
}
ODD = [0.0, 1e-300, 1e-9, 0.001, 0.1, 0.3, 1.0, 2.5, 1e3, 1e12, -0.001, -0.3, -1.0, -1e3]


def same(a: float, b: float) -> bool:
    return (math.isnan(a) and math.isnan(b)) or struct.pack("d", a) == struct.pack("d", b)


def pairs() -> list[tuple[float, float]]:
    rng = np.random.default_rng(5)
    drawn = rng.integers(0, 10**6, (5000, 2)) / 1000.0
    return [(a, b) for a in ODD for b in ODD] + [(float(a), float(b)) for a, b in drawn]


@pytest.mark.parametrize("power", [1.0, 2.0, 3.0])
@pytest.mark.parametrize("name", MODELS)
def test_probability(name: str, power: float) -> None:
    wrong = [
        (front, back)
        for front, back in pairs()
        if not same(
            probability_behind(MODELS[name], power, front, back), probability(name, power, front, back)
        )
    ]  # fmt: skip
    assert wrong == []


@pytest.mark.parametrize("power", [1, 2, 3])
@pytest.mark.parametrize("name", ["risk_averse", *MODELS])
def test_front_after_depth(name: str, power: int) -> None:
    """Fronts before and behind everything, negative ones, levels that grow, shrink and vanish, prints or none."""
    settings = Settings(tick_size=1.0, lot_size=0.001, queue=name, power=float(power))
    model = PeerModel(settings, [(0, rec.CLEAR, 0, 0, 0.0, 0)], [])
    rng = np.random.default_rng([11, power])
    wrong = []
    for _ in range(4000):
        prev, new = (float(rng.integers(0, 30)) / 10 ** int(rng.integers(0, 4)) for _ in range(2))
        front = float(rng.choice([0.0, prev, -0.0004, rng.random() * prev, rng.random() * 5]))
        printed = float(rng.choice([0.0, 0.001, abs(prev - new), rng.random()]))
        order = Order(1, 1, 1, 1.0, 1.0, 0, 0, front=front, printed=printed)
        model._queue_moves(order, prev, new)
        got = front_after_depth(QUEUE_MODELS[name], float(power), front, printed, prev, new)
        if not same(got, order.front):
            wrong.append((front, printed, prev, new, got, order.front))
    assert wrong == []


def test_a_nan_gives_the_new_quantity() -> None:
    """Nothing before the order, nothing behind it: 0 / 0."""
    assert math.isnan(probability("power3", 3.0, 0.0, 0.0))
    assert front_after_depth(POWER3, 3.0, 0.0, 0.0, 0.0, 0.0) == 0.0
    assert front_after_depth(LOG, 0.0, 5.0, 0.0, 2.0, 1.0) == 1.0  # ln of a negative number


def test_a_front_may_become_negative() -> None:
    """All of 1.5 is cancelled, of which 1 stood before the order; the cube expects 1.33 of it there."""
    front = front_after_depth(POWER, 3.0, 1.0, 0.0, 1.5, 0.0)
    assert front == pytest.approx(1.0 - 1.5 / 1.125)
    assert lots_past(front - 0.001, 0.001) == 334  # the next print, of one lot, reaches past it by far


@pytest.mark.parametrize("lot", [1.0, 0.1, 0.001, 1e-5])
def test_lots_past(lot: float) -> None:
    rng = np.random.default_rng(7)
    fronts = [*(-np.arange(400) * lot / 4), *(rng.normal(size=2000) * 50 * lot), 0.0, -0.0]
    for front in fronts:
        expected = round_half_away(-float(front) / lot)
        assert (lots_past(float(front), lot) if front <= 0 else 0) == max(0, expected)


def test_base_units_are_the_nearest_floats() -> None:
    for lots in (1, 3, 7, 123_457, 10**9 + 1):
        assert base_units(lots, 1.0, 1000.0) == float(f"{lots}e-3")
        assert base_units(lots, 1.0, 10.0) == float(f"{lots}e-1")
