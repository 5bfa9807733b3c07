"""Goal: whether a search has found anything is said by trainings and episodes that it has not used.

Method: a tiny real study; its confirmation is compared with runs that are trained and assessed here, by hand.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from lobgym.agents.errors import RunFolderError, TuneError
from lobgym.agents.files import read_json, write_json
from lobgym.agents.sb3.config import PpoSettings, TrainConfig
from lobgym.agents.sb3.defaults import Dimension
from lobgym.agents.sb3.train import train
from lobgym.agents.sb3.tuning import TuneConfig
from lobgym.experiments.evaluation import confirm as confirm_module
from lobgym.experiments.evaluation.assess import assess, open_subject
from lobgym.experiments.evaluation.confirm import Confirmation, confirm
from lobgym.experiments.evaluation.intervals import iqm_interval

BASE = TrainConfig(
    tape="synth?minutes=6",
    total_steps=1024,
    num_envs=8,
    horizon=40,
    seed=3,
    hidden=(8,),
    embargo_ns=30_000_000_000,
    validate_every=512,
    validation_episodes=4,
    ppo=PpoSettings(rollout_steps=32, batch_size=64, epochs=1),
)


def study_with(folder: Path, best: str, base: TrainConfig = BASE) -> Path:
    """A study that has found something, without the search: what is confirmed is what its two files say."""
    folder.mkdir()
    write_json(folder / "study.json", TuneConfig(base.to_json(), {"gamma": Dimension(0.9, 1.0)}, 1))
    if best:
        (folder / "best.yml").write_text(best)
    return folder


@pytest.fixture(scope="module")
def confirmed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Confirmation]:
    folder = study_with(tmp_path_factory.mktemp("confirm") / "study", "gamma: 0.9\nppo: {epochs: 2}\n")
    return folder, confirm(folder, seeds=2, episodes=2)


def test_both_choices_are_trained_with_seeds_that_no_trial_had(confirmed: tuple[Path, Confirmation]) -> None:
    folder, made = confirmed
    assert made.seeds == (4, 5)
    for name, gamma, epochs in (("start", 0.99, 1), ("best", 0.9, 2)):
        for seed in made.seeds:
            plain = read_json(folder / "confirm" / f"{name}-{seed}" / "config.json")
            assert (plain["seed"], plain["gamma"], plain["ppo"]["epochs"]) == (seed, gamma, epochs)
            assert plain["total_steps"] == BASE.total_steps


def test_scores_are_those_of_a_run_made_by_hand(confirmed: tuple[Path, Confirmation], tmp_path: Path) -> None:
    _, made = confirmed
    own = BASE.replace(seed=5, gamma=0.9, ppo=PpoSettings(rollout_steps=32, batch_size=64, epochs=2), validate_every=0)
    train(own.replace(out=str(tmp_path / "run")))
    figures = assess(open_subject(tmp_path / "run"), BASE.tape, "test", 4, 2)
    assert made.best_scores[1] == figures.interval.mean
    assert made.best == iqm_interval(made.best_scores)
    assert made.difference == iqm_interval([b - a for a, b in zip(made.start_scores, made.best_scores, strict=True)])


def test_better_means_intervals_apart(confirmed: tuple[Path, Confirmation]) -> None:
    folder, made = confirmed
    assert made.better == (made.best.low > made.start.high)
    written = read_json(folder / "confirm.json")
    assert written["better"] == made.better
    assert written["best_scores"] == list(made.best_scores)


def test_what_was_trained_already_is_not_trained_again(
    confirmed: tuple[Path, Confirmation], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, made = confirmed
    seen: list[tuple[int, int]] = []
    monkeypatch.setattr(confirm_module, "train", pytest.fail)
    monkeypatch.setattr(confirm_module, "resume", pytest.fail)
    assert confirm(folder, 2, 2, lambda done, total: seen.append((done, total))) == made
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_of_parent_orders_the_cheaper_one_is_better(tmp_path: Path) -> None:
    base = BASE.replace(env="execution", gamma=1.0)
    made = confirm(study_with(tmp_path / "study", "gamma: 0.95\n", base), seeds=2, episodes=2)
    assert made.measure == "-cost_bps"
    figures = assess(open_subject(tmp_path / "study" / "confirm" / "start-4"), BASE.tape, "test", 4, 2)
    assert made.start_scores[0] == -figures.interval.mean
    assert figures.interval.mean != 0.0


def test_what_cannot_be_confirmed_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError):
        confirm(tmp_path)
    folder = study_with(tmp_path / "study", "")
    with pytest.raises(TuneError, match="no trial yet"):
        confirm(folder)
    with pytest.raises(TuneError, match="at least 2 seeds"):
        confirm(folder, seeds=1)
