"""What the models got right: filled or not, when, how much, and where in the queue; with intervals.

The bootstrap resamples blocks of time (all probes that entered within one), because orders that stand at the same
time share their fate. The draws have a fixed seed and are the same for all models, so differences are paired.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from lobgym.experiments.queue_score.play import DEFAULT, Played
from lobgym.experiments.queue_score.probes import AGES_NS, FILLED, Probe
from lobgym.experiments.queue_score.survival import AT_RISK_MIN, Curves, sup_distances, survival

__all__ = ["GRACE_NS", "REGIMES", "score"]

REGIMES: Final = ("all", "behind others", "first in the queue", "at the touch", "1 to 5 ticks deep", "deeper")
BLOCK_NS: Final = 900_000_000_000
RESAMPLES: Final = 1_000
GRACE_NS: Final = 1_000_000_000  # one sweep's messages come within tens of milliseconds, in no order that matters
_FLOOR_S: Final = 0.001  # below the feed's clock
_LEVEL: Final = 0.95
_TIMES_S: Final = (
    0.1,
    0.3,
    1.0,
    3.0,
    10.0,
    20.0,
    30.0,
    45.0,
    *(60.0 * m for m in (1, 2, 3, 5, 7, 10, 15, 20, 30, 45, 60)),
)


def score(
    probes: Sequence[Probe],
    played: Played,
    block_ns: int = BLOCK_NS,
    resamples: int = RESAMPLES,
    seed: int = 0,
    groups: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Plain data: for each regime, and each of `groups` (bool[probes]), the truth and each model's figures beside it.

    A probe is a *hit* if original and probe were filled to the last lot, the probe by the time of the original's
    last fill; *late* if it was up to GRACE_NS later; *missed* if later or never; *false* if the probe was filled
    and its original had been cancelled unfilled. Intervals are [low, high] of 95%, null where nothing was measured.
    Probes that did not come to rest under all models count in `not_placed` only.
    """
    truth = _Truth(probes, played)
    names, block = np.unique(truth.entry_ns // block_ns, return_inverse=True)
    rng = np.random.default_rng(seed)
    draws = rng.multinomial(len(names), np.full(len(names), 1.0 / max(len(names), 1)), size=resamples)
    rested = played.placed.all(axis=1)
    masks = {
        "all": rested,
        "behind others": rested & (truth.front > 0),
        "first in the queue": rested & (truth.front == 0),
        "at the touch": rested & (played.away <= 0),
        "1 to 5 ticks deep": rested & (played.away >= 1) & (played.away <= 5),
        "deeper": rested & (played.away > 5),
        **{name: rested & group for name, group in (groups or {}).items()},
    }
    return {
        "probes": len(probes),
        "not_placed": int((~rested).sum()),
        "blocks": len(names),
        "block_s": block_ns / 1e9,
        "resamples": resamples,
        "seed": seed,
        "level": _LEVEL,
        "grace_s": GRACE_NS / 1e9,
        "curves_known_while_at_risk": AT_RISK_MIN,
        "default": played.models[DEFAULT].name if len(played.models) > DEFAULT else None,
        "regimes": {
            name: _regime(truth, played, np.flatnonzero(mask), _Blocks(block, draws.astype(np.float64)))
            for name, mask in masks.items()
        },
    }


class _Truth:
    """The probes as columns."""

    def __init__(self, probes: Sequence[Probe], played: Played) -> None:
        def column(values: Any) -> Any:
            return np.array(list(values), dtype=np.int64)

        self.entry_ns = column(one.entry_ns for one in probes)
        self.end_ns = column(one.end_ns for one in probes)
        self.qty = column(one.qty for one in probes)
        self.lots = column(one.filled for one in probes)
        self.front = column(one.front for one in probes)
        self.filled = np.array([one.ended == FILLED for one in probes], dtype=bool)
        self.fronts = np.full((len(probes), len(AGES_NS)), np.nan)
        for n, one in enumerate(probes):
            for age, lots in one.fronts:
                self.fronts[n, AGES_NS.index(age)] = lots
        self.seconds = (self.end_ns - self.entry_ns) / 1e9


class _Blocks:
    """Intervals of sums and means: a resample is a number of times that each block counts."""

    def __init__(self, block: Any, draws: Any) -> None:
        self.block, self.draws = block, draws

    def _sums(self, rows: Any, values: Any) -> Any:
        """float64[resamples]"""
        return self.draws @ np.bincount(self.block[rows], weights=values, minlength=self.draws.shape[1])

    def of_sum(self, rows: Any, values: Any) -> list[float] | None:
        """Interval of the sum of values[i], that of probe rows[i]."""
        return _interval(self._sums(rows, values)) if len(rows) else None

    def of_mean(self, rows: Any, values: Any, root: bool = False) -> list[float] | None:
        """Interval of the mean, or of its root; resamples that drew none of the probes say nothing."""
        if len(rows) == 0:
            return None
        sums, counts = self._sums(rows, values), self._sums(rows, np.ones(len(rows)))
        means = sums[counts > 0] / counts[counts > 0]
        return _interval(np.sqrt(np.maximum(means, 0.0)) if root else means)

    def curves(self, rows: Any, seconds: Any, filled: Any) -> tuple[Curves, Curves]:
        """The estimate, and those of the resamples."""
        return survival(seconds, filled), survival(seconds, filled, self.block[rows], self.draws)


def _regime(truth: _Truth, played: Played, rows: Any, blocks: _Blocks) -> dict[str, Any]:
    filled = truth.filled[rows]
    curves = blocks.curves(rows, truth.seconds[rows], filled)
    return {
        "truth": {
            "probes": len(rows),
            "filled": int(filled.sum()),
            "partly_filled": int(((truth.lots[rows] > 0) & ~filled).sum()),
            "filled_share": _mean(truth.lots[rows] / truth.qty[rows]),
            "not_filled_after": _points(curves[0]),
        },
        "models": {
            model.name: _Figures(truth, played, rows, m, blocks).to_json(curves)
            for m, model in enumerate(played.models)
        },
    }


class _Figures:
    """One model in one regime."""

    def __init__(self, truth: _Truth, played: Played, rows: Any, model: int, blocks: _Blocks) -> None:
        self.truth, self.played, self.rows, self.model, self.blocks = truth, played, rows, model, blocks
        self.usual = DEFAULT if len(played.models) > DEFAULT else 0
        self.filled = truth.filled[rows]
        self.done = played.done_ns[rows, model]

    def _wrong(self, model: int) -> tuple[Any, Any, Any]:
        """bool[n] each: late, missed, false."""
        done, end = self.played.done_ns[self.rows, model], self.truth.end_ns[self.rows]
        soon, ever = (done >= 0) & (done <= end), (done >= 0) & (done <= end + GRACE_NS)
        return self.filled & ~soon & ever, self.filled & ~ever, ~self.filled & soon

    def to_json(self, curves: tuple[Curves, Curves]) -> dict[str, Any]:
        """All figures."""
        late, missed, false = self._wrong(self.model)
        usual_late, usual_missed, usual_false = self._wrong(self.usual)
        wrong = (late | missed | false).astype(np.float64)
        more = wrong - (usual_late | usual_missed | usual_false)
        # What a late probe got is the original's; nothing after a cancellation is anybody's.
        lots = np.where(late, self.truth.qty[self.rows], self.played.filled[self.rows, self.model])
        modelled, real = lots / self.truth.qty[self.rows], self.truth.lots[self.rows] / self.truth.qty[self.rows]
        return {
            "hits": int(self.filled.sum() - late.sum() - missed.sum()),
            "late": int(late.sum()),
            "missed": int(missed.sum()),
            "false": int(false.sum()),
            "correct": _mean(1.0 - wrong),
            "correct_interval": self.blocks.of_mean(self.rows, 1.0 - wrong),
            "wrong_more_than_default": int(more.sum()),
            "wrong_more_than_default_interval": self.blocks.of_sum(self.rows, more),
            "filled_share": _mean(modelled),
            "filled_share_error": _mean(modelled - real),
            "filled_share_error_interval": self.blocks.of_mean(self.rows, modelled - real),
            "filled_share_absolute_error": _mean(np.abs(modelled - real)),
            "time": self._time(),
            "survival": self._survival(*curves),
            "front": [self._front(k) for k in range(len(AGES_NS))],
        }

    def _time(self) -> dict[str, Any]:
        """How late the probe's last lot was, where it and its original were filled, soon or late."""
        both = np.flatnonzero(self.filled & (self.done >= 0))
        real = self.truth.seconds[self.rows][both]
        ours = (self.done[both] - self.truth.entry_ns[self.rows][both]) / 1e9
        ratio = np.log((ours + _FLOOR_S) / (real + _FLOOR_S))
        return {
            "both_filled": len(both),
            "median_error_s": _median(ours - real),
            "mean_error_s": _mean(ours - real),
            "median_log_ratio": _median(ratio),
            "mean_log_ratio": _mean(ratio),
            "mean_log_ratio_interval": self.blocks.of_mean(self.rows[both], ratio),
            "mean_absolute_log_ratio": _mean(np.abs(ratio)),
            "within_1_s": _mean((np.abs(ours - real) <= 1.0).astype(np.float64)),
        }

    def _survival(self, real: Curves, resampled: Curves) -> dict[str, Any]:
        """Its curve of the time to the last fill, and how far that is from the true one at most.

        Of an order that was cancelled, nothing after that counts; a filled one's probe was watched for longer.
        """
        until = np.where(self.done >= 0, self.done, self.played.until_ns[self.rows])
        seconds = (until - self.truth.entry_ns[self.rows]) / 1e9
        ours, ours_resampled = self.blocks.curves(self.rows, seconds, self.done >= 0)
        return {
            "sup_distance": float(sup_distances(real, ours)[0]),
            "sup_distance_interval": _interval(sup_distances(resampled, ours_resampled)),
            "not_filled_after": _points(ours),
        }

    def _front(self, k: int) -> dict[str, Any]:
        """Error of the front at an age, in units of what the level displayed before the order when it came."""
        front, real = self.truth.front[self.rows], self.truth.fronts[self.rows, k]
        some = np.flatnonzero((front > 0) & ~np.isnan(real))
        error, usual = (
            (self.played.fronts[self.rows[some], model, k] - real[some]) / front[some]
            for model in (self.model, self.usual)
        )
        return {
            "age_s": AGES_NS[k] / 1e9,
            "orders": len(some),
            "mean_error": _mean(error),
            "mean_error_interval": self.blocks.of_mean(self.rows[some], error),
            "rmse": float(np.sqrt(np.mean(error**2))) if len(some) else None,
            "rmse_interval": self.blocks.of_mean(self.rows[some], error**2, root=True),
            "mean_square_more_than_default": _mean(error**2 - usual**2),
            "mean_square_more_than_default_interval": self.blocks.of_mean(self.rows[some], error**2 - usual**2),
        }


def _mean(values: Any) -> float | None:
    return float(values.mean()) if len(values) else None


def _median(values: Any) -> float | None:
    return float(np.median(values)) if len(values) else None


def _interval(figures: Any) -> list[float] | None:
    """Bounds that leave out 2.5% at each end."""
    if len(figures) == 0:
        return None
    tail = (1.0 - _LEVEL) / 2.0
    return [float(bound) for bound in np.quantile(figures, [tail, 1.0 - tail])]


def _points(curves: Curves) -> list[list[float]]:
    """[seconds, share not filled] of the first curve at round times, as far as it is known."""
    times = [t for t in _TIMES_S if t <= curves.until]
    return [[t, float(share)] for t, share in zip(times, curves.at(np.array(times))[0], strict=True)] if times else []
