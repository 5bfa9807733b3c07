"""The main job, from a tape to a served policy: train, export, gate, serve, verify, compare.

Everything lands in one folder, `runs/demo` or the first free `runs/demo-2`, ...; nothing is overwritten.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from lobgym.agents.errors import ExportError
from lobgym.agents.sb3.train import train
from lobgym.experiments.bundles.export import ExportResult, export_run
from lobgym.experiments.errors import ExperimentError
from lobgym.experiments.evaluation.leaderboard import Leaderboard
from lobgym.experiments.evaluation.study import Study
from lobgym.experiments.source import commit_of_source
from lobgym.governance import GateReport, run_gates
from lobgym.runtime import PaperResult, load_bundle, run_paper

__all__ = ["DemoPlan", "DemoResult", "run_demo"]

PAPER_JOURNAL: Final = "paper.jsonl"


@dataclass(frozen=True)
class DemoPlan:
    """How much the demo trains: transitions of each run, and seeds."""

    ppo_steps: int = 800_000
    dqn_steps: int = 60_000
    seeds: int = 5
    episodes: int = 8

    @classmethod
    def quick(cls) -> DemoPlan:
        """A minute's worth, to see the whole way; its agents have learned little."""
        return cls(ppo_steps=20_000, dqn_steps=10_000, episodes=4)


@dataclass(frozen=True)
class DemoResult:
    """What the demo made, and where it lies."""

    folder: Path
    export: ExportResult
    gates: GateReport
    paper: PaperResult
    replayed: bool
    board: Leaderboard
    page: Path

    @property
    def ok(self) -> bool:
        """Whether the gates passed and the replay was equal; what a policy earns is not part of it."""
        return self.gates.passed and self.replayed


@dataclass(frozen=True)
class Reporter:
    """How the demo tells what it is doing: a headline a stage, lines of detail, and (label, done, total)."""

    stage: Callable[[str], None]
    line: Callable[[str], None]
    progress: Callable[[str, int, int], None]


def run_demo(tape: str, out: Path, plan: DemoPlan, reporter: Reporter, command: str) -> DemoResult:
    """Run every stage; what is finished stays on disk if a later one fails or is interrupted."""
    reporter.stage("tape")
    study = Study.of(tape)
    folder = first_free(out)
    folder.mkdir(parents=True)
    low, high = study.test_span
    training = low - study.market.start_ns - study.embargo_ns
    reporter.line(
        f"{study.market.instrument.symbol}: {training / 1e9:.0f} s to train on, an embargo of "
        f"{study.embargo_ns / 1e9:.0f} s, {(high - low) / 1e9:.0f} s that training never sees"
    )
    commit = commit_of_source()
    runs = _train_all(study, folder, plan, reporter, commit)

    reporter.stage("export to ONNX")
    export = _export_first(runs[: plan.seeds], folder / "bundle", reporter)
    parity = export.parity
    reporter.line(
        f"{parity.observations:,} observations: {parity.flips} decisions differ, raw outputs within "
        f"{parity.raw_difference_max:.1e}, {parity.distinct_actions} distinct actions"
    )

    reporter.stage("gates")
    gates = run_gates(export.bundle, study.market.tape, progress=reporter.line)
    for result in gates.gates:
        reporter.line(f"{'passed' if result.passed else 'FAILED'}  {result.name} {result.title}")

    reporter.stage("paper run on the unseen part, and its replay in a fresh process")
    journal = folder / PAPER_JOURNAL
    paper = run_paper(
        load_bundle(export.bundle, allow_ungated=not gates.passed), study.market.tape, journal, low,
        market=study.market, progress=lambda done, total: reporter.progress("decisions", done, total),
    )  # fmt: skip
    reporter.line(f"{paper.decisions} decisions, decision hash {paper.decision_hash}")
    replayed = _replay_elsewhere(journal, export.bundle, study, folder)
    reporter.line("replay: equal" if replayed else "replay: NOT EQUAL")

    reporter.stage("leaderboard on the unseen part")
    board = study.leaderboard(study.entries(runs), command, commit, plan.seeds, plan.episodes, progress=reporter.line)
    _, page = board.write(folder / "leaderboard", gates_for_page(gates))
    return DemoResult(folder, export, gates, paper, replayed, board, page)


def _train_all(study: Study, folder: Path, plan: DemoPlan, reporter: Reporter, commit: str) -> list[Path]:
    """One run folder a seed and algorithm; the PPO runs come first."""
    jobs: list[tuple[Literal["ppo", "dqn"], Literal["grid", "target"], int]] = [
        ("ppo", "grid", plan.ppo_steps),
        ("dqn", "target", plan.dqn_steps),
    ]
    runs = []
    for algo, env, steps in jobs:
        reporter.stage(f"training {algo} on {env}: {plan.seeds} seeds of {steps:,} steps")
        for seed in range(plan.seeds):
            config = study.train_config(algo, env, steps, seed, folder / f"{algo}-{env}-{seed}")
            result = train(config, lambda done, total: reporter.progress("steps", done, total), commit)
            if result.record.interrupted:
                raise KeyboardInterrupt
            reporter.line(f"seed {seed}: {result.record.steps:,} steps, {result.record.steps_per_second:,.0f} a second")
            runs.append(result.folder)
    return runs


def _export_first(runs: Sequence[Path], out: Path, reporter: Reporter) -> ExportResult:
    """The first run whose export decides exactly as its model.

    A continuous action that lies within float noise of a bin's edge may decode to the next bin; such a model is not
    exported, and it is said so.
    """
    for run in runs[:-1]:
        try:
            return export_run(run, out, "ppo-grid")
        except ExportError as error:
            reporter.line(f"{run.name}: {error}")
    return export_run(runs[-1], out, "ppo-grid")


def _replay_elsewhere(journal: Path, bundle: Path, study: Study, folder: Path) -> bool:
    """`lobgym replay` in a process that shares nothing with this one but the files."""
    command = ["replay", str(journal), "--bundle", str(bundle), "--tape", study.tape, "--json"]
    done = subprocess.run(
        [sys.executable, "-c", "from lobgym.experiments.cli import main; main()", *command],
        capture_output=True,
        text=True,
        check=False,
    )
    (folder / "replay.json").write_text(done.stdout, encoding="utf-8")
    if done.returncode not in (0, 1):
        raise ExperimentError(f"the replay could not run: {done.stderr.strip()}")
    return done.returncode == 0


def first_free(folder: Path) -> Path:
    """`folder`, or `folder-2`, `folder-3`, ...: the first that does not exist."""
    candidate, number = folder, 1
    while candidate.exists():
        number += 1
        candidate = folder.with_name(f"{folder.name}-{number}")
    return candidate


def gates_for_page(report: GateReport) -> dict[str, Any]:
    """The gates in the form that the page shows."""
    gates = []
    for one in report.gates:
        failed = "; ".join(check.name for check in one.failures)
        text = f"{one.title}: {len(one.checks) - len(one.failures)} of {len(one.checks)} checks hold"
        gates.append({"name": one.name, "ok": one.passed, "summary": f"{text}. Failed: {failed}" if failed else text})
    return {"ok": report.passed, "gates": gates}


def summary(result: DemoResult) -> dict[str, Any]:
    """What `lobgym demo --json` prints."""
    return {
        "folder": str(result.folder),
        "bundle": str(result.export.bundle),
        "parity": result.export.parity.to_json(),
        "gates_passed": result.gates.passed,
        "gates": {one.name: one.passed for one in result.gates.gates},
        "decision_hash": result.paper.decision_hash,
        "replay_equal": result.replayed,
        "ok": result.ok,
        "page": str(result.page),
    }
