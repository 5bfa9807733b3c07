"""Goal: `lobgym offline` writes what it says, for fixed and for trained policies, and refuses clearly."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from lobgym.experiments.cli import app
from lobgym.experiments.errors import EvaluationError

minari = pytest.importorskip("minari")

TAPE = "synth?seed=4&minutes=6"


def call(*words: str, tape: str = TAPE) -> str:
    result = CliRunner().invoke(app, ["offline", *words, "--tape", tape], catch_exceptions=False)
    assert result.exit_code == 0
    return result.output


def test_a_fixed_policy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ("--policy", "static-grid", "--episodes", "2", "--horizon", "20", "--out", str(tmp_path))
    told = json.loads(call("lobgym/grid/static-v0", *words, "--json"))
    assert told["episodes"] == 2
    assert told["steps"] == 40
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    data = minari.load_dataset("lobgym/grid/static-v0")
    assert data.storage.metadata["algorithm_name"] == "static-grid"
    assert told["mean_return"] == pytest.approx(sum(float(e.rewards.sum()) for e in data.iterate_episodes()) / 2)
    core = data.recover_environment().unwrapped.core
    assert core.starts.high_ns + 20 * core.spec.interval_ns < core.market.end_ns  # the part for training


def test_a_trained_policy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train = pytest.importorskip("lobgym.agents.sb3.train")
    from lobgym.experiments.evaluation.study import Study

    config = Study.of(TAPE).train_config("ppo", "target", 256, 0, tmp_path / "run", 4)
    train.train(config)
    words = ("--policy", str(tmp_path / "run"), "--env", "lobgym/TargetPosition-v0", "--episodes", "1")
    call("trained-v0", *words, "--horizon", "20", "--out", str(tmp_path / "data"))
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "data"))
    assert minari.load_dataset("trained-v0").total_steps == 20
    words = (*words[:2], "--env", "lobgym/Grid-v0", "--horizon", "20")
    with pytest.raises(EvaluationError, match="another desk"):
        call("other-v0", *words, "--out", str(tmp_path / "data"))


def test_what_it_refuses(tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match="lobgym/Grid-v0"):
        call("a-v0", "--env", "lobgym/Gird-v0", "--out", str(tmp_path))
    with pytest.raises(EvaluationError, match="no desk of its own"):
        call(
            "a-v0",
            "--env",
            "lobgym/Router-v0",
            "--horizon",
            "1",
            "--out",
            str(tmp_path),
            tape="synth?seed=4&minutes=12",
        )
    assert len(CliRunner().invoke(app, ["offline", "--help"]).output.splitlines()) > 5
