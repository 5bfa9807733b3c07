"""Settings of the algorithms, one frozen dataclass each; `TrainConfig` holds one of every kind."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final

from lobgym.agents.errors import TrainError

__all__ = [
    "ALGOS",
    "ALGOS_CONTINUOUS",
    "ALGOS_DISCRETE",
    "DqnSettings",
    "LstmSettings",
    "PpoSettings",
    "QrDqnSettings",
    "RouterSettings",
    "SacSettings",
    "update_schedule",
]

# Which algorithms can act in which space; the names are rl_zoo3's.
ALGOS_DISCRETE: Final = ("ppo", "dqn", "qrdqn", "ppo_lstm")
ALGOS_CONTINUOUS: Final = ("ppo", "sac", "ppo_lstm")
ALGOS: Final = ("ppo", "dqn", "sac", "qrdqn", "ppo_lstm")

_RATIO_DENOMINATOR_MAX: Final = 4096
_BUFFER_MAX: Final = 20_000_000
_COUNT_MAX: Final = 1 << 24
_INNER_KINDS: Final = ("grid", "target", "maker", "execution")


@dataclass(frozen=True)
class PpoSettings:
    """PPO with large batches and few epochs: on a small machine the updates, not the market, are the bottleneck.

    Attributes:
        rollout_steps: vector steps between two updates.
        batch_size: transitions of a gradient step; at most a whole rollout (it is cut down to it).
        epochs: passes over a rollout.

    Raises:
        TrainError: a value outside its range, here as in all settings.
    """

    learning_rate: float = 1e-3
    rollout_steps: int = 128
    batch_size: int = 2048
    epochs: int = 4
    gae_lambda: float = 0.95
    clip_range: float = 0.2
    entropy_coefficient: float = 0.0
    initial_log_std: float = -0.5

    def __post_init__(self) -> None:
        _check(self, learning_rate=(0.0, 1.0), gae_lambda=(0.0, 1.0), clip_range=(0.0, 10.0))
        _check(self, rollout_steps=(1, _COUNT_MAX), batch_size=(2, _COUNT_MAX), epochs=(1, 1000))
        if not (math.isfinite(self.entropy_coefficient) and self.entropy_coefficient >= 0.0):
            raise TrainError(f"expected entropy_coefficient >= 0, got {self.entropy_coefficient}")
        if not -20.0 <= self.initial_log_std <= 5.0:
            raise TrainError(f"expected initial_log_std from -20 to 5, got {self.initial_log_std}")


@dataclass(frozen=True)
class LstmSettings(PpoSettings):
    """PPO of sb3-contrib whose actor and critic remember: one LSTM layer each, below the hidden layers.

    An update walks whole sequences, so it is about twenty times slower a transition than that of `PpoSettings`.

    Attributes:
        lstm_size: width of the LSTM's state.
    """

    rollout_steps: int = 64
    batch_size: int = 512
    epochs: int = 2
    lstm_size: int = 32

    def __post_init__(self) -> None:
        super().__post_init__()
        _check(self, lstm_size=(1, 4096))


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

    def __post_init__(self) -> None:
        _check(self, learning_rate=(0.0, 1.0), batch_size=(1, _COUNT_MAX), buffer_size=(1, _BUFFER_MAX))
        _check(self, target_update_interval=(1, _COUNT_MAX), exploration_fraction=(0.0, 1.0))
        if not 0.0 <= self.exploration_final <= 1.0 or not 0 <= self.learning_starts <= _COUNT_MAX:
            raise TrainError(
                f"expected exploration_final from 0 to 1 and learning_starts from 0 to {_COUNT_MAX}, got "
                f"{self.exploration_final} and {self.learning_starts}"
            )
        update_schedule(self.updates_per_transition, 1)


@dataclass(frozen=True)
class QrDqnSettings(DqnSettings):
    """QR-DQN of sb3-contrib (Dabney et al. 2018): quantiles of the return in place of its mean.

    Attributes:
        quantiles: of each action's return.
    """

    quantiles: int = 25

    def __post_init__(self) -> None:
        super().__post_init__()
        _check(self, quantiles=(1, 1000))


@dataclass(frozen=True)
class SacSettings:
    """SAC with an explicit ratio of updates to transitions, as `DqnSettings` has it.

    Attributes:
        tau: share of the networks that the target networks take over at each update.
        entropy: weight of the entropy; None has it learned, from 0.1 on.
    """

    learning_rate: float = 5e-4
    updates_per_transition: float = 1 / 64
    batch_size: int = 256
    buffer_size: int = 200_000
    learning_starts: int = 5_000
    tau: float = 0.02
    entropy: float | None = None

    def __post_init__(self) -> None:
        _check(self, learning_rate=(0.0, 1.0), tau=(0.0, 1.0), batch_size=(1, _COUNT_MAX), buffer_size=(1, _BUFFER_MAX))
        if not 0 <= self.learning_starts <= _COUNT_MAX:
            raise TrainError(f"expected learning_starts from 0 to {_COUNT_MAX}, got {self.learning_starts}")
        if self.entropy is not None and not 0.0 <= self.entropy <= 1000.0:
            raise TrainError(f"expected entropy from 0 to 1000, or none to have it learned, got {self.entropy}")
        update_schedule(self.updates_per_transition, 1)


@dataclass(frozen=True)
class RouterSettings:
    """What a router stands on.

    Attributes:
        kind: of the environment below, with its default pool of rules: grid, target, maker or execution.
        macro_steps: steps of it that one choice lasts.
    """

    kind: str = "grid"
    macro_steps: int = 120

    def __post_init__(self) -> None:
        if self.kind not in _INNER_KINDS:
            raise TrainError(f"a router stands on one of {', '.join(_INNER_KINDS)}, got {self.kind!r}")
        _check(self, macro_steps=(1, 1 << 20))


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


def _check(settings: Any, **ranges: tuple[float, float]) -> None:
    """Bounds that are integers want an integer within them; others a number above the lower and up to the upper one."""
    for name, (low, high) in ranges.items():
        value = getattr(settings, name)
        if isinstance(low, int):
            if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
                raise TrainError(f"expected an integer {name} from {low} to {high}, got {value!r}")
        elif not isinstance(value, (int, float)) or isinstance(value, bool) or not low < value <= high:
            raise TrainError(f"expected {name} above {low:g} and at most {high:g}, got {value!r}")
