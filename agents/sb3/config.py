"""`TrainConfig`: everything that decides what a training run learns."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import Any, Final, Literal

import msgspec

from lobgym.agents.errors import TrainError
from lobgym.agents.plain import refuse_unknown
from lobgym.agents.sb3.settings import (
    ALGOS,
    ALGOS_CONTINUOUS,
    ALGOS_DISCRETE,
    DqnSettings,
    LstmSettings,
    PpoSettings,
    QrDqnSettings,
    RouterSettings,
    SacSettings,
    update_schedule,
)
from lobgym.envs import RewardTerms
from lobgym.sim.errors import ParamsError
from lobgym.sim.params import SimParams

__all__ = ["ENV_IDS", "Algo", "DqnSettings", "Env", "PpoSettings", "TrainConfig", "update_schedule"]

Algo = Literal["ppo", "dqn", "sac", "qrdqn", "ppo_lstm"]
Env = Literal["grid", "target", "maker", "execution", "router"]

ENV_IDS: Final = {
    "grid": "lobgym/Grid-v0",
    "target": "lobgym/TargetPosition-v0",
    "maker": "lobgym/MarketMaking-v0",
    "execution": "lobgym/Execution-v0",
    "router": "lobgym/Router-v0",
}
_DISCRETE: Final = ("target", "router")  # environments of choices
LANES_MAX: Final = 4096
_LAYERS_MAX: Final = 8
_WIDTH_MAX: Final = 4096
# Keywords of the environment that `env_kwargs` may hold; the others have fields of their own here.
ENV_KWARGS: Final = ("latency", "queue", "fees", "profile", "randomise", "task", "capital")


@dataclass(frozen=True)
class TrainConfig:
    """One training run; two runs of an equal config end in equal weights on the same machine.

    Attributes:
        algo: `ppo` and `ppo_lstm` act everywhere, `dqn` and `qrdqn` where there are choices (`target`, `router`),
            `sac` where actions are continuous (`grid`, `maker`, `execution`).
        env: which environment; a `router` stands on another one, `router.kind`.
        tape: what `lobgym.sim.tape.open_tape` takes; training uses its `train` split.
        total_steps: transitions over all lanes; rounded up to whole rollouts by the algorithm.
        num_envs: lanes of the one native vector environment.
        seed: seeds the lanes, the initial weights and the sampling.
        out: run folder, made by the run; it must not exist or be empty.
        gamma: discount per step.
        hidden: widths of the two networks' hidden layers.
        horizon: steps of an episode (of a router: macro steps).
        reward: what a step is worth; its scale keeps returns near 1, which the networks' learning rate expects.
        params: the venue; None takes the default one.
        desk: fields of the DeskSpec that differ from the market's defaults.
        env_kwargs: further keywords of the environment, of those in `ENV_KWARGS`. They are plain data: where
            `randomise` takes a pair it is {"low": least, "high": greatest} here.
        test_fraction, embargo_ns: share of the tape's time that training never sees, and the gap before it.
        validate_every: transitions between two validations of the deterministic policy; 0 for none. Where there are
            any, the best model is kept beside the last one.
        validation_fraction: share of the training part's time, at its end and behind an embargo, that validation takes
            from training.
        validation_episodes: episodes of a validation, the same ones every time.
        checkpoint_every: transitions between two checkpoints, from which a killed run goes on; 0 for none.
        threads: torch's threads; more than one does not pay for networks of this size.

    Raises:
        TrainError: a value outside its range, or an algorithm that the environment's actions exclude.
    """

    algo: Algo = "ppo"
    env: Env = "grid"
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
    env_kwargs: dict[str, Any] = field(default_factory=dict)
    test_fraction: float = 0.3
    embargo_ns: int = 60_000_000_000
    validate_every: int = 0
    validation_fraction: float = 0.2
    validation_episodes: int = 32
    checkpoint_every: int = 0
    threads: int = 1
    ppo: PpoSettings = field(default_factory=PpoSettings)
    dqn: DqnSettings = field(default_factory=DqnSettings)
    sac: SacSettings = field(default_factory=SacSettings)
    qrdqn: QrDqnSettings = field(default_factory=QrDqnSettings)
    ppo_lstm: LstmSettings = field(default_factory=LstmSettings)
    router: RouterSettings = field(default_factory=RouterSettings)

    def __post_init__(self) -> None:
        if self.algo not in ALGOS or self.env not in ENV_IDS:
            raise TrainError(
                f"expected algo one of {', '.join(ALGOS)} and env one of {', '.join(ENV_IDS)}, got {self.algo!r} on "
                f"{self.env!r}"
            )
        fitting = ALGOS_DISCRETE if self.env in _DISCRETE else ALGOS_CONTINUOUS
        if self.algo not in fitting:
            kind, where = ("continuous", "target or router") if self.env not in _DISCRETE else ("choices", "the others")
            raise TrainError(
                f"{self.algo} does not act in {self.env!r}, whose actions are {kind}: expected one of "
                f"{', '.join(fitting)}, or an env of {where}"
            )
        self._check_ranges()
        update_schedule(self.dqn.updates_per_transition, self.num_envs)

    def _check_ranges(self) -> None:
        if not 1 <= self.num_envs <= LANES_MAX:
            raise TrainError(f"expected 1 to {LANES_MAX} lanes, got num_envs={self.num_envs}")
        for name in ("total_steps", "horizon", "threads", "validation_episodes"):
            if getattr(self, name) < 1:
                raise TrainError(f"expected {name} >= 1, got {getattr(self, name)}")
        for name in ("validate_every", "checkpoint_every"):
            if getattr(self, name) < 0:
                raise TrainError(f"expected {name} >= 0, got {getattr(self, name)}")
        if self.validation_episodes > LANES_MAX or not 0.0 < self.validation_fraction <= 0.5:
            raise TrainError(
                f"expected at most {LANES_MAX} validation_episodes and validation_fraction above 0 and up to 0.5, got "
                f"{self.validation_episodes} and {self.validation_fraction}"
            )
        if not 0 <= self.seed < 2**31 or not 0.0 < self.gamma <= 1.0:
            raise TrainError(f"expected 0 <= seed < 2^31 and 0 < gamma <= 1, got {self.seed} and {self.gamma}")
        if len(self.hidden) > _LAYERS_MAX or not all(1 <= width <= _WIDTH_MAX for width in self.hidden):
            raise TrainError(
                f"expected at most {_LAYERS_MAX} hidden layers of 1 to {_WIDTH_MAX} units, got {list(self.hidden)}"
            )
        unknown = sorted(set(self.env_kwargs) - set(ENV_KWARGS))
        if unknown:
            raise TrainError(f"env_kwargs takes {', '.join(ENV_KWARGS)}, got {', '.join(unknown)}")
        if not _plain(self.env_kwargs):
            raise TrainError(
                "env_kwargs must be plain data, as a config file holds it (a range is {'low': 1, 'high': 2}, not a "
                f"tuple), got {self.env_kwargs}"
            )

    @property
    def env_id(self) -> str:
        """Gymnasium id of the environment."""
        return ENV_IDS[self.env]

    @property
    def discrete(self) -> bool:
        """Whether actions are choices."""
        return self.env in _DISCRETE

    def replace(self, **changes: Any) -> TrainConfig:
        """The same config with some fields changed, validated again."""
        return replace(self, **changes)

    def to_json(self) -> dict[str, Any]:
        """Plain data that `from_json` gives back unchanged; every field, those that were left at their defaults too."""
        plain: dict[str, Any] = msgspec.to_builtins(asdict(self))
        return plain

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> TrainConfig:
        """Raises TrainError for unknown fields, at any depth, or wrong types."""
        refuse_unknown(cls, data, "a training config")
        try:
            return msgspec.convert(data, cls)
        except (msgspec.ValidationError, ParamsError) as error:
            raise TrainError(f"not a training config: {error}") from error


def _plain(value: Any) -> bool:
    """Whether JSON gives it back as it is."""
    if isinstance(value, dict):
        return all(isinstance(name, str) and _plain(one) for name, one in value.items())
    if isinstance(value, list):
        return all(_plain(one) for one in value)
    return value is None or type(value) in (bool, int, float, str)
