"""Goal: each rule does what its description says.

Method: a plain scalar version of each, written from the docstrings and pages, against the batched one on random rows;
then the few cases that a reader would try.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from lobgym.agents.baselines import AdaptiveGrid, NatrGrid, RegimeGrid, make_baseline
from lobgym.agents.baselines.arrays import NUMPY, Steps, at_least, floored, nearest_of, rounded
from lobgym.agents.baselines.fixed import BuyAndHold, RandomCodes, RandomHeld, TwapInto, redraw_ppm
from lobgym.agents.baselines.forecasts import Forecast, ForecastRule, ImbalanceTaker
from lobgym.agents.baselines.makers import AvellanedaStoikov
from lobgym.agents.errors import PolicyError
from lobgym.sim.actions import KINDS, PAUSED, SKEW_ZERO
from lobgym.sim.desk_spec import DeskSpec
from lobgym.sim.market import Market
from lobgym.sim.tape import open_tape

MID = 600_000.0
FORECAST = Forecast(
    ("imbalance_1", "return_5s", "microprice"),
    (3.0, -1.5, 0.25),
    0.2,
    10_000_000_000,
    1.5,
    2.0,
    5.0,
    1.0,
    1.0,
    100,
    0.1,
)


@pytest.fixture(scope="module")
def specs() -> dict[str, DeskSpec]:
    market = Market.compile(open_tape("synth?minutes=1"))
    return {kind: DeskSpec.for_market(market, kind) for kind in KINDS}


# -- step functions ----------------------------------------------------------------------------------------------------


def test_rounding_is_numpys_ties_included() -> None:
    x = np.concatenate([np.arange(-6.0, 6.01, 0.125), np.nextafter(np.arange(-5.5, 6.0), 9.0)])[:, None]
    assert np.array_equal(NUMPY.steps(x, rounded(-4, 4)), np.clip(np.rint(x), -4, 4))
    assert np.array_equal(NUMPY.steps(x, floored(3)), np.clip(np.floor(x), 0, 3))
    assert np.array_equal(NUMPY.steps(x, floored(5, 1)), np.clip(np.floor(x), 1, 5))
    assert NUMPY.over(np.array([[2.0]]), at_least(2.0)) == 1.0
    table = np.array([-1.0, 0.0, 0.25, 0.25, 4.0])  # of equally near ones the smaller, of equal ones the first
    assert np.array_equal(NUMPY.steps(x, nearest_of(table)), [[np.abs(table - v).argmin()] for v in x[:, 0]])
    with pytest.raises(ValueError, match="ascending"):
        Steps([2.0, 1.0], [0, 1, 2])


# -- scalar versions ---------------------------------------------------------------------------------------------------


class Row:
    """One observation in units."""

    def __init__(self, spec: DeskSpec, row: np.ndarray) -> None:
        self.spec, self.row = spec, [float(x) for x in row]

    def raw(self, name: str) -> float:
        return self.row[self.spec.layout.names.index(name)]

    def unit(self, name: str, signed: bool = False) -> float:
        place = self.spec.layout.names.index(name)
        scaled = min(max(self.row[place], -0.999 if signed else 0.0), 0.999)
        return self.spec.layout.specs[place].scale * scaled / (1.0 - abs(scaled))


def nearest(table: Any, wanted: float) -> int:
    return min(range(len(table)), key=lambda code: abs(table[code] - wanted))


def natr_grid(spec: DeskSpec, row: Row) -> list[int]:
    """Specification v1.1."""
    inventory = min(max(row.raw("inventory"), -1.0), 1.0)
    room = 1.0 - abs(inventory)
    spacing = nearest(spec.spacing_ticks, row.unit("natr_14") * 4.0 * MID * 1e-4)
    return [spacing, int(room > 0.5), SKEW_ZERO - round(4 * inventory), int(1.999 * room), 0]


def regime_grid(spec: DeskSpec, row: Row) -> list[int]:
    """Specification v1.0."""
    moved = row.unit("return_30s", signed=True)
    trend = (moved >= 5.0) - (moved <= -5.0)
    spacing = nearest(spec.spacing_ticks, (9.6 if trend else 4.8) * 1e-4 * MID)
    return [spacing, 1, SKEW_ZERO + trend, 0, PAUSED if row.unit("spread") >= 4.0 else 0]


def adaptive_grid(spec: DeskSpec, row: Row) -> list[int]:
    """Specification v1.2."""
    natr = max(row.unit("natr_14"), 1e-3)
    inventory = min(max(row.raw("inventory"), -1.0), 1.0)
    room = 1.0 - abs(inventory)
    orders = max(1, int(room * min(5.0, max(1.0, 3.0 / natr))))
    trend = min(max(row.unit("return_30s", signed=True) / (8.0 * natr), -1.0), 1.0)
    stop = row.unit("spread") >= 8.0 or row.unit("book_age") >= 5.0
    return [
        nearest(spec.spacing_ticks, max(4.0 * natr, 4.8) * 1e-4 * MID),
        int(2.999 * room),
        SKEW_ZERO + min(max(round(trend - 4.0 * inventory), -4), 4),
        orders - 1,
        PAUSED if stop else 0,
    ]


def avellaneda_stoikov(spec: DeskSpec, row: Row) -> list[int]:
    sigma = row.unit("volatility_60s")
    offset = nearest(spec.offset_ticks, (2.0 + 3.0 * sigma * sigma) * MID * 1e-4)
    lean = min(8, round(6.0 * sigma * sigma * MID * 1e-4 / spec.lean_ticks))
    return [offset, offset, 0, lean]


def imbalance_taker(spec: DeskSpec, row: Row) -> list[int]:
    imbalance, held = row.raw("imbalance_1"), row.raw("inventory")
    if abs(imbalance) > 0.6:
        return [4 if imbalance > 0 else 0]
    if abs(imbalance) > 0.1 and imbalance * held > 0:
        return [4 if held > 0 else 0]
    return [2]


def buy_and_hold(spec: DeskSpec, row: Row) -> list[int]:
    held = row.raw("inventory")
    return [nearest(spec.targets, held) if held >= 0.5 else 4]


def forecast(band: bool) -> Callable[[DeskSpec, Row], list[int]]:
    def rule(spec: DeskSpec, row: Row) -> list[int]:
        expected = 0.2 + 3.0 * row.raw("imbalance_1") - 1.5 * row.raw("return_5s") + 0.25 * row.raw("microprice")
        threshold = 2.0 if band else 1.5
        if abs(expected) > threshold:
            return [4 if expected > 0 else 0]
        return [nearest(spec.targets, row.raw("inventory")) if band else 2]

    return rule


RULES: list[tuple[str, str, Callable[[DeskSpec], Any], Callable[[DeskSpec, Row], list[int]]]] = [
    ("v1.1 natr-grid", "grid", lambda spec: NatrGrid(spec, MID), natr_grid),
    ("v1.0 regime-grid", "grid", lambda spec: RegimeGrid(spec, MID), regime_grid),
    ("v1.2 adaptive-grid", "grid", lambda spec: AdaptiveGrid(spec, MID), adaptive_grid),
    ("avellaneda-stoikov", "maker", lambda spec: AvellanedaStoikov(spec, MID), avellaneda_stoikov),
    ("imbalance-taker", "target", ImbalanceTaker, imbalance_taker),
    ("buy-and-hold", "target", BuyAndHold, buy_and_hold),
    ("linear", "target", lambda spec: ForecastRule(spec, FORECAST, False, "linear"), forecast(False)),
    ("linear-band", "target", lambda spec: ForecastRule(spec, FORECAST, True, "linear-band"), forecast(True)),
]


@pytest.mark.parametrize(("kind", "make", "scalar"), [one[1:] for one in RULES], ids=[one[0] for one in RULES])
def test_a_batch_is_its_scalar_version(
    specs: dict[str, DeskSpec], kind: str, make: Callable[[DeskSpec], Any], scalar: Callable[[DeskSpec, Row], list[int]]
) -> None:
    spec = specs[kind]
    rng = np.random.Generator(np.random.PCG64(1))
    rows = rng.uniform(-1.0, 1.0, (2000, spec.layout.size)).astype(np.float32)
    rows[1000:] *= np.float32(0.4)  # the middle of the scales, where most of a market is
    found = spec.action.decode(make(spec).act(rows)).tolist()
    assert found == [scalar(spec, Row(spec, row)) for row in rows]
    assert len({tuple(codes) for codes in found}) >= 2


def test_one_row_is_a_row_of_many(specs: dict[str, DeskSpec]) -> None:
    """What an evaluation relies on: a lone lane's codes are those of the batch."""
    for _, kind, make, _ in RULES:
        spec = specs[kind]
        rows = np.random.default_rng(3).uniform(-1.0, 1.0, (64, spec.layout.size)).astype(np.float32)
        policy = make(spec)
        assert np.array_equal(policy.act(rows), np.concatenate([policy.act(rows[i : i + 1]) for i in range(64)]))


# -- versions of the specification -------------------------------------------------------------------------------------


def observe(spec: DeskSpec, **columns: float) -> np.ndarray:
    row = np.zeros((1, spec.layout.size), np.float32)
    for name, value in columns.items():
        row[0, spec.layout.names.index(name)] = value
    return row


def test_v1_0_goes_with_a_trend_and_stops_in_stress(specs: dict[str, DeskSpec]) -> None:
    spec = specs["grid"]
    policy = RegimeGrid(spec, MID)
    assert spec.action.decode(policy.act(observe(spec))).tolist() == [[10, 1, 4, 0, 0]]
    assert spec.action.decode(policy.act(observe(spec, return_30s=0.5))).tolist() == [[12, 1, 5, 0, 0]]
    assert spec.action.decode(policy.act(observe(spec, return_30s=-0.5))).tolist() == [[12, 1, 3, 0, 0]]
    assert spec.action.decode(policy.act(observe(spec, spread=0.8)))[0, 4] == PAUSED


def test_v1_2_quotes_less_where_it_is_wilder_and_where_it_holds_more(specs: dict[str, DeskSpec]) -> None:
    spec = specs["grid"]
    policy = AdaptiveGrid(spec, MID)

    def codes(natr: float, inventory: float) -> list[int]:
        row = observe(spec, natr_14=natr / (1.0 + natr), inventory=inventory)
        found: list[int] = spec.action.decode(policy.act(row))[0].tolist()
        return found

    assert [codes(natr, 0.0)[3] for natr in (0.5, 0.9, 1.4, 2.0, 9.0)] == [4, 2, 1, 0, 0]
    assert [codes(0.5, held)[3] for held in (0.0, 0.3, -0.5, 0.9)] == [4, 2, 1, 0]
    assert [codes(0.5, held)[1] for held in (0.0, 0.5, 0.9)] == [2, 1, 0]
    assert codes(0.5, 0.5)[2] == 2
    assert codes(0.5, -0.5)[2] == 6
    with pytest.raises(PolicyError, match="positive"):
        AdaptiveGrid(spec, MID, width=0.0)


# -- policies with memory ----------------------------------------------------------------------------------------------


def test_twap_into_walks_in_even_steps_and_stays(specs: dict[str, DeskSpec]) -> None:
    spec = specs["target"]
    policy = TwapInto(spec, steps=10)
    rows = np.zeros((2, spec.layout.size), np.float32)
    walked = [[spec.targets[int(code)] for code in policy.act(rows)] for _ in range(14)]
    assert [one[0] for one in walked] == [0.0] * 4 + [0.5] * 5 + [1.0] * 5
    policy.reset(2)
    assert spec.targets[int(policy.act(rows)[0])] == 0.0
    short = TwapInto(spec, target=-0.5, steps=2)
    assert [spec.targets[int(short.act(rows)[0])] for _ in range(3)] == [0.0, -0.5, -0.5]
    for wrong in ({"target": 0.3}, {"target": 0.0}, {"steps": 0}):
        with pytest.raises(PolicyError, match="twap-into"):
            TwapInto(spec, **wrong)  # type: ignore[arg-type]


def test_random_held_draws_as_often_as_it_says(specs: dict[str, DeskSpec]) -> None:
    spec = specs["target"]
    policy, every = RandomHeld(spec, 50_000), RandomHeld(spec, 1_000_000)
    free = RandomCodes(spec)
    rows = np.zeros((64, spec.layout.size), np.float32)
    for one in (policy, every, free):
        one.reset(64, seed=3)
    held = np.array([policy.act(rows) for _ in range(500)])
    assert np.array_equal([every.act(rows) for _ in range(20)], [free.act(rows) for _ in range(20)])
    # A draw of five codes is another one in four cases of five.
    changed = float((held[1:] != held[:-1]).mean())
    assert changed == pytest.approx(0.05 * 0.8, rel=0.1)
    with pytest.raises(PolicyError, match="reset for 64 lanes"):
        policy.act(rows[:3])


def test_random_turnover_is_the_one_asked_for(specs: dict[str, DeskSpec]) -> None:
    spec = specs["target"]
    wanted = 0.03
    policy = RandomHeld(spec, redraw_ppm(spec, wanted))
    rows = np.zeros((256, spec.layout.size), np.float32)
    policy.reset(256, seed=1)
    targets = np.asarray(spec.targets)
    held = targets[np.array([policy.act(rows) for _ in range(600)])]
    assert np.abs(np.diff(held, axis=0)).mean() == pytest.approx(wanted, rel=0.05)
    with pytest.raises(PolicyError, match="cannot be matched"):
        redraw_ppm(spec, 0.9)
    with pytest.raises(PolicyError, match="kind 'target'"):
        redraw_ppm(specs["grid"], 0.1)


def test_a_desk_that_may_not_be_short_is_flat_instead(specs: dict[str, DeskSpec]) -> None:
    spec = specs["target"].replace(targets=(0.0, 0.5, 1.0))
    assert make_baseline("always-short", spec, MID).act(np.zeros((1, spec.layout.size), np.float32)) == [0]
    down = np.full((1, spec.layout.size), -0.9, np.float32)
    assert ImbalanceTaker(spec).act(down) == [0]
