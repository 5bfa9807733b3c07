"""A small training run, from the config to a policy that decides the same in onnxruntime."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from sb3_contrib import QRDQN, RecurrentPPO
from stable_baselines3 import DQN, PPO, SAC

from lobgym.agents.errors import ModelHashError, RunFolderError
from lobgym.agents.files import sha256_file
from lobgym.agents.onnx.export import export_policy
from lobgym.agents.onnx.parity import OnnxPolicy, check_parity
from lobgym.agents.onnx.recurrent import check_recurrent_parity
from lobgym.agents.sb3.config import ENV_IDS, DqnSettings, PpoSettings, TrainConfig
from lobgym.agents.sb3.rollout import collect_episodes, collect_observations
from lobgym.agents.sb3.runs import load_run
from lobgym.agents.sb3.settings import LstmSettings, QrDqnSettings, RouterSettings, SacSettings
from lobgym.agents.sb3.train import TrainResult, train

PPO_SMALL = TrainConfig(
    tape="synth?minutes=3",
    total_steps=4096,
    num_envs=8,
    horizon=60,
    hidden=(16, 16),
    seed=11,
    ppo=PpoSettings(rollout_steps=128, batch_size=256),
)
SMALL = {"learning_starts": 512, "batch_size": 32, "buffer_size": 4096}
CHOICES = PPO_SMALL.replace(
    env="target", total_steps=2048, dqn=DqnSettings(**SMALL), qrdqn=QrDqnSettings(**SMALL, quantiles=5)
)
ROUTER = CHOICES.replace(
    env="router",
    tape="synth?minutes=12",
    horizon=5,
    router=RouterSettings("target", 12),
    ppo=PpoSettings(rollout_steps=32, batch_size=64),
)
CONFIGS = {
    **{f"ppo-{env}": PPO_SMALL.replace(env=env) for env in ENV_IDS if env != "router"},
    "dqn-target": CHOICES.replace(algo="dqn"),
    "qrdqn-target": CHOICES.replace(algo="qrdqn"),
    "sac-maker": PPO_SMALL.replace(algo="sac", env="maker", total_steps=1536, sac=SacSettings(**SMALL)),
    "ppo_lstm-grid": PPO_SMALL.replace(
        algo="ppo_lstm", total_steps=512, ppo_lstm=LstmSettings(rollout_steps=16, batch_size=64, lstm_size=8)
    ),
    "ppo-router": ROUTER.replace(algo="ppo"),
    "dqn-router": ROUTER.replace(algo="dqn"),
}
CLASSES = {"ppo": PPO, "dqn": DQN, "qrdqn": QRDQN, "sac": SAC, "ppo_lstm": RecurrentPPO}
SERVED = [name for name in CONFIGS if not name.endswith("router")]
FORGETFUL = [name for name in SERVED if not name.startswith("ppo_lstm")]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, TrainResult]:
    root = tmp_path_factory.mktemp("runs")
    return {name: train(config.replace(out=str(root / name))) for name, config in CONFIGS.items()}


@pytest.mark.parametrize("name", CONFIGS)
def test_a_run_folder_says_what_it_holds(runs: dict[str, TrainResult], name: str) -> None:
    run = runs[name]
    record = json.loads((run.folder / "run.json").read_text())
    assert record["model_sha256"] == sha256_file(run.folder / "model.zip")
    assert record["seed"] == 11
    assert record["steps"] >= CONFIGS[name].total_steps
    assert record["spec_digest"] == run.spec.digest
    assert len(record["tape_digest"]) == len(record["params_digest"]) == 64
    assert not record["interrupted"]
    head = (run.folder / "logs" / "progress.csv").read_text().splitlines()[0]
    assert {"trading/pnl", "trading/inventory", "trading/fill_rate", "trading/fees"} <= set(head.split(","))
    assert "rollout/ep_rew_mean" in head
    assert any(path.name.startswith("events.out.tfevents") for path in (run.folder / "logs").iterdir())
    assert run.record.steps_per_second > 0


@pytest.mark.parametrize("name", CONFIGS)
def test_a_model_comes_back(runs: dict[str, TrainResult], name: str) -> None:
    loaded = load_run(runs[name].folder)
    assert type(loaded.model) is CLASSES[name.partition("-")[0]]
    assert loaded.config == CONFIGS[name].replace(out=str(runs[name].folder))
    assert loaded.record == runs[name].record
    assert loaded.spec == runs[name].spec
    rows = np.random.default_rng(0).uniform(-1, 1, (64, loaded.record.observation_size)).astype(np.float32)
    there, here = (model.predict(rows, deterministic=True)[0] for model in (runs[name].model, loaded.model))
    assert np.array_equal(there, here)
    if name in SERVED:
        assert export_policy(loaded.model) == export_policy(runs[name].model)


@pytest.mark.parametrize("name", CONFIGS)
def test_the_same_config_gives_the_same_weights(runs: dict[str, TrainResult], name: str, tmp_path: Path) -> None:
    again = train(CONFIGS[name].replace(out=str(tmp_path / "again")))
    assert again.record.weights_sha256 == runs[name].record.weights_sha256
    other = train(CONFIGS[name].replace(out=str(tmp_path / "other"), seed=12))
    assert other.record.weights_sha256 != runs[name].record.weights_sha256


def test_what_remembers_decides_the_same_from_one_episode_to_the_next(runs: dict[str, TrainResult]) -> None:
    run, config = runs["ppo_lstm-grid"], CONFIGS["ppo_lstm-grid"]
    walk = collect_episodes(run.model, config, 4_000)
    assert walk.rows.shape == (500, 8, run.spec.layout.size)
    assert walk.boundaries == 8 * 8, "episodes of 60 steps"
    assert (walk.starts[::60]).all()
    onnx = export_policy(run.model)
    report = check_recurrent_parity(run.model, onnx, walk, run.spec.action, observations_min=4_000)
    assert report.flips == 0
    assert report.raw_difference_max <= 1e-5
    assert all("distinct" in problem for problem in report.problems), report.problems
    # The same rows, but the episodes joined: another policy, unless nothing is remembered.
    served = OnnxPolicy(onnx, discrete=False)
    made = []
    for forgets in (True, False):
        served.reset(8)
        for rows, starts in zip(walk.rows[:61], walk.starts[:61], strict=True):
            if forgets:
                served.forget(starts)
            raw = served.raw(rows)
        made.append(raw)
    assert np.abs(made[0] - made[1]).max() > 1e-4


@pytest.mark.parametrize("name", FORGETFUL)
def test_the_exported_policy_decides_the_same(runs: dict[str, TrainResult], name: str) -> None:
    run = runs[name]
    rows = collect_observations(run.model, CONFIGS[name].replace(num_envs=64), count=20_000)
    assert rows.shape == (20_000, run.spec.layout.size)
    assert np.abs(rows).max() <= 1.0
    report = check_parity(run.model, export_policy(run.model), rows, run.spec.action)
    assert report.flips == 0
    assert report.raw_difference_max <= 1e-5
    assert all("distinct" in problem for problem in report.problems), report.problems


def test_a_changed_model_is_not_loaded(runs: dict[str, TrainResult], tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    for name in ("config.json", "spec.json", "run.json", "model.zip"):
        (folder / name).write_bytes((runs["ppo-grid"].folder / name).read_bytes())
    load_run(folder)
    with (folder / "model.zip").open("ab") as file:
        file.write(b"\0")
    with pytest.raises(ModelHashError, match="train again"):
        load_run(folder)
    (folder / "model.zip").unlink()
    with pytest.raises(RunFolderError, match=r"model\.zip is missing"):
        load_run(folder)
    (folder / "run.json").write_text("{}")
    with pytest.raises(RunFolderError, match="not a run folder"):
        load_run(folder)
    (folder / "config.json").write_text("no json")
    with pytest.raises(RunFolderError, match="not valid JSON"):
        load_run(folder)


def test_ctrl_c_leaves_a_model(tmp_path: Path) -> None:
    def interrupt(done: int, total: int) -> None:
        if done >= 2048:
            raise KeyboardInterrupt

    result = train(PPO_SMALL.replace(out=str(tmp_path / "run")), progress=interrupt)
    assert result.record.interrupted
    assert 2048 <= result.record.steps < 4096
    assert load_run(tmp_path / "run").record.interrupted


def test_a_folder_is_never_overwritten(runs: dict[str, TrainResult]) -> None:
    with pytest.raises(RunFolderError, match="never overwritten"):
        train(PPO_SMALL.replace(out=str(runs["ppo-grid"].folder)))
