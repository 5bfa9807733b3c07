"""`tune`: a search over settings with Optuna, by several worker processes that may be killed.

    study.json          what is searched (TuneConfig)
    study.db            Optuna's storage: `optuna-dashboard sqlite:///STUDY/study.db`
    trials/<digest>/    one run folder for each choice of settings
    best.yml            the best settings so far, for `lobgym train --config`
    workers.log         what workers said on stderr

A trial is one training; its score is the mean return of its last validation, on episodes that no training sees and
that are not those kept for testing. Bad trials are pruned at their validations. What happens to trials whose worker
dies is told in `lobgym.agents.sb3.tuning`.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import optuna
import yaml
from optuna.trial import TrialState

from lobgym.agents.errors import RunFolderError, TuneError
from lobgym.agents.files import write_bytes, write_json
from lobgym.agents.sb3.config import TrainConfig
from lobgym.agents.sb3.defaults import assignment, merged
from lobgym.agents.sb3.environment import compile_kernels, validation_fits
from lobgym.agents.sb3.tuning import STUDY_FILE, Counts, TuneConfig, counts_of, open_study, read_tune_config

__all__ = ["TuneResult", "resume_tune", "tune"]

BEST_FILE: Final = "best.yml"
LOG_FILE: Final = "workers.log"
WORKERS_MAX: Final = 256
_POLL_S: Final = 0.5
_FAREWELL_S: Final = 30.0  # how long an interrupted worker may take to put its trial back


@dataclass(frozen=True)
class TuneResult:
    """What a study has found so far.

    Attributes:
        best: the best settings, nested as `TrainConfig` has them; empty where no trial was completed.
        score: theirs.
        restarts: workers that died and were started again.
    """

    folder: Path
    counts: Counts
    best: dict[str, Any]
    score: float | None
    run: Path | None
    restarts: int
    interrupted: bool


def tune(
    config: TuneConfig,
    out: str | Path,
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> TuneResult:
    """Search from the beginning, in a new folder. The first trial has the settings that the search starts from.

    Args:
        workers: processes; each trains one trial at a time with one thread.
        progress: called with (trials finished, trials wanted).

    Raises:
        RunFolderError: `out` holds something already.
        TuneError: settings that cannot validate on their tape, or workers that keep dying.
    """
    folder = Path(out)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        known = " or resume it" if (folder / STUDY_FILE).exists() else ""
        raise RunFolderError(f"{folder} is not empty: choose another out folder{known}, studies are never overwritten")
    _require_workers(workers)
    why_not = validation_fits(TrainConfig.from_json(config.base))
    if why_not:
        raise TuneError(f"trials are compared by their validations, but {why_not}")
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / STUDY_FILE, config)
    begun = config.begin_with()
    if begun is not None:
        open_study(folder, config).enqueue_trial(begun, skip_if_exists=True)
    return _search(folder, config, workers, progress)


def resume_tune(
    folder: str | Path,
    workers: int = 1,
    trials: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> TuneResult:
    """Go on with a study, or extend it to more trials.

    Raises:
        RunFolderError: there is no study. TuneError: fewer trials than it has, or workers that keep dying.
    """
    root = Path(folder)
    config = read_tune_config(root)
    _require_workers(workers)
    if trials is not None and trials != config.trials:
        if trials < config.trials:
            raise TuneError(f"{root} was asked for {config.trials} trials: give as many or more, got {trials}")
        config = replace(config, trials=trials)
        write_json(root / STUDY_FILE, config)
    return _search(root, config, workers, progress)


def _search(folder: Path, config: TuneConfig, workers: int, progress: Callable[[int, int], None] | None) -> TuneResult:
    study = open_study(folder, config)
    compile_kernels(TrainConfig.from_json(config.base))  # once, and not by every worker
    restarts, interrupted = 0, False
    with (folder / LOG_FILE).open("ab") as log:
        crew = [_start(folder, log) for _ in range(workers)]
        try:
            while crew:
                time.sleep(_POLL_S)
                if progress is not None:
                    progress(min(counts_of(study, config).finished, config.trials), config.trials)
                dead = [one for one in crew if one.poll() not in (None, 0)]
                crew = [one for one in crew if one.poll() is None]
                restarts += len(dead)
                if restarts > config.retries * workers:
                    raise TuneError(f"{restarts} workers died: see {folder / LOG_FILE}, then resume the study")
                crew += [_start(folder, log) for _ in dead]
        except KeyboardInterrupt:
            interrupted = True
        finally:
            _dismiss(crew)
    return _result(folder, config, study, restarts, interrupted)


def _start(folder: Path, log: Any) -> subprocess.Popen[bytes]:
    # In a session of its own: Ctrl-C reaches it through `_dismiss` alone, once.
    words = [sys.executable, "-m", "lobgym.agents.sb3.tuning", str(folder)]
    return subprocess.Popen(words, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True)


def _dismiss(crew: list[subprocess.Popen[bytes]]) -> None:
    for one in crew:
        if one.poll() is None:
            one.send_signal(signal.SIGINT)
    for one in crew:
        try:
            one.wait(_FAREWELL_S)
        except subprocess.TimeoutExpired:
            one.kill()
            one.wait()


def _result(folder: Path, config: TuneConfig, study: optuna.Study, restarts: int, interrupted: bool) -> TuneResult:
    """Sum up, and write the best settings down."""
    complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    counts = counts_of(study, config)
    if not complete:
        return TuneResult(folder, counts, {}, None, None, restarts, interrupted)
    best = max(complete, key=lambda trial: (trial.value or 0.0, -trial.number))
    layers = [assignment(f"{name}={json.dumps(value)}") for name, value in best.params.items()]
    settings = merged(*layers)
    base = TrainConfig.from_json(config.base)
    head = (
        f"# {base.algo} on {base.env}, {base.tape}, {base.total_steps} transitions: trial {best.number} of "
        f"{counts.finished}, score {best.value}\n"
    )
    write_bytes(folder / BEST_FILE, (head + yaml.safe_dump(settings, sort_keys=True)).encode())
    run = folder / "trials" / str(best.user_attrs.get("run", ""))
    return TuneResult(folder, counts, settings, best.value, run, restarts, interrupted)


def _require_workers(workers: int) -> None:
    if not 1 <= workers <= WORKERS_MAX:
        raise TuneError(f"expected 1 to {WORKERS_MAX} workers, got {workers}")
