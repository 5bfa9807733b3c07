"""From a run folder to a bundle: export, prove the export equal to the model, write it with its golden vectors."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from lobgym.agents.earnhft.export import export_agent, hierarchy_graph
from lobgym.agents.earnhft.network import QPolicy
from lobgym.agents.earnhft.parity import check_agent, check_hierarchy
from lobgym.agents.earnhft.parity import collect_episodes as collect_desk_episodes
from lobgym.agents.earnhft.parts import Parts
from lobgym.agents.earnhft.pipeline import load_earnhft
from lobgym.agents.errors import ExportError
from lobgym.agents.files import ROUTER_FILE
from lobgym.agents.onnx.export import export_policy
from lobgym.agents.onnx.parity import OnnxPolicy, ParityReport, check_parity, extreme_observations
from lobgym.agents.onnx.recurrent import Walk, check_recurrent_parity
from lobgym.agents.sb3.rollout import collect_episodes, collect_observations
from lobgym.agents.sb3.runs import load_run
from lobgym.envs.markets import market_for
from lobgym.runtime.bundle import write_bundle

__all__ = ["PARITY_OBSERVATIONS", "ExportResult", "export_run"]

PARITY_OBSERVATIONS: Final = 20_000
LANES_MIN: Final = 64  # episodes of a hierarchy side by side; more where the training part is short
GOLDEN_MET: Final = 48  # golden vectors: observations met, evenly spread (of a policy that remembers, in sequence),
GOLDEN_EXTREME: Final = 16  # and the first of the extremes


@dataclass(frozen=True)
class ExportResult:
    """A written bundle and the evidence that it decides as the model does."""

    bundle: Path
    tape: str  # that it was trained on
    parity: ParityReport
    onnx_sha256: str


def export_run(run: str | Path, out: str | Path, name: str | None = None, agent: int | None = None) -> ExportResult:
    """Export what a run folder holds as a bundle.

    Args:
        run: folder that `lobgym train` wrote, or a run of EarnHFT, of which the whole hierarchy becomes one bundle.
        out: the bundle's folder; must not exist.
        name: the policy's name, by default that of the folder.
        agent: of a run of EarnHFT: one agent of the pool alone, by its number there.

    Raises:
        ExportError: the export decides otherwise than the model anywhere; an agent that is not there.
        BundleError: the folder exists, or the network is not one that a runtime loads.
    """
    if (Path(run) / ROUTER_FILE).exists():
        return _export_earnhft(Path(run), out, name, agent)
    if agent is not None:
        raise ExportError(f"{run} is no run of EarnHFT and has no agents: export it whole")
    return _export_model(run, out, name)


def _export_model(run: str | Path, out: str | Path, name: str | None) -> ExportResult:
    loaded = load_run(run)
    model, config, record, spec = loaded.model, loaded.config, loaded.record, loaded.spec
    if config.env == "router":
        raise ExportError(
            f"{run} is a router: it chooses among the rules of its pool and sends no orders itself, so it makes no "
            "bundle; `lobgym evaluate` it"
        )
    onnx_bytes = export_policy(model)
    policy = OnnxPolicy(onnx_bytes, not spec.action.continuous)
    starts = None
    if policy.state:
        walk = collect_episodes(model, config, PARITY_OBSERVATIONS, "train")
        parity: ParityReport = check_recurrent_parity(model, onnx_bytes, walk, spec.action)
        golden, starts = _golden_sequences(walk)
    else:
        met = collect_observations(model, config, PARITY_OBSERVATIONS, "train")
        parity = check_parity(model, onnx_bytes, met, spec.action)
        golden = _golden(met)
    parity.require_ok()
    meta = _meta(config.tape, record.tape_digest, config.seed, config.algo, record.steps, record.commit, name)
    raw = policy.raw(golden) if starts is None else _along(policy, golden, starts)
    codes = spec.action.decode(raw if spec.action.continuous else np.argmax(raw, axis=1).astype(np.int64))
    folder = write_bundle(out, onnx_bytes, spec, meta, golden, raw, codes, starts)
    return ExportResult(folder, config.tape, parity, hashlib.sha256(onnx_bytes).hexdigest())


def _export_earnhft(run: Path, out: str | Path, name: str | None, agent: int | None) -> ExportResult:
    result = load_earnhft(run)
    config, record, spec, agents = result.config, result.record, result.spec, result.pool.agents
    market = market_for(config.tape)
    if market.tape.digest != record.tape_digest:
        raise ExportError(f"the run was of another tape than {config.tape} is now: put that one back")
    if agent is not None and not 0 <= agent < len(agents):
        raise ExportError(f"the pool has agents 0 to {len(agents) - 1}, not {agent}")
    part = Parts.of(market, config).train
    original: Any = result.hierarchy if agent is None else QPolicy(agents[agent], spec)
    lanes = max(LANES_MIN, -(-PARITY_OBSERVATIONS * 2 * spec.interval_ns // part.length_ns))
    episodes = collect_desk_episodes(original, spec, market, *part.bounds, PARITY_OBSERVATIONS, lanes, config.seed)
    met = episodes.reshape(-1, spec.layout.size)
    steps = sum(record.counts.get(key, 0) for key in ("low_taught", "low_own", "router_transitions"))
    meta = _meta(config.tape, record.tape_digest, config.seed, "earnhft", steps, record.commit, name)
    golden = _golden(met)
    original.reset(len(golden), 0)
    codes = [original.act(golden)]
    if agent is None:
        codes += original.last
        export = hierarchy_graph(original)
        onnx_bytes = export.onnx
        parity: ParityReport = check_hierarchy(original, export, episodes)
        meta["hierarchy"] = export.hierarchy
    else:
        onnx_bytes = export_agent(agents[agent], spec)
        parity = check_agent(agents[agent], spec, onnx_bytes, met)
    parity.require_ok()
    raw = OnnxPolicy(onnx_bytes, discrete=True).raw(golden)
    folder = write_bundle(out, onnx_bytes, spec, meta, golden, raw, np.stack(codes, axis=1))
    return ExportResult(folder, config.tape, parity, hashlib.sha256(onnx_bytes).hexdigest())


def _golden(met: NDArray[np.float32]) -> NDArray[np.float32]:
    """Golden observations of those that were met, float32[N, D], and of the extremes."""
    spread = met[:: max(1, len(met) // GOLDEN_MET)][:GOLDEN_MET]
    return np.concatenate([spread, extreme_observations(met.shape[1])[:GOLDEN_EXTREME]])


def _golden_sequences(walk: Walk) -> tuple[NDArray[np.float32], list[int]]:
    """Golden observations of a policy that remembers, and the rows at which a run begins.

    They are the beginnings of two episodes that were met one after the other, and a sequence of extremes.
    """
    episodes = np.split(walk.rows[:, 0], np.flatnonzero(walk.starts[1:, 0]) + 1)
    parts = [episode[: GOLDEN_MET // 2] for episode in episodes[:2]]
    parts.append(extreme_observations(walk.rows.shape[2])[:GOLDEN_EXTREME])
    starts = np.cumsum([0, *(len(part) for part in parts[:-1])])
    return np.concatenate(parts), [int(row) for row in starts]


def _along(policy: OnnxPolicy, rows: NDArray[np.float32], starts: list[int]) -> NDArray[np.float32]:
    """Raw outputs float32[G, A] of a policy that remembers, one row after another."""
    policy.reset(1)
    made = []
    for number in range(len(rows)):
        policy.forget(np.array([number in starts]))
        made.append(policy.raw(rows[number : number + 1]))
    return np.concatenate(made)


def _meta(
    tape: str, tape_digest: str, seed: int, algo: str, steps: int, commit: str | None, name: str | None
) -> dict[str, Any]:  # fmt: skip
    meta: dict[str, Any] = {
        "instrument": market_for(tape).instrument.to_json(),
        "tape_digests": [tape_digest],
        "seed": seed,
        "algo": algo,
        "training_steps": steps,
        "commit": commit or "",
    }
    return meta if name is None else meta | {"name": name}
