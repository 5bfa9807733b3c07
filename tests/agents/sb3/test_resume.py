"""Goal: a run that was killed goes on to the weights of a run that never stopped, whatever killed it and when.

Method: each algorithm once without a stop, once in a process that ends by SIGKILL in the middle, and then resumed.
"""

from __future__ import annotations

import json
import os
import signal
import statistics
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from lobgym.agents.errors import CheckpointError, RunFolderError, TrainError
from lobgym.agents.files import sha256_file
from lobgym.agents.policy import ModelPolicy
from lobgym.agents.sb3.checkpoint import read_checkpoint
from lobgym.agents.sb3.config import PpoSettings, TrainConfig
from lobgym.agents.sb3.environment import VALIDATION_SEED, make_validation_env, play
from lobgym.agents.sb3.runs import load_run
from lobgym.agents.sb3.settings import DqnSettings, LstmSettings, QrDqnSettings, RouterSettings, SacSettings
from lobgym.agents.sb3.train import resume, train
from lobgym.agents.trials import read_trials

OFF_POLICY = {"learning_starts": 256, "batch_size": 32, "buffer_size": 1024}
BASE = TrainConfig(
    tape="synth?minutes=6",
    total_steps=2048,
    num_envs=8,
    horizon=40,
    hidden=(8, 8),
    seed=5,
    embargo_ns=30_000_000_000,
    validate_every=500,
    validation_episodes=4,
    checkpoint_every=600,
    ppo=PpoSettings(rollout_steps=32, batch_size=64, epochs=2),
    dqn=DqnSettings(**OFF_POLICY, target_update_interval=128),
    qrdqn=QrDqnSettings(**OFF_POLICY, target_update_interval=128, quantiles=5),
    sac=SacSettings(**OFF_POLICY),
    ppo_lstm=LstmSettings(rollout_steps=32, batch_size=64, epochs=1, lstm_size=8),
    router=RouterSettings("grid", 8),
)
CONFIGS = {
    "ppo": BASE,
    "ppo_lstm": BASE.replace(algo="ppo_lstm", env="maker"),
    "sac": BASE.replace(algo="sac", env="execution"),
    "dqn": BASE.replace(algo="dqn", env="target", env_kwargs={"randomise": {"taker_fee_ppb": [0, 500_000]}}),
    "qrdqn": BASE.replace(algo="qrdqn", env="router", horizon=5, tape="synth?minutes=40"),
}
KILLED = """
import json, os, signal, sys
from lobgym.agents.sb3.config import TrainConfig
from lobgym.agents.sb3.train import train
config = TrainConfig.from_json(json.loads(sys.argv[1]))
train(config, progress=lambda done, total: done >= int(sys.argv[2]) and os.kill(os.getpid(), signal.SIGKILL))
"""


def kill_in_the_middle(config: TrainConfig, steps: int) -> None:
    """Train in a process of its own that is killed once it has seen `steps` transitions."""
    words = [sys.executable, "-c", KILLED, json.dumps(config.to_json()), str(steps)]
    done = subprocess.run(words, capture_output=True, text=True, check=False, env=os.environ)
    assert done.returncode == -signal.SIGKILL, done.stderr


@pytest.mark.parametrize("name", CONFIGS)
def test_a_killed_run_goes_on_to_the_same_weights(name: str, tmp_path: Path) -> None:
    config = CONFIGS[name]
    whole = train(config.replace(out=str(tmp_path / "whole")))
    kill_in_the_middle(config.replace(out=str(tmp_path / "killed")), 1500)
    checkpoint = read_checkpoint(tmp_path / "killed")
    assert checkpoint is not None
    assert 600 <= checkpoint.steps < 1500
    assert not (tmp_path / "killed" / "model.zip").exists()
    resumed = resume(tmp_path / "killed")
    assert resumed.record.weights_sha256 == whole.record.weights_sha256
    assert resumed.record.steps == whole.record.steps
    assert resumed.record.best is not None
    assert whole.record.best is not None
    assert resumed.record.best.weights_sha256 == whole.record.best.weights_sha256
    one, other = (np.load(tmp_path / run / "evaluations.npz") for run in ("whole", "killed"))
    assert np.array_equal(one["timesteps"], other["timesteps"])
    assert np.array_equal(one["results"], other["results"])
    assert np.array_equal(one["sharpes"], other["sharpes"], equal_nan=True)
    assert len({len(row) for row in one["results"]}) == 1
    tables = [(tmp_path / run / "logs" / "progress.csv").read_text().splitlines() for run in ("whole", "killed")]
    assert len(tables[0]) == len(tables[1])


def test_the_best_model_is_the_one_that_validated_best(tmp_path: Path) -> None:
    result = train(BASE.replace(out=str(tmp_path / "run")))
    with np.load(tmp_path / "run" / "evaluations.npz") as file:
        means = file["results"].mean(axis=1)
        assert result.record.best is not None
        assert result.record.best.score == pytest.approx(means.max(), abs=1e-12)
        assert result.record.best.steps == file["timesteps"][means.argmax()]
    loaded = load_run(tmp_path / "run", "best")
    assert sha256_file(tmp_path / "run" / "best_model.zip") == loaded.record.best.sha256  # type: ignore[union-attr]
    assert {one.kind for one in read_trials(tmp_path / "trials.jsonl")} == {"train", "checkpoint"}
    trials = read_trials(tmp_path / "trials.jsonl")
    assert len(trials) == 1 + len(means)
    # Oracle: the best model plays the validation again, and its episodes' PnL is judged by the standard library.
    env = make_validation_env(BASE)
    try:
        env.seed(VALIDATION_SEED)
        pnl = play(ModelPolicy(loaded.model, "best"), env).summary["pnl_units"].tolist()
    finally:
        env.close()
    ratio = pytest.approx(statistics.mean(pnl) / statistics.stdev(pnl))
    (best,) = (one for one in trials if one.digest == result.record.best.weights_sha256)
    (run,) = (one for one in trials if one.kind == "train")
    assert (best.kind, best.sharpe, run.sharpe) == ("checkpoint", ratio, ratio)
    assert (best.score, run.score) == (result.record.best.score, result.record.best.score)
    assert all(one.sharpe is not None for one in trials)


def test_a_run_without_a_checkpoint_begins_anew(tmp_path: Path) -> None:
    config = BASE.replace(checkpoint_every=0, total_steps=512)
    whole = train(config.replace(out=str(tmp_path / "whole")))
    kill_in_the_middle(config.replace(out=str(tmp_path / "killed")), 300)
    assert resume(tmp_path / "killed").record.weights_sha256 == whole.record.weights_sha256


def test_what_cannot_be_resumed_is_said(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match="missing"):
        resume(tmp_path)
    train(BASE.replace(out=str(tmp_path / "run"), total_steps=1024))
    with pytest.raises(RunFolderError, match="nothing is left to resume"):
        resume(tmp_path / "run")
    (tmp_path / "run" / "run.json").unlink()
    with pytest.raises(RunFolderError, match="unfinished run, resume that"):
        train(BASE.replace(out=str(tmp_path / "run")))
    with next(iter((tmp_path / "run").glob("checkpoint_*.npz"))).open("ab") as file:
        file.write(b"\0")
    with pytest.raises(CheckpointError, match="begin anew"):
        resume(tmp_path / "run")
    (tmp_path / "run" / "checkpoint.json").write_text('{"steps": 1}')
    with pytest.raises(CheckpointError, match="not a checkpoint"):
        resume(tmp_path / "run")


def test_a_tape_too_short_to_validate_on_leaves_no_folder(tmp_path: Path) -> None:
    with pytest.raises(TrainError, match="validation_fraction"):
        train(BASE.replace(tape="synth?minutes=3", horizon=120, out=str(tmp_path / "run")))
    assert not (tmp_path / "run").exists()


def test_validation_and_training_share_no_time() -> None:
    from lobgym.agents.sb3.environment import core_of, make_env, make_training_env, make_validation_env

    whole, learns, validates = make_env(BASE), make_training_env(BASE), make_validation_env(BASE)
    try:
        all_, one, other = (core_of(env).starts for env in (whole, learns, validates))
        length = BASE.horizon * core_of(whole).spec.interval_ns
        assert one.high_ns + length + BASE.embargo_ns <= other.low_ns
        assert all_.low_ns == one.low_ns
        assert other.high_ns == all_.high_ns
    finally:
        for env in (whole, learns, validates):
            env.close()
