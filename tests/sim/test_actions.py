"""Actions become codes and back; what is no action is refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from lobgym.sim.actions import GRID_BINS, ActionSpec
from lobgym.sim.errors import ActionError, LayoutError

GRID = ActionSpec.grid()
TARGET = ActionSpec.target(5)
BOXES = [GRID, ActionSpec.maker(), ActionSpec.execution()]


@pytest.mark.parametrize("spec", BOXES, ids=lambda spec: spec.kind)
def test_every_code_survives_the_round_trip(spec: ActionSpec):
    assert all(bins % 2 == 1 for bins in spec.bins)  # 0 lies in the middle of a bin
    for dimension, bins in enumerate(spec.bins):
        codes = np.zeros((bins, spec.size), np.int32)
        codes[:, dimension] = np.arange(bins)
        raw = spec.encode(codes)
        assert raw.dtype == np.float32
        assert np.abs(raw).max() <= 1
        np.testing.assert_array_equal(spec.decode(raw), codes)


def test_every_target_survives_the_round_trip():
    targets = np.arange(5).reshape(-1, 1)
    np.testing.assert_array_equal(TARGET.decode(TARGET.encode(targets)), targets)


@given(hnp.arrays(np.float32, (7, 5), elements=st.floats(-4, 4, width=32)))
def test_decode_equals_the_written_rule(raw: np.ndarray):
    codes = GRID.decode(raw)
    for i, j in np.ndindex(*raw.shape):
        clipped = min(max(float(raw[i, j]), -1.0), 1.0)
        assert codes[i, j] == min(int(np.floor((clipped + 1) / 2 * GRID_BINS[j])), GRID_BINS[j] - 1)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_refused_and_located(bad: float):
    raw = np.zeros((3, 5), np.float32)
    raw[1, 4] = bad
    with pytest.raises(ActionError, match="action 1 is not finite"):
        GRID.decode(raw)


@pytest.mark.parametrize(
    ("spec", "raw"),
    [
        (GRID, np.zeros((2, 4), np.float32)),
        (GRID, np.zeros(5, np.float32)),
        (GRID, np.array([["a"] * 5])),
        (TARGET, np.array([0.0, 1.0])),
        (TARGET, np.array([5])),
        (TARGET, np.array([-1])),
        (TARGET, np.zeros((1, 2), np.int64)),
    ],
)
def test_shapes_types_and_ranges_are_checked(spec: ActionSpec, raw: np.ndarray):
    with pytest.raises(ActionError):
        spec.decode(raw)


def test_specs_round_trip_and_refuse_nonsense():
    for spec in (*BOXES, TARGET):
        assert ActionSpec.from_json(spec.to_json()) == spec
        assert ActionSpec.of(spec.kind, 5) == spec
    for spec in BOXES:
        with pytest.raises(LayoutError, match=spec.kind):
            ActionSpec(spec.kind, spec.names, (*spec.bins[:-1], spec.bins[-1] + 2))
    with pytest.raises(LayoutError):
        ActionSpec("grid", GRID.names, (15, 5, 9, 5, 2))
    with pytest.raises(LayoutError):
        ActionSpec.target(1)
    with pytest.raises(LayoutError):
        ActionSpec("other", ("x",), (3,))
