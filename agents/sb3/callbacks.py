"""SB3 callbacks: trading figures in the logs, progress for whoever watches."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from stable_baselines3.common.callbacks import BaseCallback

__all__ = ["EPISODE_FIGURES", "ProgressCallback", "TradingCallback"]

# Key of an ended episode's info -> name in the logs.
EPISODE_FIGURES: Final[Mapping[str, str]] = {
    "pnl": "trading/pnl",
    "max_abs_inventory": "trading/inventory",
    "fees": "trading/fees",
    "turnover": "trading/turnover",
}


class TradingCallback(BaseCallback):
    """Averages the figures of the episodes that ended since the last dump into `trading/...`.

    Reads `infos[lane]["episode"]` (money in quote units, the largest |position| in lots) and, for the fill rate
    (orders with a fill per order sent), `infos[lane]["summary"]`; what an environment does not give is left out.
    """

    def __init__(self) -> None:
        super().__init__(verbose=0)
        self.episodes = 0

    def _on_step(self) -> bool:
        dones = self.locals["dones"]
        if not dones.any():
            return True
        infos: list[dict[str, Any]] = self.locals["infos"]
        for lane in dones.nonzero()[0]:
            self.episodes += 1
            episode, summary = infos[lane].get("episode", {}), infos[lane].get("summary", {})
            for key, name in EPISODE_FIGURES.items():
                if key in episode:
                    self.logger.record_mean(name, float(episode[key]))
            if summary.get("submits"):
                self.logger.record_mean("trading/fill_rate", summary["filled_orders"] / summary["submits"])
        return True


class ProgressCallback(BaseCallback):
    """Calls `progress(transitions_done, transitions_total)` about `reports` times during a training run."""

    def __init__(self, progress: Callable[[int, int], None], total: int, reports: int = 200) -> None:
        super().__init__(verbose=0)
        self._progress = progress
        self._total = total
        self._every = max(1, total // reports)
        self._next = 0

    def _on_step(self) -> bool:
        if self.num_timesteps >= self._next:
            self._next = self.num_timesteps + self._every
            self._progress(min(self.num_timesteps, self._total), self._total)
        return True

    def _on_training_end(self) -> None:
        self._progress(self._total, self._total)
