"""Goal: train, evaluate and tune as a user types them: what they leave behind, and one clear line for what is wrong."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from lobgym.experiments.cli import main

TAPE = "synth?minutes=10"
SHORT = ["--steps", "1024", "--lanes", "8", "--set", "ppo.rollout_steps=32", "--set", "ppo.batch_size=64"]
SHORT += ["--set", "hidden=[8]", "--set", "horizon=40", "--set", "validation_episodes=2"]


@pytest.fixture
def lobgym(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> object:
    """Runs a command in this process, in an empty folder: (status, stdout, stderr)."""
    monkeypatch.chdir(tmp_path)

    def run(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["lobgym", *words])
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            main()
        out, err = capsys.readouterr()
        return int(end.value.code or 0), out, err

    return run


def test_the_usual_way(lobgym: object, tmp_path: Path) -> None:
    call = lobgym
    status, out, _ = call("train", "--tape", TAPE, *SHORT, "--json")  # type: ignore[operator]
    assert status == 0
    run = Path(json.loads(out)["run"])
    assert run == Path("runs/ppo/lobgym-Grid-v0_1")
    for name in ("best_model.zip", "evaluations.npz", "lobgym-Grid-v0.zip", "lobgym-Grid-v0/config.yml", "run.json"):
        assert (run / name).is_file(), name
    arguments = yaml.safe_load((run / "lobgym-Grid-v0" / "args.yml").read_text())
    assert arguments["env_kwargs"]["tape"] == TAPE
    assert "train --tape" in (run / "lobgym-Grid-v0" / "command.txt").read_text()
    assert list(run.glob("rl_model_*_steps.zip"))
    status, out, _ = call("evaluate", str(run), "--tape", TAPE, "--which", "best", "--json", "--out", "e.json")  # type: ignore[operator]
    assert status == 0
    assert json.loads(out) == json.loads(Path("e.json").read_text())
    assert json.loads(out)["evaluations"][0]["split"] == "test"
    status, out, _ = call("evaluate", str(run), "--tape", TAPE, "--seeds", "2", "--episodes", "2")  # type: ignore[operator]
    assert status == 0
    assert "PnL" in out
    status, out, _ = call("train", "--tape", TAPE, "--env", "maker", "--algo", "sac", "--show-config")  # type: ignore[operator]
    assert status == 0
    config = yaml.safe_load(out)
    assert (config["algo"], config["env"], config["out"]) == ("sac", "maker", "runs/sac/lobgym-MarketMaking-v0_1")
    (tmp_path / "mine.yml").write_text("gamma: 0.5\nsac: {tau: 1e-1}\n")
    words = [
        "--env",
        "maker",
        "--algo",
        "sac",
        "--config",
        "mine.yml",
        "--set",
        "gamma=0.25",
        "--show-config",
        "--json",
    ]
    config = json.loads(call("train", "--tape", TAPE, *words, "--show-config", "--json")[1])  # type: ignore[operator]
    assert (config["gamma"], config["sac"]["tau"]) == (0.25, 0.1)


def test_rl_zoo3_plays_a_run(lobgym: object, tmp_path: Path) -> None:
    pytest.importorskip("rl_zoo3")
    assert lobgym("train", "--tape", TAPE, *SHORT)[0] == 0  # type: ignore[operator]
    words = [
        "--algo",
        "ppo",
        "--env",
        "lobgym/Grid-v0",
        "--gym-packages",
        "lobgym.envs",
        "-f",
        "runs",
        "--no-render",
        "-n",
        "100",
    ]
    done = subprocess.run(
        [sys.executable, "-m", "rl_zoo3.enjoy", *words], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert "Mean episode length: 40.00" in done.stdout


def test_tune_ends_with_settings_that_train_takes(lobgym: object) -> None:
    status, out, err = lobgym(  # type: ignore[operator]
        "tune", "--tape", TAPE, *SHORT, "--trials", "2", "--out", "study", "--space", _space(), "--json"
    )
    assert status == 0, err
    found = json.loads(out)
    assert (found["trials"], found["failed"]) == (2, 0)
    status, out, _ = lobgym("train", "--tape", TAPE, *SHORT, "--config", "study/best.yml", "--show-config", "--json")  # type: ignore[operator]
    assert json.loads(out)["gamma"] == found["best"]["gamma"]
    assert lobgym("tune", "--resume", "study", "--trials", "2")[0] == 0  # type: ignore[operator]
    status, out, _ = lobgym("tune", "--confirm", "study", "--seeds", "2", "--json")  # type: ignore[operator]
    assert status == 0
    assert json.loads(out) == json.loads(Path("study/confirm.json").read_text())
    status, out, _ = lobgym("tune", "--confirm", "study", "--seeds", "2")  # type: ignore[operator]
    assert "best - start" in out
    assert ("intervals apart" if json.loads(Path("study/confirm.json").read_text())["better"] else "not apart") in out


def _space() -> str:
    Path("space.yml").write_text("search: {ppo: {gamma: {low: 0.9, high: 0.99}}}\n")
    return "space.yml"


WRONG = [
    (["train", "--algo", "sac", "--env", "target"], "sac does not act in 'target'"),
    (["train", "--algo", "dqn", "--env", "maker"], "dqn does not act in 'maker'"),
    (["train", "--set", "gama=1"], "gama"),
    (["train", "--set", "ppo.learning_rat=1"], "ppo.learning_rat"),
    (["train", "--set", "ppo.learning_rate=fast"], "learning_rate"),
    (["train", "--set", "ppo.epochs=0"], "epochs"),
    (["train", "--set", "ppo=3"], "ppo"),
    (["train", "--set", "gamma"], "NAME=VALUE"),
    (["train", "--set", "gamma=nan"], "gamma"),
    (["train", "--set", "hidden=[0]"], "hidden"),
    (["train", "--set", "horizon=many"], "horizon"),
    (["train", "--set", "horizon=1000000"], "does not fit"),
    (["train", "--set", "desk.nothing=1"], "nothing"),
    (["train", "--set", "env_kwargs.speed=1"], "env_kwargs"),
    (["train", "--set", "env_kwargs.latency=warp"], "warp"),
    (["train", "--set", "reward.pnl=much"], "reward"),
    (["train", "--set", "num_envs=0"], "num_envs"),
    (["train", "--config", "missing.yml"], "missing.yml"),
    (["train", "--config", "."], "."),
    (["train", "--out", "file"], "not empty"),
    (["train", "--resume", "nowhere"], "nowhere"),
    (["train", "--resume", "nowhere", "--seed", "1"], "drop --seed"),
    (["train", "--env", "router", "--set", "router.macro_steps=100000"], "macro_steps"),
    (["train", "--env", "router", "--set", "router.kind=arena"], "arena"),
    (["train", "--validate-every", "10", "--set", "validation_fraction=0.01"], "validation_fraction"),
    (["evaluate", "nowhere"], "nowhere"),
    (["evaluate", "file"], "file"),
    (["evaluate", ".", "--split", "test"], "neither a run folder"),
    (["tune", "--resume", "nowhere"], "nowhere"),
    (["tune", "--space", "file"], "file"),
    (["tune", "--confirm", "nowhere"], "nowhere"),
    (["tune", "--confirm", "nowhere", "--trials", "3"], "drop --trials"),
    (["tune", "--trials", "200000"], "trials"),
    (["tune", "--set", "validate_every=0"], "validate_every"),
]


def test_wrong_input_is_one_clear_line(lobgym: object, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("hello\n")
    for words, named in WRONG:
        tape = [] if {"--resume", "--confirm"} & {*words} else ["--tape", TAPE]
        status, _, err = lobgym(*words, *tape)  # type: ignore[operator]
        assert status == 1, (words, err)
        lines = err.splitlines()
        assert len(lines) == 1, (words, err)
        assert lines[0].startswith("lobgym: "), (words, err)
        assert named in lines[0], (words, err)
        assert [one.name for one in tmp_path.iterdir()] == ["file"], words
