"""What a search has found beside what it began with, trained anew, on episodes that the search has not seen.

The best of many trials looks good by chance: its validations chose it. So both choices of settings are trained with
seeds that the search did not use, and every model plays the same episodes on the part of the tape that is kept for
testing.

    confirm/start-<seed>/, confirm/best-<seed>/    run folders; those that are finished are not trained again
    confirm.json                                   what came out
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal

from lobgym.agents.errors import TuneError
from lobgym.agents.files import CONFIG_FILE, RECORD_FILE, read_json, write_json
from lobgym.agents.sb3.config import TrainConfig
from lobgym.agents.sb3.defaults import merged, read_settings
from lobgym.agents.sb3.train import resume, train
from lobgym.agents.sb3.tune import BEST_FILE
from lobgym.agents.sb3.tuning import read_tune_config
from lobgym.experiments.evaluation.assess import assess, open_subject
from lobgym.experiments.evaluation.intervals import IqmInterval, apart, iqm_difference, iqm_interval

__all__ = ["Confirmation", "confirm"]

CONFIRM_FOLDER: Final = "confirm"
CONFIRM_FILE: Final = "confirm.json"
SEEDS_MIN: Final = 2
_EPISODE_SEEDS: Final = 4  # of the episodes, each with as many as are asked for


@dataclass(frozen=True)
class Confirmation:
    """Scores of both choices of settings, one for each training seed; more is better.

    Attributes:
        measure: what is scored: PnL an episode, fees paid, in the settlement currency; or the cost of a parent order
            in bps of its value, negative.
        start, best: interquartile means over training seeds, with intervals.
        difference: of best less start, paired by seed.
        better: whether the interval of best lies wholly above that of start.
    """

    measure: Literal["pnl", "-cost_bps"]
    seeds: tuple[int, ...]
    start_scores: tuple[float, ...]
    best_scores: tuple[float, ...]
    start: IqmInterval
    best: IqmInterval
    difference: IqmInterval
    better: bool

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


def confirm(
    folder: str | Path, seeds: int = 5, episodes: int = 8, progress: Callable[[int, int], None] | None = None
) -> Confirmation:
    """Train the best settings of a study and those it began with, `seeds` times each, and compare them.

    Args:
        episodes: for each of four seeds of episodes, the same ones for every model.
        progress: called with (models done, models wanted).

    Raises:
        RunFolderError: there is no study. TuneError: it has found nothing yet, or fewer than two seeds are asked for.
    """
    root = Path(folder)
    study = read_tune_config(root)
    if seeds < SEEDS_MIN:
        raise TuneError(f"expected at least {SEEDS_MIN} seeds, got {seeds}")
    if not (root / BEST_FILE).is_file():
        raise TuneError(f"{root} has completed no trial yet: resume it first")
    begun = TrainConfig.from_json(study.base)
    found = TrainConfig.from_json(merged(study.base, read_settings(root / BEST_FILE)))
    numbers = tuple(begun.seed + 1 + k for k in range(seeds))  # the trials have trained with begun.seed
    scores: dict[str, list[float]] = {"start": [], "best": []}
    for seed in numbers:
        for name, config in (("start", begun), ("best", found)):
            run = root / CONFIRM_FOLDER / f"{name}-{seed}"
            _train(replace(config, seed=seed, out=str(run), validate_every=0))
            scores[name].append(_score(run, config.tape, episodes))
            if progress is not None:
                progress(sum(map(len, scores.values())), 2 * seeds)
    start, best = iqm_interval(scores["start"]), iqm_interval(scores["best"])
    made = Confirmation(
        "-cost_bps" if begun.env == "execution" else "pnl",
        numbers,
        tuple(scores["start"]),
        tuple(scores["best"]),
        start,
        best,
        iqm_difference(scores["best"], scores["start"]),
        apart(best, start),
    )
    write_json(root / CONFIRM_FILE, made)
    return made


def _train(config: TrainConfig) -> None:
    """Train, or go on, or find it done."""
    run = Path(config.out)
    run.parent.mkdir(parents=True, exist_ok=True)
    if (run / RECORD_FILE).exists() and not read_json(run / RECORD_FILE).get("interrupted"):
        return
    result = resume(run) if (run / CONFIG_FILE).exists() else train(config)
    if result.record.interrupted:
        raise KeyboardInterrupt


def _score(run: Path, tape: str, episodes: int) -> float:
    """Mean over all episodes on the test part."""
    made = assess(open_subject(run), tape, "test", _EPISODE_SEEDS, episodes)
    return -made.interval.mean if made.measure == "cost_bps" else made.interval.mean
