"""A suite and a study on a real local Ray end in the bytes that one process leaves."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from lobgym.experiments.evaluation.evaluate import EvalConfig
from lobgym.experiments.studies.contestants import Contestant
from lobgym.experiments.studies.setting import Setting
from lobgym.experiments.studies.sweeps import sweep
from lobgym.experiments.suite.plan import SuitePlan
from lobgym.experiments.suite.run import Workers, run_suite
from tests.project import ROOT

TAPES = ("synth?seed=5&minutes=3", "synth?seed=6&minutes=3")
POLICIES = ("random@target", "static-grid@grid")

pytest.importorskip("ray")


@pytest.fixture(autouse=True)
def local_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Ray of this machine, whose workers find the project and its tests."""
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))
    monkeypatch.delenv("RAY_ADDRESS", raising=False)


def results(folder: Path) -> dict[str, bytes]:
    """Every file but the locks, which are empty, by its name."""
    files = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    return {name: data for name, data in files.items() if Path(name).name != ".lock"}


def test_a_suite_on_ray_is_the_suite_of_one_process(tmp_path: Path) -> None:
    plan = SuitePlan(TAPES, seeds=5, episodes=1)
    made: dict[str, dict[str, bytes]] = {}
    for backend in ("ray", "serial"):
        workers = Workers(2, backend)  # type: ignore[arg-type]
        board = run_suite(plan, tmp_path / backend, only=POLICIES, command="lobgym leaderboard", workers=workers)
        board.write(tmp_path / backend)
        made[backend] = results(tmp_path / backend)
    assert {row["policy"] for row in board.data["rows"]} == {"random", "static-grid"}
    assert sum(name.startswith("cells/") for name in made["ray"]) == 4
    assert made["ray"] == made["serial"]


def test_a_study_on_ray_is_the_study_of_one_process(tmp_path: Path) -> None:
    setting = Setting.of(TAPES[0], EvalConfig((0, 1), 2, 40, "test", 0.3, 10_000_000_000))
    who = [Contestant.of(name) for name in POLICIES]
    found: dict[str, Any] = {
        backend: sweep(
            who, setting, tmp_path / backend, extra_bps=[0.0, 1.0], delays_ms=[0.0], workers=2, backend=backend
        )
        for backend in ("ray", "serial")
    }
    assert found["ray"] == found["serial"]
    assert len(results(tmp_path / "ray")) >= 4
    assert results(tmp_path / "ray") == results(tmp_path / "serial")
