"""Golden vectors: a few observations and what the policy makes of them, kept in the manifest.

What a recurrent policy makes of one depends on what it remembers: its vectors are sequences, each from a beginning.
"""

from __future__ import annotations

import base64
import contextlib
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from lobgym.runtime.errors import BundleError
from lobgym.runtime.manifest import GOLDEN_ROWS_MAX, Manifest
from lobgym.runtime.policy import DECIDED, OnnxPolicy

__all__ = ["GOLDEN_TOLERANCE", "check_golden", "pack", "walk"]

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


def walk(
    policy: OnnxPolicy, observations: NDArray[np.float32], starts: Sequence[int] | None
) -> tuple[NDArray[np.float32], list[list[int]]]:
    """What a policy makes of rows float32[G, D] one after another: raw outputs float32[G, A], and codes.

    Args:
        starts: rows at which a run begins, rising from 0; None where every row is one.

    Raises:
        BundleError: other starts; an output or a state that is not finite.
    """
    begins = range(len(observations)) if starts is None else starts
    if list(begins) != sorted({*begins, 0} & {*range(len(observations))}):
        raise BundleError(
            f"golden vectors begin at rows {starts}: expected rising ones from 0, below {len(observations)}"
        )
    if policy.state and len(begins) == len(observations):
        raise BundleError("golden vectors of a policy with a state need a sequence: no row follows another one")
    raw, codes, memory = [], [], policy.begin()
    for row, observation in enumerate(observations):
        if row in begins:
            memory = policy.begin()
        memory.tick()
        raw.append(policy.infer(observation, memory).copy())
        verdict = policy.decide(observation, memory)
        if not np.isfinite(observation).all() or verdict.reason != DECIDED:
            raise BundleError(
                f"golden vector {row}: the observation, the raw outputs or what is remembered is not finite: "
                f"{verdict.reason}, {raw[-1]}; train it again"
            )
        codes.append(verdict.golden)
    return np.stack(raw), codes


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
    made, codes = walk(policy, observations, golden.starts)
    for row in range(golden.rows):
        if not np.isfinite(stated[row]).all():
            raise BundleError(f"golden vector {row}: the raw outputs stated must be finite, got {stated[row]}")
        difference = float(np.max(np.abs(made[row] - stated[row])))
        allowed = GOLDEN_TOLERANCE * max(1.0, float(np.max(np.abs(stated[row]))))
        if not difference <= allowed:
            raise BundleError(f"golden vector {row}: raw outputs differ by {difference:.3g}, at most {allowed:.3g}")
        if codes[row] != golden.codes[row]:
            raise BundleError(
                f"golden vector {row}: expected the codes {golden.codes[row]}, the policy gives {codes[row]}"
            )
