"""A policy written by hand as a bundle: fitted on the training part of a tape, and compared decision by decision."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from lobgym.agents.baselines import available_baselines, open_baseline
from lobgym.agents.baselines.fitting import spread_times
from lobgym.agents.baselines.rule import ObservationRule
from lobgym.agents.errors import ExportError
from lobgym.agents.onnx.mirrors import export_rule
from lobgym.agents.onnx.parity import extreme_observations
from lobgym.envs.markets import market_for
from lobgym.envs.spans import EpisodeStarts
from lobgym.experiments.errors import EvaluationError
from lobgym.runtime.bundle import write_bundle
from lobgym.runtime.policy import OnnxPolicy
from lobgym.sim.desk import Desk
from lobgym.sim.desk_spec import DeskSpec
from lobgym.sim.market import Market

__all__ = ["BaselineExport", "export_baseline", "train_span_ns"]

OBSERVATIONS: Final = 20_000
_LANES: Final = 64
_GOLDEN: Final = 48  # observations met,
_GOLDEN_EXTREME: Final = 16  # and extremes
_LENGTH_NS: Final = 1_000_000_000


@dataclass(frozen=True)
class BaselineExport:
    """A written bundle.

    Attributes:
        tape: whose training part it was fitted on. observations: how many decisions were compared, all of them equal.
        distinct: different code vectors among them.
    """

    bundle: Path
    tape: str
    policy: str
    observations: int
    distinct: int
    onnx_sha256: str


def train_span_ns(market: Market, test_fraction: float = 0.3) -> tuple[int, int]:
    """The training part of a tape, cut as training cuts it: up to the cut less the embargo."""
    starts = EpisodeStarts.of(market.start_ns, market.end_ns, _LENGTH_NS, "train", test_fraction)
    return starts.low_ns, starts.end_ns


def export_baseline(label: str, tape: str, out: str | Path, name: str | None = None) -> BaselineExport:
    """Fit a baseline to the training part of a tape, where it needs that, and write it as a bundle.

    Args:
        label: such as "adaptive-grid@grid".
        out: the bundle's folder; must not exist.
        name: the policy's name, by default the baseline's.

    Raises:
        EvaluationError: no such baseline at that kind of desk. ExportError: one with memory, or one decision that
            differs. BundleError: the folder exists.
    """
    baseline, _, kind = label.rpartition("@")
    if baseline not in available_baselines(kind, suite=True):
        raise EvaluationError(f"expected a baseline and its kind of desk, as natr-grid@grid, got {label!r}")
    market = market_for(tape)
    low_ns, high_ns = train_span_ns(market)
    entry = open_baseline(baseline, market, DeskSpec.for_market(market, kind), low_ns, high_ns)
    data = export_rule(entry.policy)
    assert isinstance(entry.policy, ObservationRule)
    met = _met(entry.policy, market, low_ns, high_ns)
    extremes = extreme_observations(entry.spec.layout.size)
    rows = np.concatenate([met, extremes])
    codes = entry.spec.action.decode(entry.policy.act(rows))
    runtime = OnnxPolicy(data, entry.spec)
    served = np.array([runtime.decode(runtime.infer(row)) for row in rows], np.int32)
    differs = np.flatnonzero((served != codes).any(axis=1))
    if differs.size:
        raise ExportError(
            f"{len(differs)} of {len(rows)} decisions of {label} differ in ONNX, the first at {rows[differs[0]]}"
        )
    golden = np.concatenate([met[:: max(1, len(met) // _GOLDEN)][:_GOLDEN], extremes[:_GOLDEN_EXTREME]])
    meta: dict[str, Any] = {
        "name": name or baseline,
        "instrument": market.instrument.to_json(),
        "tape_digests": [market.tape.digest],
        "seed": 0,
        "algo": baseline,
        "training_steps": 0,
    }
    golden_codes = entry.spec.action.decode(entry.policy.act(golden))
    folder = write_bundle(out, data, entry.spec, meta, golden, golden_codes=golden_codes)
    distinct = len(np.unique(codes, axis=0))
    return BaselineExport(folder, tape, label, len(rows), distinct, hashlib.sha256(data).hexdigest())


def _met(policy: ObservationRule, market: Market, low_ns: int, high_ns: int) -> NDArray[np.float32]:
    """float32[N, D], N at least OBSERVATIONS: what 64 lanes observe while the policy trades in the training part."""
    interval = policy.spec.interval_ns
    wanted = -(-OBSERVATIONS // _LANES)
    steps = min(wanted, (high_ns - low_ns) // interval - 1)
    if steps < 1:
        raise EvaluationError(f"not one step of {interval / 1e9:g} s fits into the training part: take a longer tape")
    desk = Desk(policy.spec, market, _LANES, end_ns=high_ns)
    starts = spread_times(low_ns, high_ns - (steps + 1) * interval, _LANES)
    rows: list[NDArray[np.float32]] = []
    while len(rows) < wanted:
        # A short part is traded again, a step later each time.
        desk.reset(np.minimum(starts + len(rows), high_ns - (steps + 1) * interval))
        rows.append(desk.observe())
        for _ in range(min(steps, wanted - len(rows))):
            rows.append(desk.step(desk.action.decode(policy.act(rows[-1])))[0])
    return np.concatenate(rows)
