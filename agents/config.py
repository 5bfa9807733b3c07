"""`TrainConfig`: everything that decides what a training run learns."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any, Final, Literal

import msgspec

from lobgym.agents.errors import TrainError
from lobgym.envs import RewardTerms
from lobgym.sim.params import SimParams

__all__ = ["ENV_IDS", "DqnSettings", "PpoSettings", "TrainConfig", "update_schedule"]

ENV_IDS: Final = {
    "grid": "lobgym/Grid-v0",
    "target": "lobgym/TargetPosition-v0",
    "maker": "lobgym/MarketMaking-v0",
    "execution": "lobgym/Execution-v0",
}
LANES_MAX: Final = 4096
_RATIO_DENOMINATOR_MAX: Final = 4096


@dataclass(frozen=True)
class PpoSettings:
    """PPO with large batches and few epochs: on a small machine the updates, not the market, are the bottleneck.

    Attributes:
        rollout_steps: vector steps between two updates.
        batch_size: transitions of a gradient step; at most a whole rollout (it is cut down to it).
        epochs: passes over a rollout.
    """

    learning_rate: float = 1e-3
    rollout_steps: int = 128
    batch_size: int = 2048
    epochs: int = 4
    gae_lambda: float = 0.95
    clip_range: float = 0.2
    entropy_coefficient: float = 0.0
    initial_log_std: float = -0.5


@dataclass(frozen=True)
class DqnSettings:
    """DQN whose work per transition does not depend on the number of lanes.

    Attributes:
        updates_per_transition: gradient steps per transition that was collected; with `batch_size` it fixes how often
            a transition is replayed on average (updates_per_transition * batch_size times).
        buffer_size, learning_starts, target_update_interval: in transitions.
        exploration_fraction: share of the run over which epsilon falls from 1 to `exploration_final`.
    """

    learning_rate: float = 5e-4
    updates_per_transition: float = 1 / 64
    batch_size: int = 256
    buffer_size: int = 200_000
    learning_starts: int = 5_000
    target_update_interval: int = 8_192
    exploration_fraction: float = 0.4
    exploration_final: float = 0.05


@dataclass(frozen=True)
class TrainConfig:
    """One training run; two runs of an equal config end in equal weights on the same machine.

    Attributes:
        algo: `ppo` or `dqn`.
        env: `target` (a choice of target positions), or one with continuous actions, for PPO only: `grid`, `maker` or
            `execution`.
        tape: what `lobgym.sim.tape.open_tape` takes; training uses its `train` split.
        total_steps: transitions over all lanes; rounded up to whole rollouts by the algorithm.
        num_envs: lanes of the one native vector environment.
        seed: seeds the lanes, the initial weights and the sampling.
        out: run folder, made by the run; it must not exist or be empty.
        gamma: discount per step.
        hidden: widths of the two networks' hidden layers.
        horizon: steps of an episode.
        reward: what a step is worth; its scale keeps returns near 1, which the networks' learning rate expects.
        params: the venue; None takes the default one.
        desk: fields of the DeskSpec that differ from the market's defaults.
        test_fraction, embargo_ns: share of the tape's time that training never sees, and the gap before it.
        threads: torch's threads; more than one does not pay for networks of this size.

    Raises:
        TrainError: a value outside its range, or an algorithm that the environment's actions exclude.
    """

    algo: Literal["ppo", "dqn"] = "ppo"
    env: Literal["grid", "target", "maker", "execution"] = "grid"
    tape: str = "synth:volatile"
    total_steps: int = 200_000
    num_envs: int = 64
    seed: int = 0
    out: str = "runs/train"
    gamma: float = 0.99
    hidden: tuple[int, ...] = (64, 64)
    horizon: int = 600
    reward: RewardTerms = field(default_factory=lambda: RewardTerms(scale=0.1))
    params: SimParams | None = None
    desk: dict[str, Any] = field(default_factory=dict)
    test_fraction: float = 0.3
    embargo_ns: int = 60_000_000_000
    threads: int = 1
    ppo: PpoSettings = PpoSettings()
    dqn: DqnSettings = DqnSettings()

    def __post_init__(self) -> None:
        if self.algo not in ("ppo", "dqn") or self.env not in ENV_IDS:
            raise TrainError(
                f"expected algo ppo or dqn and env one of {', '.join(ENV_IDS)}, got {self.algo!r} on {self.env!r}"
            )
        if self.algo == "dqn" and self.env != "target":
            raise TrainError(
                f"dqn needs a choice of actions, those of {self.env!r} are continuous: use env='target' or algo='ppo'"
            )
        if not 1 <= self.num_envs <= LANES_MAX:
            raise TrainError(f"expected 1 to {LANES_MAX} lanes, got num_envs={self.num_envs}")
        for name in ("total_steps", "horizon", "threads"):
            if getattr(self, name) < 1:
                raise TrainError(f"expected {name} >= 1, got {getattr(self, name)}")
        if not 0 <= self.seed < 2**31 or not 0.0 < self.gamma <= 1.0:
            raise TrainError(f"expected 0 <= seed < 2^31 and 0 < gamma <= 1, got {self.seed} and {self.gamma}")
        update_schedule(self.dqn.updates_per_transition, self.num_envs)

    @property
    def env_id(self) -> str:
        """Gymnasium id of the environment."""
        return ENV_IDS[self.env]

    def replace(self, **changes: Any) -> TrainConfig:
        """The same config with some fields changed, validated again."""
        return replace(self, **changes)

    def to_json(self) -> dict[str, Any]:
        """Plain data that `from_json` gives back unchanged."""
        plain: dict[str, Any] = msgspec.to_builtins(self)
        return plain

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> TrainConfig:
        """Raises TrainError for unknown fields or wrong types."""
        try:
            unknown = sorted(set(data) - set(cls.__dataclass_fields__))
            if unknown:
                raise TrainError(f"unknown fields {unknown} in a training config: remove them")
            return msgspec.convert(data, cls)
        except msgspec.ValidationError as error:
            raise TrainError(f"not a training config: {error}") from error


def update_schedule(updates_per_transition: float, num_envs: int) -> tuple[int, int]:
    """SB3's (train_freq, gradient_steps) that give exactly this ratio with `num_envs` lanes.

    SB3 counts `train_freq` in vector steps, so the same numbers with more lanes would mean fewer updates per
    transition. The smallest whole pair with gradient_steps / (train_freq * num_envs) == ratio is returned.

    Raises:
        TrainError: a ratio that is not positive, or no fraction with a denominator up to 4096.
    """
    if not 0.0 < updates_per_transition <= 64.0:
        raise TrainError(f"expected 0 < updates_per_transition <= 64, got {updates_per_transition}")
    ratio = Fraction(updates_per_transition).limit_denominator(_RATIO_DENOMINATOR_MAX)
    if not math.isclose(float(ratio), updates_per_transition, rel_tol=1e-9):
        raise TrainError(
            f"updates_per_transition={updates_per_transition} is no fraction with a denominator up to "
            f"{_RATIO_DENOMINATOR_MAX}: take one such as 1/16"
        )
    per_vector_step = ratio * num_envs
    return per_vector_step.denominator, per_vector_step.numerator
