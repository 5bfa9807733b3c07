"""One worker of a search over settings: takes trials out of Optuna's storage until there are enough.

A worker may die at any moment. Whoever asks for the next trial holds the study's lock, and first puts back what others
have left behind: the settings of a trial without heartbeat go into the queue again, at most `retries` times, and their
training goes on from its last checkpoint. So a study ends with exactly the trials that it was asked for.
"""

from __future__ import annotations

import fcntl
import math
import os
import socket
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import optuna
from optuna.trial import TrialState

from lobgym.agents.errors import TuneError
from lobgym.agents.files import CONFIG_FILE, RECORD_FILE, read_json
from lobgym.agents.sb3.config import TrainConfig
from lobgym.agents.sb3.defaults import Dimension, assignment, merged
from lobgym.agents.sb3.milestones import EVALUATIONS_FILE
from lobgym.agents.sb3.train import config_digest, resume, train
from lobgym.agents.trials import record_trial
from lobgym.envs.markets import market_for
from lobgym.sim.errors import LobgymError

__all__ = ["Counts", "TuneConfig", "counts_of", "open_study", "read_tune_config", "settle", "storage_url", "work"]

STUDY_FILE: Final = "study.json"
STORAGE_FILE: Final = "study.db"
TRIALS_FOLDER: Final = "trials"
STUDY_NAME: Final = "lobgym"
_LOCK_FILE: Final = "study.lock"
_CLAIMED: Final = "worker"  # attribute of a trial whose worker has begun, and so sends heartbeats
_ERROR: Final = "error"  # attribute of a trial that failed by itself, and would again
_POLL_S: Final = 0.5
# Heartbeats that may be missed. They matter for workers of other machines, for those of this one are seen to be gone at
# once; and a worker that was only stopped for a while, or waits for a busy disk, should find its trial as it left it.
_GRACE: Final = 12
_BUSY_S: Final = 120  # how long a worker waits for the storage
TRIALS_MAX: Final = 100_000
# Settings that decide what a validation is: two trials that differ in one of them cannot be compared.
_FIXED: Final = {
    *("algo", "env", "tape", "out", "reward", "horizon", "test_fraction", "embargo_ns", "router", "env_kwargs"),
    *("params", "validate_every", "validation_fraction", "validation_episodes"),
}


@dataclass(frozen=True)
class TuneConfig:
    """A search over the settings of one training.

    Attributes:
        base: the training that is varied, as plain data; it validates.
        search: what is varied, by dotted names of `TrainConfig`'s fields.
        trials: how many trainings are wanted, pruned and failed ones included.
        seed: of the sampler.
        startup: trials that are drawn at random before the sampler learns from them; the first half of as many that
            are completed are never pruned.
        heartbeat_s: seconds between heartbeats; a trial without any for 12 times as long is taken for dead.
        retries: how often a trial whose worker died begins again.

    Raises:
        TuneError: a value outside its range, nothing to search, or a training that does not validate.
    """

    base: dict[str, Any]
    search: dict[str, Dimension]
    trials: int = 50
    seed: int = 0
    startup: int = 10
    heartbeat_s: int = 5
    retries: int = 3

    def __post_init__(self) -> None:
        if not 1 <= self.trials <= TRIALS_MAX or not 0 <= self.seed < 2**31 or self.startup < 1:
            raise TuneError(
                f"expected 1 to {TRIALS_MAX} trials, a seed from 0 and startup from 1, got {self.trials}, {self.seed} "
                f"and {self.startup}"
            )
        if self.heartbeat_s < 1 or not 0 <= self.retries <= 100:
            raise TuneError(f"expected heartbeat_s >= 1 and 0 to 100 retries, got {self.heartbeat_s}, {self.retries}")
        if not self.search:
            raise TuneError("nothing to search: give settings and their ranges under `search`")
        fixed = sorted({name.partition(".")[0] for name in self.search} & _FIXED)
        if fixed:
            raise TuneError(
                f"trials are compared by their validations, which {', '.join(fixed)} would change: fix that"
            )
        if not TrainConfig.from_json(self.base).validate_every:
            raise TuneError("trials are compared by their validations: expected validate_every > 0")

    def begin_with(self) -> dict[str, Any] | None:
        """What the training has now for each searched setting; None where that lies outside of the search."""
        plain = TrainConfig.from_json(self.base).to_json()
        found: dict[str, Any] = {}
        for name, dimension in self.search.items():
            value: Any = plain
            for word in name.split("."):
                value = value.get(word) if isinstance(value, dict) else None
            if not dimension.holds(value):
                return None
            found[name] = value
        return found

    def settings(self, params: dict[str, Any], out: Path) -> TrainConfig:
        """The training of one trial."""
        layers = [_nested(name, value) for name, value in params.items()]
        return TrainConfig.from_json(merged(self.base, *layers, {"out": str(out)}))


@dataclass(frozen=True)
class Counts:
    """Where a study stands.

    Attributes:
        finished: trials that count: completed, pruned, or failed for good.
    """

    complete: int
    pruned: int
    failed: int
    running: int
    waiting: int

    @property
    def finished(self) -> int:
        """Trials that will not run again."""
        return self.complete + self.pruned + self.failed


def read_tune_config(folder: Path) -> TuneConfig:
    """Raises RunFolderError or TuneError where there is no study."""
    try:
        return msgspec.convert(read_json(folder / STUDY_FILE), TuneConfig)
    except msgspec.ValidationError as error:
        raise TuneError(f"{folder / STUDY_FILE} is not a study of this version: {error}") from error


def storage_url(folder: Path) -> str:
    """What Optuna and optuna-dashboard call the study's storage."""
    return f"sqlite:///{(folder / STORAGE_FILE).absolute()}"


def open_study(folder: Path, config: TuneConfig) -> optuna.Study:
    """The study in a folder, made if it is not there; its sampler is seeded by what the study has seen so far."""
    with _quiet():
        storage = optuna.storages.RDBStorage(
            storage_url(folder),
            engine_kwargs={"connect_args": {"timeout": _BUSY_S}},
            heartbeat_interval=config.heartbeat_s,
            grace_period=_GRACE * config.heartbeat_s,
            heartbeat_stale_trial_callback=optuna.storages.RetryHeartbeatStaleTrialCallback(
                max_retry=config.retries, inherit_intermediate_values=True
            ),
        )
        study = optuna.create_study(
            storage=storage, study_name=STUDY_NAME, direction="maximize", load_if_exists=True,
            pruner=optuna.pruners.MedianPruner(n_startup_trials=max(1, config.startup // 2)),
        )  # fmt: skip
        begun = sum(trial.state != TrialState.FAIL for trial in study.get_trials(deepcopy=False))
        study.sampler = optuna.samplers.TPESampler(
            seed=int(np.random.SeedSequence([config.seed, begun]).generate_state(1)[0]),
            n_startup_trials=config.startup,
            constant_liar=True,
        )
    return study


def settle(study: optuna.Study, config: TuneConfig) -> Counts:
    """Put back what dead workers left, and count. The caller holds the study's lock."""
    with _quiet():
        for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            if _is_dead(trial):  # seen at once on this machine, and even if it died before its first heartbeat
                study.tell(trial.number, state=TrialState.FAIL)
        optuna.storages.fail_stale_trials(study)
        retry = optuna.storages.RetryHeartbeatStaleTrialCallback(config.retries, inherit_intermediate_values=True)
        for trial in _abandoned(study):
            retry(study, trial)
    return counts_of(study, config)


def counts_of(study: optuna.Study, config: TuneConfig) -> Counts:
    """Trials by what became of them; a failed one whose settings are tried again does not count."""
    trials = study.get_trials(deepcopy=False)
    states = [trial.state for trial in trials]
    return Counts(
        complete=states.count(TrialState.COMPLETE),
        pruned=states.count(TrialState.PRUNED),
        failed=sum(_is_lost(trial, config) for trial in trials),
        running=states.count(TrialState.RUNNING),
        waiting=states.count(TrialState.WAITING),
    )


def work(folder: str) -> None:
    """Take trials until the study has enough. A process of its own calls this; it ends when its parent does."""
    root, parent = Path(folder), os.getppid()
    config = read_tune_config(root)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
    while True:
        with _locked(root / _LOCK_FILE) as let_go:
            study = open_study(root, config)
            counts = settle(study, config)
            if counts.finished >= config.trials:
                return
            if counts.waiting or counts.finished + counts.running < config.trials:
                study.optimize(
                    lambda trial: _one_trial(trial, root, config, let_go, parent), n_trials=1, catch=(LobgymError,)
                )
                continue
        _require_parent(parent)
        time.sleep(_POLL_S)


def _one_trial(trial: optuna.Trial, root: Path, config: TuneConfig, let_go: Any, parent: int) -> float:
    """Train with one choice of settings; its score."""
    params = {name: _suggest(trial, name, dimension) for name, dimension in config.search.items()}
    trial.set_user_attr(_CLAIMED, [trial.number, socket.gethostname(), os.getpid()])
    let_go()
    try:
        made = config.settings(params, root)
        digest = config_digest(made)
        trial.set_user_attr("run", digest[:16])
        made = made.replace(out=str(root / TRIALS_FOLDER / digest[:16]))
        tape = market_for(made.tape).tape.digest
        record_trial(root, "tune", tape, made.env_id, digest)
        score, sharpe, pruned = _train(trial, made, parent)
        record_trial(root, "tune", tape, made.env_id, digest, score, sharpe=sharpe)
    except LobgymError as error:
        trial.set_user_attr(_ERROR, str(error))
        raise
    except KeyboardInterrupt:
        trial.study.tell(trial, state=TrialState.FAIL)  # and `settle` puts its settings back
        raise
    if pruned:
        raise optuna.TrialPruned
    return score


def _train(trial: optuna.Trial, config: TrainConfig, parent: int) -> tuple[float, float | None, bool]:
    """(mean return of the last validation, its Sharpe ratio, whether the trial was pruned).

    A run that is there already goes on; one that was validated by a version without ratios has none.
    """
    folder = Path(config.out)
    folder.parent.mkdir(parents=True, exist_ok=True)
    told = dict(trial.study.get_trials(deepcopy=False)[trial.number].intermediate_values)
    pruned = False

    def validated(steps: int, score: float) -> bool:
        nonlocal pruned
        place = round(steps / config.validate_every)  # so that runs with rollouts of other lengths are compared
        if place not in told:
            told[place] = score
            trial.report(score, place)
        pruned = trial.should_prune()
        return not pruned

    def watched(_done: int, _total: int) -> None:
        _require_parent(parent)

    with _locked(folder.with_suffix(".lock")):  # two trials may have drawn the same settings
        record = folder / RECORD_FILE
        if not record.exists() or read_json(record).get("interrupted"):
            if (folder / CONFIG_FILE).exists():
                result = resume(folder, watched, on_validation=validated)
            else:
                result = train(config, watched, on_validation=validated)
            if result.record.interrupted and not pruned:
                raise KeyboardInterrupt
        with np.load(folder / EVALUATIONS_FILE) as file:
            sharpe = float(file["sharpes"][-1]) if "sharpes" in file else math.nan
            return float(np.mean(file["results"][-1])), None if math.isnan(sharpe) else sharpe, pruned


def _suggest(trial: optuna.Trial, name: str, dimension: Dimension) -> Any:
    if dimension.choices:
        return trial.suggest_categorical(name, list(dimension.choices))
    low, high = dimension.low, dimension.high
    assert low is not None
    assert high is not None
    if dimension.whole:
        return trial.suggest_int(name, int(low), int(high), log=dimension.log)
    return trial.suggest_float(name, float(low), float(high), log=dimension.log)


def _nested(name: str, value: Any) -> dict[str, Any]:
    return assignment(f"{name}={msgspec.json.encode(value).decode()}")


def _is_dead(trial: optuna.trial.FrozenTrial) -> bool:
    """Whether a running trial has no worker: nobody claimed it, or a process of this machine that is gone."""
    number, host, process = trial.user_attrs.get(_CLAIMED, (None, "", 0))
    if number != trial.number:
        return True
    if host != socket.gethostname():
        return False
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        pass
    return False


def _is_lost(trial: optuna.trial.FrozenTrial, config: TuneConfig) -> bool:
    """Whether a trial failed for good: by itself, or because its workers died once too often."""
    if trial.state != TrialState.FAIL or not trial.params:
        return False
    return _ERROR in trial.user_attrs or len(trial.system_attrs.get("retry_history", ())) >= config.retries


def _abandoned(study: optuna.Study) -> list[optuna.trial.FrozenTrial]:
    """Failed trials that did not fail by themselves and that nobody has put back."""
    trials = study.get_trials(deepcopy=True)
    again = {number for trial in trials for number in trial.system_attrs.get("retry_history", ())}
    return [
        trial
        for trial in trials
        if trial.state == TrialState.FAIL
        and trial.params
        and trial.number not in again
        and _ERROR not in trial.user_attrs
    ]


def _require_parent(parent: int) -> None:
    if os.getppid() != parent:
        raise KeyboardInterrupt  # nobody waits for the result any more


@contextmanager
def _locked(path: Path) -> Iterator[Any]:
    """Hold a lock that the operating system takes back from whoever dies; gives a function that lets go early."""
    with path.open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        try:
            yield lambda: fcntl.flock(file, fcntl.LOCK_UN)
        finally:
            fcntl.flock(file, fcntl.LOCK_UN)


@contextmanager
def _quiet() -> Iterator[None]:
    """Optuna calls its heartbeat experimental, and tells of every study that it opens."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            yield
    finally:
        optuna.logging.set_verbosity(before)


if __name__ == "__main__":
    try:
        work(sys.argv[1])
    except KeyboardInterrupt:
        sys.exit(130)
