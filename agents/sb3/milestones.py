"""What happens between two rollouts of a training: validations, the best model, checkpoints."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import torch
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.vec_env import VecEnv

from lobgym.agents.errors import TrainError
from lobgym.agents.policy import ModelPolicy
from lobgym.agents.sb3.checkpoint import save_checkpoint, save_model
from lobgym.agents.sb3.config import TrainConfig
from lobgym.agents.sb3.environment import VALIDATION_SEED, play
from lobgym.agents.sb3.runs import BEST_FILE, BestModel, weights_digest
from lobgym.agents.sb3.zoo import ledger_folder
from lobgym.agents.trials import record_trial, sharpe_ratio

__all__ = ["Milestones", "StopTraining", "require_finite"]

EVALUATIONS_FILE: Final = "evaluations.npz"


class StopTraining(Exception):
    """Ends a training early, with its model kept."""


class Milestones(BaseCallback):
    """Validates, keeps the best model and writes checkpoints, always between two rollouts.

    Args:
        folder: of the run.
        core: of the training environment, for checkpoints.
        env: to validate in; None where the config wants no validation.
        on_validation: told (transitions, mean return); False ends the training.
        notes: those of the checkpoint that the run goes on from.
    """

    def __init__(
        self,
        config: TrainConfig,
        folder: Path,
        core: Any,
        env: VecEnv | None,
        on_validation: Callable[[int, float], bool] | None = None,
        notes: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(verbose=0)
        self._config, self._folder, self._core, self._env = config, folder, core, env
        self._on_validation = on_validation
        notes = notes or {}
        self._validated: list[int] = notes.get("validated", [])
        self._returns: list[list[float]] = notes.get("returns", [])
        self._lengths: list[list[int]] = notes.get("lengths", [])
        self._sharpes: list[float | None] = notes.get("sharpes", [None] * len(self._validated))
        best = notes.get("best")
        self.best: BestModel | None = None if best is None else msgspec.convert(best, BestModel)
        self._before = float(notes.get("seconds", 0.0))
        self._began = time.perf_counter()
        self._checkpointed = int(notes.get("checkpointed", 0))

    @property
    def seconds(self) -> float:
        """Wall time of the run so far, without what was lost in between."""
        return self._before + time.perf_counter() - self._began

    def _on_step(self) -> bool:
        return True

    def _on_rollout_start(self) -> None:
        steps, config = self.model.num_timesteps, self._config
        if config.validate_every and steps - self._last_validated >= config.validate_every:
            self.validate()
        if config.checkpoint_every and steps - self._checkpointed >= config.checkpoint_every:
            require_finite(self.model)
            self._checkpointed = steps
            save_checkpoint(self._folder, self.model, self._core, self._notes())

    @property
    def best_sharpe(self) -> float | None:
        """Of the best model's PnL over the validation's episodes; None where it is not known."""
        return None if self.best is None else self._sharpes[self._validated.index(self.best.steps)]

    @property
    def _last_validated(self) -> int:
        return self._validated[-1] if self._validated else 0

    def validate(self) -> None:
        """Validate now, unless these weights were validated already.

        Raises:
            StopTraining: whoever is told does not want to go on.
        """
        steps = int(self.model.num_timesteps)
        if self._env is None or (self._validated and self._last_validated == steps):
            return
        self._env.seed(VALIDATION_SEED)
        outcome = play(ModelPolicy(self.model, "validation"), self._env)
        score = float(np.mean(outcome.returns))
        self._validated.append(steps)
        self._returns.append(outcome.returns.tolist())
        self._lengths.append(outcome.summary["steps"].tolist())
        self._sharpes.append(sharpe_ratio(outcome.summary["pnl_units"].tolist()))
        self._write_evaluations()
        self.logger.record("eval/mean_reward", score)
        self.logger.record("eval/mean_ep_length", float(np.mean(outcome.summary["steps"])))
        digest = weights_digest(self.model)
        tape = self._core.market.tape.digest
        ledger = ledger_folder(self._folder, self._config)
        sharpe = self._sharpes[-1]
        record_trial(ledger, "checkpoint", tape, self._config.env_id, digest, score, sharpe=sharpe)
        if self.best is None or score > self.best.score:
            require_finite(self.model)
            self.best = BestModel(save_model(self.model, self._folder / BEST_FILE), digest, steps, score)
        if self._on_validation is not None and not self._on_validation(steps, score):
            raise StopTraining

    def _notes(self) -> dict[str, Any]:
        return {
            "validated": self._validated,
            "returns": self._returns,
            "lengths": self._lengths,
            "sharpes": self._sharpes,
            "best": None if self.best is None else msgspec.to_builtins(self.best),
            "checkpointed": self._checkpointed,
            "seconds": round(self.seconds, 3),
        }

    def _write_evaluations(self) -> None:
        """The file that SB3's and rl_zoo3's plots read."""
        path = self._folder / EVALUATIONS_FILE
        aside = path.with_name(f"aside-{path.name}")
        sharpes = np.array([np.nan if one is None else one for one in self._sharpes], np.float64)
        np.savez(aside, timesteps=self._validated, results=self._returns, ep_lengths=self._lengths, sharpes=sharpes)
        os.replace(aside, path)


def require_finite(model: Any) -> None:
    """Raises TrainError for weights that are no longer finite."""
    if not all(bool(torch.isfinite(tensor).all()) for tensor in model.policy.state_dict().values()):
        raise TrainError("the weights are no longer finite: lower the learning rate or the reward's scale")
