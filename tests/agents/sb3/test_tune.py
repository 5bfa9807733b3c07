"""Goal: a search ends with exactly the trials it was asked for, whoever is killed in between, and loses no settings.

Method: small real searches on SQLite; workers and the parent are killed by SIGKILL while they train.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import optuna
import pytest
import yaml
from optuna.trial import TrialState

from lobgym.agents.errors import RunFolderError, TrainError, TuneError
from lobgym.agents.files import write_json
from lobgym.agents.sb3 import tune as tune_module
from lobgym.agents.sb3.config import PpoSettings, TrainConfig
from lobgym.agents.sb3.defaults import Dimension
from lobgym.agents.sb3.environment import compile_kernels
from lobgym.agents.sb3.tune import resume_tune, tune
from lobgym.agents.sb3.tuning import TuneConfig, counts_of, open_study, read_tune_config, settle
from lobgym.agents.trials import read_trials
from lobgym.envs.sb3 import Sb3VecEnv

BASE = TrainConfig(
    tape="synth?minutes=6",
    total_steps=2048,
    num_envs=8,
    horizon=40,
    hidden=(8,),
    embargo_ns=30_000_000_000,
    validate_every=512,
    validation_episodes=4,
    checkpoint_every=512,
    ppo=PpoSettings(rollout_steps=32, batch_size=64, epochs=1),
)
SEARCH = {
    "ppo.learning_rate": Dimension(1e-4, 1e-2, log=True),
    "gamma": Dimension(choices=(0.9, 0.99)),
    "ppo.epochs": Dimension(1, 2),
}


def config(trials: int, **changes: Any) -> TuneConfig:
    return TuneConfig(BASE.replace(**changes).to_json(), SEARCH, trials, startup=2, heartbeat_s=1)


def settings_of(trial: optuna.trial.FrozenTrial) -> tuple[Any, ...]:
    return tuple(sorted(trial.params.items()))


def finished(study: optuna.Study) -> list[optuna.trial.FrozenTrial]:
    return study.get_trials(states=(TrialState.COMPLETE, TrialState.PRUNED))


def test_a_search_ends_with_the_trials_it_was_asked_for(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    result = tune(config(3), tmp_path / "study", progress=lambda done, total: seen.append((done, total)))
    assert result.counts.finished == 3
    assert (result.restarts, result.interrupted) == (0, False)
    assert seen
    assert seen[-1][1] == 3
    study = open_study(tmp_path / "study", config(3))
    assert result.score == max(trial.value for trial in study.get_trials(states=(TrialState.COMPLETE,)))
    assert yaml.safe_load((tmp_path / "study" / "best.yml").read_text()) == result.best
    assert result.run is not None
    assert (result.run / "model.zip").exists()
    tried = [one for one in read_trials(tmp_path / "trials.jsonl") if one.kind == "tune"]
    assert len(tried) == len({settings_of(trial) for trial in study.get_trials()})
    assert all(one.score is not None for one in tried)
    for one in tried:
        with np.load(tmp_path / "study" / "trials" / one.digest[:16] / "evaluations.npz") as file:
            assert one.sharpe == pytest.approx(file["sharpes"][-1])
    more = resume_tune(tmp_path / "study", trials=4)
    assert more.counts.finished == 4
    with pytest.raises(TuneError, match="as many or more"):
        resume_tune(tmp_path / "study", trials=2)
    with pytest.raises(RunFolderError, match="or resume it"):
        tune(config(3), tmp_path / "study")


def _kill_a_worker(folder: Path, killed: list[int]) -> None:
    """SIGKILL the process of the first trial that has a checkpoint."""
    made = read_tune_config(folder)
    for _ in range(600):
        time.sleep(0.1)
        if not list((folder / "trials").glob("*/checkpoint.json")):
            continue
        study = open_study(folder, made)
        for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            worker = trial.user_attrs.get("worker")
            if worker and worker[0] == trial.number:
                os.kill(worker[2], signal.SIGKILL)
                killed.append(trial.number)
                return


def test_a_worker_killed_in_the_middle_loses_nothing(tmp_path: Path) -> None:
    folder, wanted = tmp_path / "study", config(4, total_steps=16_384)
    killed: list[int] = []
    folder.mkdir()
    (folder / "study.json").write_bytes(msgspec.json.encode(wanted))
    killer = threading.Thread(target=_kill_a_worker, args=(folder, killed))
    killer.start()
    result = resume_tune(folder, workers=2)
    killer.join()
    assert len(killed) == 1
    assert result.restarts == 1
    assert result.counts.finished == 4
    assert result.counts.running == result.counts.waiting == result.counts.failed == 0
    study = open_study(folder, wanted)
    lost = study.get_trials()[killed[0]]
    assert lost.state == TrialState.FAIL
    again = [one for one in finished(study) if one.system_attrs.get("retry_history") == [killed[0]]]
    assert [settings_of(one) for one in again] == [settings_of(lost)]
    assert len(finished(study)) == 4
    tried = [one for one in read_trials(tmp_path / "trials.jsonl") if one.kind == "tune"]
    assert len(tried) == 4


def _stop_a_worker(folder: Path, seconds: float, stopped: list[int]) -> None:
    """SIGSTOP the process of the first trial that was claimed, and let it go on after a while."""
    made = read_tune_config(folder)
    while not stopped:
        time.sleep(0.1)
        if not list((folder / "trials").glob("*/config.json")):
            continue
        for trial in open_study(folder, made).get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            if trial.user_attrs.get("worker", (None,))[0] == trial.number and not stopped:
                process = int(trial.user_attrs["worker"][2])
                os.kill(process, signal.SIGSTOP)
                time.sleep(seconds)
                os.kill(process, signal.SIGCONT)
                stopped.append(trial.number)


def test_a_worker_that_stood_still_for_a_while_finds_its_trial_as_it_left_it(tmp_path: Path) -> None:
    """As on a machine that was busy, or asleep: five heartbeats are missed while the other worker goes on."""
    folder, wanted = tmp_path / "study", config(6, total_steps=16_384)
    folder.mkdir()
    write_json(folder / "study.json", wanted)
    stopped: list[int] = []
    stopper = threading.Thread(target=_stop_a_worker, args=(folder, 5.0, stopped), daemon=True)
    stopper.start()
    result = resume_tune(folder, workers=2)
    stopper.join(60)
    assert len(stopped) == 1
    assert (result.restarts, result.counts.finished, result.counts.failed) == (0, 6, 0)
    trials = open_study(folder, wanted).get_trials()
    assert len(trials) == 6
    assert all(trial.state in (TrialState.COMPLETE, TrialState.PRUNED) for trial in trials)


def test_kernels_are_compiled_before_any_worker_begins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By one process, which plays a step of what is trained in and of what validates; workers find them on disk."""
    done: list[str] = []
    played: list[tuple[int, int]] = []

    def step(self: Sb3VecEnv, actions: Any) -> Any:
        played.append((self.num_envs, len(actions)))
        return stepped(self, actions)

    def begin(*words: Any) -> Any:
        done.append(f"worker after {len(played)} steps")
        return start(*words)

    stepped, start = Sb3VecEnv.step, tune_module._start
    monkeypatch.setattr(Sb3VecEnv, "step", step)
    monkeypatch.setattr(tune_module, "_start", begin)
    assert tune(config(1), tmp_path / "study").counts.finished == 1
    assert done == ["worker after 2 steps"]
    assert played == [(8, 8), (4, 4)]


@pytest.mark.parametrize("algo", ["ppo", "dqn"])
def test_a_step_compiles_for_every_kind_of_action(algo: str) -> None:
    compile_kernels(BASE.replace(algo=algo, env="target"))
    compile_kernels(BASE.replace(algo="ppo", env="maker", validate_every=0))


@pytest.mark.filterwarnings("ignore:Heartbeat of storage is supposed to be used with Study.optimize:UserWarning")
def test_pruning_begins_when_half_of_the_first_trials_are_done(tmp_path: Path) -> None:
    """Five settings that are done are enough for a median; ten are wanted before the sampler learns."""
    made = TuneConfig(BASE.to_json(), SEARCH, 50, heartbeat_s=1)
    study = open_study(tmp_path, made)
    space = {"gamma": optuna.distributions.CategoricalDistribution((0.9, 0.99))}

    def bad_one() -> bool:
        trial = study.ask(space)
        trial.report(-1.0, 1)
        pruned = trial.should_prune()
        study.tell(trial, state=TrialState.PRUNED if pruned else TrialState.FAIL)
        return pruned

    for value in range(5):
        assert not bad_one()
        study.add_trial(
            optuna.trial.create_trial(
                value=float(value), params={"gamma": 0.9}, distributions=space, intermediate_values={1: float(value)}
            )
        )
    assert bad_one()


def test_a_killed_search_is_resumed(tmp_path: Path) -> None:
    """The parent dies: its worker notices and puts its trial back."""
    folder, wanted = tmp_path / "study", config(2, total_steps=32_768)
    folder.mkdir()
    write_json(folder / "study.json", wanted)
    script = "import sys; from lobgym.agents.sb3.tune import resume_tune; resume_tune(sys.argv[1])"
    parent = subprocess.Popen([sys.executable, "-c", script, str(folder)])
    while not list((folder / "trials").glob("*/config.json")):
        assert parent.poll() is None
        time.sleep(0.1)
    parent.kill()
    parent.wait()
    study = open_study(folder, wanted)
    for _ in range(300):
        if not counts_of(study, wanted).running:
            break
        time.sleep(0.1)
    counts = counts_of(study, wanted)
    assert (counts.running, counts.failed) == (0, 0)
    begun = study.get_trials()[0]
    result = resume_tune(folder)
    assert result.counts.finished == 2
    assert settings_of(begun) in {settings_of(one) for one in finished(study)}


@pytest.mark.filterwarnings("ignore:Heartbeat of storage is supposed to be used with Study.optimize:UserWarning")
def test_what_nobody_claimed_and_what_died_too_often(tmp_path: Path) -> None:
    made = config(4)
    study = open_study(tmp_path, made)
    study.ask()  # as of a worker that died before it drew any settings
    assert settle(study, made).finished == 0
    assert counts_of(study, made).running == 0
    study.enqueue_trial({"gamma": 0.9})
    for times in range(made.retries + 1):
        trial = study.ask({"gamma": optuna.distributions.CategoricalDistribution((0.9, 0.99))})
        assert trial.params == {"gamma": 0.9}
        counts = settle(study, made)
        assert (counts.waiting, counts.failed) == ((1, 0) if times < made.retries else (0, 1))


def test_a_trial_that_fails_by_itself_is_not_tried_again(tmp_path: Path) -> None:
    search = {"desk.order_lots": Dimension(choices=(10**15,))}
    result = tune(TuneConfig(BASE.to_json(), search, 1, startup=1, heartbeat_s=1), tmp_path / "study")
    assert (result.counts.failed, result.counts.finished, result.best) == (1, 1, {})
    trial = open_study(tmp_path / "study", config(1)).get_trials()[0]
    assert "position_lots_max" in trial.user_attrs["error"]


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"trials": 0}, "trials"),
        ({"search": {}}, "nothing to search"),
        ({"heartbeat_s": 0}, "heartbeat_s"),
        ({"search": {"reward.scale": Dimension(0.1, 1.0)}}, "reward"),
    ],
)
def test_nonsense_is_refused(changes: dict[str, Any], named: str) -> None:
    with pytest.raises(TuneError, match=named):
        TuneConfig(**{"base": BASE.to_json(), "search": SEARCH, **changes})
    with pytest.raises(TuneError, match="validate_every"):
        TuneConfig(BASE.replace(validate_every=0).to_json(), SEARCH)


def test_a_tape_too_short_to_compare_trials_on_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TuneError, match="compared by their validations"):
        tune(config(1, tape="synth?minutes=3", horizon=120), tmp_path / "study")
    with pytest.raises(TrainError, match="workers"):
        tune(config(1), tmp_path / "study", workers=0)
    assert not (tmp_path / "study").exists()
