"""Baselines are functions of named columns, of the seed and of the step, whatever the number of lanes."""

from __future__ import annotations

import numpy as np
import pytest

from lobgym.agents.baselines import BASELINES, NatrGrid, StaticGrid, available_baselines, make_baseline
from lobgym.agents.baselines.executions import Pov, Twap
from lobgym.agents.baselines.makers import AvellanedaStoikov, FixedMaker
from lobgym.agents.errors import PolicyError
from lobgym.agents.policy import Policy
from lobgym.sim.actions import (
    CODE_LEVELS,
    CODE_PAUSE,
    CODE_SIZE,
    CODE_SKEW,
    CODE_SPACING,
    KINDS,
    NO_QUOTE,
    PAUSED,
    SKEW_ZERO,
)
from lobgym.sim.desk import Desk
from lobgym.sim.desk_spec import DeskSpec
from lobgym.sim.market import Market
from lobgym.sim.observation import ObservationLayout
from lobgym.sim.tape import open_tape

MID = 600_000.0
CASES = [(kind, name) for kind in KINDS for name in available_baselines(kind)]


@pytest.fixture(scope="module")
def specs() -> dict[str, DeskSpec]:
    market = Market.compile(open_tape("synth?minutes=1"))
    return {kind: DeskSpec.for_market(market, kind) for kind in KINDS}


def rows(spec: DeskSpec, count: int, **columns: float) -> np.ndarray:
    """float32[count, D] of zeros with some columns set."""
    out = np.zeros((count, spec.layout.size), np.float32)
    for name, value in columns.items():
        out[:, spec.layout.names.index(name)] = value
    return out


@pytest.mark.parametrize(("kind", "name"), CASES)
def test_actions_are_legal_and_repeat(specs: dict[str, DeskSpec], kind: str, name: str) -> None:
    spec = specs[kind]
    policy = make_baseline(name, spec, MID)
    assert isinstance(policy, Policy)
    assert policy.name == name
    noise = np.random.default_rng(1).uniform(-1, 1, (10, 7, spec.layout.size)).astype(np.float32)
    runs = []
    for _ in range(2):
        policy.reset(7, seed=5)
        runs.append([spec.action.decode(policy.act(row)) for row in noise])
    assert np.array_equal(runs[0], runs[1])


@pytest.mark.parametrize(("kind", "name"), CASES)
def test_a_lane_of_a_batch_is_a_lone_lane(specs: dict[str, DeskSpec], kind: str, name: str) -> None:
    spec = specs[kind]
    policy = make_baseline(name, spec, MID)
    noise = np.random.default_rng(2).uniform(-1, 1, (6, 4, spec.layout.size)).astype(np.float32)
    policy.reset(4, seed=9)
    batch = [policy.act(row) for row in noise]
    for lane in range(4):
        policy.reset(1, seed=9 + lane)
        for step, row in enumerate(noise):
            assert np.array_equal(policy.act(row[lane : lane + 1]), batch[step][lane : lane + 1])


def test_flat_does_nothing(specs: dict[str, DeskSpec]) -> None:
    grid = specs["grid"].action.decode(make_baseline("flat", specs["grid"], MID).act(rows(specs["grid"], 3)))
    assert (grid[:, CODE_PAUSE] == PAUSED).all()
    target = make_baseline("flat", specs["target"], MID).act(rows(specs["target"], 3))
    assert [specs["target"].targets[code] for code in target] == [0.0] * 3
    maker = specs["maker"].action.decode(make_baseline("flat", specs["maker"], MID).act(rows(specs["maker"], 3)))
    assert (maker[:, :2] == NO_QUOTE).all()
    idle = specs["execution"].action.decode(
        make_baseline("flat", specs["execution"], MID).act(rows(specs["execution"], 3))
    )
    assert (idle == 0).all()


def test_always_long_wants_the_largest_target(specs: dict[str, DeskSpec]) -> None:
    actions = make_baseline("always-long", specs["target"], MID).act(rows(specs["target"], 2))
    assert [specs["target"].targets[code] for code in actions] == [1.0, 1.0]


def test_random_covers_every_code_evenly(specs: dict[str, DeskSpec]) -> None:
    spec = specs["grid"]
    policy = make_baseline("random", spec, MID)
    policy.reset(64, seed=0)
    codes = np.concatenate([spec.action.decode(policy.act(rows(spec, 64))) for _ in range(100)])
    for dimension, bins in enumerate(spec.action.bins):
        counts = np.bincount(codes[:, dimension], minlength=bins)
        expected = len(codes) / bins
        assert np.abs(counts - expected).max() < 5 * np.sqrt(expected)
    policy.reset(64, seed=1000)
    assert not np.array_equal(spec.action.decode(policy.act(rows(spec, 64))), codes[:64])


def test_the_static_grid_ignores_the_market(specs: dict[str, DeskSpec]) -> None:
    """Spec v1.0: constant spacing."""
    spec = specs["grid"]
    noise = np.random.default_rng(3).uniform(-1, 1, (50, spec.layout.size)).astype(np.float32)
    codes = spec.action.decode(StaticGrid(spec, spacing=7, levels=3, size=1).act(noise))
    assert (codes == [7, 2, SKEW_ZERO, 1, 0]).all()


def test_the_natr_grid_widens_with_volatility(specs: dict[str, DeskSpec]) -> None:
    """Spec v1.1: 4 times 1 bps is 40 units of a tenth of a basis point, nearest rung 48; of 3 bps 120, nearest 128."""
    spec = specs["grid"]
    policy = NatrGrid(spec, MID, width=4.0)
    spacings = []
    for natr_bps in (0.0, 1.1, 3.0, 50.0):
        codes = spec.action.decode(policy.act(rows(spec, 1, natr_14=natr_bps / (1.0 + natr_bps))))
        spacings.append(spec.spacing_ticks[codes[0, CODE_SPACING]] / 6)
    assert spacings == [1, 48, 128, 192]


def test_the_natr_grid_leans_against_its_inventory(specs: dict[str, DeskSpec]) -> None:
    """Spec v1.1: skew and size by inventory. Long: the centre moves down, less is quoted; short is the mirror image."""
    spec = specs["grid"]
    policy = NatrGrid(spec, MID)
    codes = {
        inventory: spec.action.decode(policy.act(rows(spec, 1, natr_14=0.5, inventory=inventory)))[0]
        for inventory in (-1.0, -0.6, 0.0, 0.6, 1.0)
    }
    skews = [int(codes[inventory][CODE_SKEW]) for inventory in (-1.0, -0.6, 0.0, 0.6, 1.0)]
    assert skews == [8, 6, 4, 2, 0]
    assert codes[0.0][CODE_SIZE] > codes[0.6][CODE_SIZE] >= codes[1.0][CODE_SIZE] == 0
    assert codes[0.0][CODE_LEVELS] > codes[0.6][CODE_LEVELS]
    assert codes[0.6][CODE_SIZE] == codes[-0.6][CODE_SIZE]


def test_the_fixed_maker_quotes_the_offset_it_was_given(specs: dict[str, DeskSpec]) -> None:
    spec = specs["maker"]
    noise = np.random.default_rng(3).uniform(-1, 1, (50, spec.layout.size)).astype(np.float32)
    codes = spec.action.decode(FixedMaker(spec, MID, offset_bps=1.6, size=2).act(noise))
    assert (codes == codes[0]).all()
    assert [spec.offset_ticks[code] / MID * 1e4 for code in codes[0, :2]] == [1.6, 1.6]
    assert codes[0, 2:].tolist() == [2, 0]


def test_avellaneda_and_stoikov_widen_and_lean_with_the_squared_volatility(specs: dict[str, DeskSpec]) -> None:
    """gamma * T = 6 per bps: at 0.5 bps the lean is 1.5 bps and the half-spread 2.75, at 1 bps 6 and 5."""
    spec = specs["maker"]
    policy = AvellanedaStoikov(spec, MID, gamma=0.1, horizon_s=60.0, base_bps=2.0)
    column = "volatility_60s" if "volatility_60s" in spec.layout.names else "natr_14"
    scale = spec.layout.specs[spec.layout.names.index(column)].scale
    found = []
    for sigma in (0.0, 0.5, 1.0, 40.0):
        codes = spec.action.decode(policy.act(rows(spec, 1, **{column: sigma / (scale + sigma)})))[0]
        assert codes[0] == codes[1]
        found.append((spec.offset_ticks[codes[0]] / MID * 1e4, int(codes[3])))
    # Nearest of ... 1.6, 2.4, 3.2, 4.8, 6.4, 9.6 bps; skew codes of half a basis point each, 8 the most.
    assert found == [(1.6, 0), (2.4, 3), (4.8, 8), (9.6, 8)]


def test_participation_follows_the_volume(specs: dict[str, DeskSpec]) -> None:
    spec = specs["execution"]
    codes = {
        ratio: spec.action.decode(Pov(spec).act(rows(spec, 1, activity=ratio / (1.0 + ratio))))[0].tolist()
        for ratio in (0.0, 0.5, 1.0, 2.1, 30.0)
    }
    assert codes == {0.0: [2, 5], 0.5: [3, 5], 1.0: [5, 5], 2.1: [8, 5], 30.0: [9, 5]}
    assert spec.action.decode(Twap(spec, aggressiveness=2).act(rows(spec, 1))).tolist() == [[5, 2]]


def test_execution_rules_do_what_they_say() -> None:
    """A parent of ten seconds: at once, evenly, in proportion to volume, or not at all."""
    market = Market.compile(open_tape("synth:volatile?seed=3&minutes=1"))
    spec = DeskSpec.for_market(market, "execution", interval_ns=100_000_000)
    done: dict[str, list[float]] = {}
    for name in ("immediate", "twap", "pov", "flat"):
        desk = Desk(spec, market, 2)
        desk.reset(market.start_ns + np.array([5, 25]) * 1_000_000_000)
        desk.assign([1, -1], spec.position_lots_max, desk.t_ns + 10_000_000_000)
        policy = make_baseline(name, spec, desk.mid2() / 2)
        policy.reset(2)
        done[name] = []
        for _ in range(100):
            desk.step(spec.action.decode(policy.act(desk.observe())))
            filled = np.array([1, -1]) * desk.session.state.lane["position"]
            done[name].append(float(filled.mean() / spec.position_lots_max))
    assert done["immediate"][4] > 0.9
    assert done["twap"][49] == pytest.approx(0.5, abs=0.05)
    assert done["twap"][-1] == pytest.approx(1.0, abs=0.02)
    assert 0.5 < done["pov"][-1] <= 1.0
    assert done["flat"][-1] == 0.0


def test_mistakes_are_named(specs: dict[str, DeskSpec]) -> None:
    with pytest.raises(PolicyError, match="unknown baseline 'best'"):
        make_baseline("best", specs["grid"], MID)
    with pytest.raises(PolicyError, match="always-long acts in environments of kind 'target'"):
        make_baseline("always-long", specs["grid"], MID)
    with pytest.raises(PolicyError, match="natr_14"):
        NatrGrid(specs["grid"].replace(layout=ObservationLayout(("inventory",))), MID)


def test_every_baseline_is_available_somewhere() -> None:
    assert {name for kind in KINDS for name in available_baselines(kind, suite=True)} == set(BASELINES)
    assert {name for _, name in CASES} == {name for name, one in BASELINES.items() if one.core}
