"""Baselines are functions of named columns, of the seed and of the step, whatever the number of lanes."""

from __future__ import annotations

import numpy as np
import pytest

from lobgym.agents.baselines import BASELINES, NatrGrid, StaticGrid, available_baselines, make_baseline
from lobgym.agents.errors import PolicyError
from lobgym.agents.policy import Policy
from lobgym.sim.actions import CODE_LEVELS, CODE_PAUSE, CODE_SIZE, CODE_SKEW, CODE_SPACING, PAUSED, SKEW_ZERO
from lobgym.sim.desk_spec import DeskSpec
from lobgym.sim.market import Market
from lobgym.sim.observation import ObservationLayout
from lobgym.sim.tape import open_tape

MID = 600_000.0
CASES = [(kind, name) for kind in ("grid", "target") for name in available_baselines(kind)]


@pytest.fixture(scope="module")
def specs() -> dict[str, DeskSpec]:
    market = Market.compile(open_tape("synth?minutes=1"))
    return {kind: DeskSpec.for_market(market, kind) for kind in ("grid", "target")}


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
    """Spec v1.2: dynamic sizing. Long: the centre moves down, less is quoted; short is the mirror image."""
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


def test_mistakes_are_named(specs: dict[str, DeskSpec]) -> None:
    with pytest.raises(PolicyError, match="unknown baseline 'best'"):
        make_baseline("best", specs["grid"], MID)
    with pytest.raises(PolicyError, match="always-long acts in environments of kind 'target'"):
        make_baseline("always-long", specs["grid"], MID)
    with pytest.raises(PolicyError, match="natr_14"):
        NatrGrid(specs["grid"].replace(layout=ObservationLayout(("inventory",))), MID)


def test_every_baseline_is_available_somewhere() -> None:
    assert {name for _, name in CASES} == set(BASELINES)
