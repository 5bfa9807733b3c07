"""From a run folder to a bundle: export, prove the export equal to the model, write it with its golden vectors."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from lobgym.agents.errors import ExportError
from lobgym.agents.export import export_policy
from lobgym.agents.parity import OnnxPolicy, ParityReport, check_parity, extreme_observations
from lobgym.agents.rollout import collect_observations
from lobgym.agents.runs import load_run
from lobgym.envs.markets import market_for
from lobgym.runtime.bundle import write_bundle

__all__ = ["PARITY_OBSERVATIONS", "ExportResult", "export_run"]

PARITY_OBSERVATIONS: Final = 20_000
GOLDEN_MET: Final = 48  # golden vectors: observations met, evenly spread,
GOLDEN_EXTREME: Final = 16  # and the first of the extremes


@dataclass(frozen=True)
class ExportResult:
    """A written bundle and the evidence that it decides as the model does."""

    bundle: Path
    tape: str  # that it was trained on
    parity: ParityReport
    onnx_sha256: str


def export_run(run: str | Path, out: str | Path, name: str | None = None) -> ExportResult:
    """Export the model of a run folder as a bundle.

    Args:
        run: folder that `lobgym train` wrote.
        out: the bundle's folder; must not exist.
        name: the policy's name, by default that of the folder.

    Raises:
        ExportError: the export decides otherwise than the model anywhere.
        BundleError: the folder exists, or the network is not one that a runtime loads.
    """
    loaded = load_run(run)
    model, config, record, spec = loaded.model, loaded.config, loaded.record, loaded.spec
    if config.env == "router":
        raise ExportError(
            f"{run} is a router: it chooses among the rules of its pool and sends no orders itself, so it makes no "
            "bundle; `lobgym evaluate` it"
        )
    met = collect_observations(model, config, PARITY_OBSERVATIONS, "train")
    onnx_bytes = export_policy(model)
    parity = check_parity(model, onnx_bytes, met, spec.action)
    parity.require_ok()
    golden = np.concatenate(
        [met[:: max(1, len(met) // GOLDEN_MET)][:GOLDEN_MET], extreme_observations(met.shape[1])[:GOLDEN_EXTREME]]
    )
    policy = OnnxPolicy(onnx_bytes, not spec.action.continuous)
    meta: dict[str, Any] = {
        "instrument": market_for(config.tape).instrument.to_json(),
        "tape_digests": [record.tape_digest],
        "seed": config.seed,
        "algo": config.algo,
        "training_steps": record.steps,
        "commit": record.commit or "",
    }
    if name is not None:
        meta["name"] = name
    codes = spec.action.decode(policy.act(golden))
    folder = write_bundle(out, onnx_bytes, spec, meta, golden, policy.raw(golden), codes)
    return ExportResult(folder, config.tape, parity, hashlib.sha256(onnx_bytes).hexdigest())
