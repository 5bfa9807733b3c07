"""Golden vectors: a few observations and what the policy makes of them, kept in the manifest."""

from __future__ import annotations

import base64
import contextlib
from typing import Final

import numpy as np
from numpy.typing import NDArray

from lobgym.runtime.errors import BundleError
from lobgym.runtime.manifest import GOLDEN_ROWS_MAX, Manifest
from lobgym.runtime.policy import OnnxPolicy

__all__ = ["GOLDEN_TOLERANCE", "check_golden", "pack"]

GOLDEN_TOLERANCE: Final = 1e-5


def pack(values: NDArray[np.float32]) -> str:
    """Values as base64 of little-endian float32, row after row."""
    return base64.b64encode(np.ascontiguousarray(values, dtype="<f4").tobytes()).decode()


def _unpack(text: str, rows: int, what: str) -> NDArray[np.float32]:
    with contextlib.suppress(ValueError):
        values = np.frombuffer(base64.b64decode(text, validate=True), dtype="<f4")
        if 1 <= rows <= GOLDEN_ROWS_MAX and len(values):
            return values.reshape(rows, -1).astype(np.float32)
    raise BundleError(f"the golden {what} of the manifest are malformed")


def check_golden(manifest: Manifest, policy: OnnxPolicy) -> None:
    """The network must give the manifest's codes exactly and its raw outputs within `GOLDEN_TOLERANCE`.

    The tolerance is relative to a row's largest value where that exceeds 1: values of actions have no fixed scale.
    """
    golden = manifest.golden
    observations = _unpack(golden.observations, golden.rows, "observations")
    stated = _unpack(golden.raw, golden.rows, "raw outputs")
    if observations.shape[1] != policy.inputs or stated.shape[1] != policy.outputs or len(golden.codes) != golden.rows:
        raise BundleError(
            f"golden vectors of shape {observations.shape} -> {stated.shape} do not fit a policy of "
            f"{policy.inputs} -> {policy.outputs}"
        )
    for row in range(golden.rows):
        raw = policy.infer(observations[row])
        if not (np.isfinite(observations[row]).all() and np.isfinite(raw).all() and np.isfinite(stated[row]).all()):
            raise BundleError(
                f"golden vector {row}: observations and raw outputs must be finite, the policy gives {raw}"
            )
        difference = float(np.max(np.abs(raw - stated[row])))
        allowed = GOLDEN_TOLERANCE * max(1.0, float(np.max(np.abs(stated[row]))))
        if not difference <= allowed:
            raise BundleError(f"golden vector {row}: raw outputs differ by {difference:.3g}, at most {allowed:.3g}")
        codes = policy.judge(raw, observations[row]).golden
        if codes != golden.codes[row]:
            raise BundleError(f"golden vector {row}: expected the codes {golden.codes[row]}, the policy gives {codes}")
