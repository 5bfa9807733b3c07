"""`EarnHftConfig`: everything that decides what the three stages learn, and `Corrections`: what is done otherwise.

Four profiles: `tiny` runs in seconds and learns little (tests), `short` fits a recording of minutes (decisions 100 ms
apart, nothing seen that lies more than 5 s back), `quick` fits a minute of one core, `full` has the counts of the
published code: 200 sampled chunks of 14,400 s a preference, each walked twice, one update of 512 transitions for every
512 of them, a checkpoint every 4 samples, 4 preferences. What `LowSettings` and `RouterSettings` hold by default are
the published numbers; the profiles learn otherwise (docs/earnhft.md says why).
"""

from __future__ import annotations

import hashlib
import itertools
from dataclasses import dataclass, fields, replace
from importlib import import_module
from typing import Any, Final, Literal

import msgspec

from lobgym.agents.errors import TrainError
from lobgym.agents.plain import refuse_unknown
from lobgym.sim.desk_spec import DeskSpec
from lobgym.sim.market import Market
from lobgym.sim.observation import ROUTER_COLUMNS, TARGET_COLUMNS, ObservationLayout
from lobgym.sim.params import SimParams, default_params

__all__ = [
    "INVENTORY",
    "PROFILES",
    "Corrections",
    "EarnHftConfig",
    "LowSettings",
    "RouterSettings",
    "TournamentSettings",
]

INVENTORY: Final = "inventory"  # the column that holds the position; networks take it apart from the features
PROFILES: Final = ("tiny", "short", "quick", "full")
SECOND_NS: Final = 1_000_000_000
MINUTE_NS: Final = 60 * SECOND_NS
FRICTIONLESS_FEE_PPB: Final = 150_000  # 1.5 bps, the paper's
_UNDECIDING: Final = ("out", "workers")  # fields that say where and how a run is made, not what it learns


def check_targets(targets: tuple[float, ...]) -> None:
    """Raise TrainError unless they ascend within [-1, 1] and have 0 among them."""
    ascending = all(a < b for a, b in itertools.pairwise(targets))
    if len(targets) < 2 or not ascending or 0.0 not in targets or max(map(abs, targets)) > 1.0:
        raise TrainError(f"expected ascending targets from -1 to 1 with 0 among them, got {targets}")


def _at_least(settings: Any, low: int, *names: str) -> None:
    for name in names:
        if getattr(settings, name) < low:
            raise TrainError(f"expected {name} >= {low}, got {getattr(settings, name)}")


def _shares(settings: Any, *names: str) -> None:
    for name in names:
        if not 0.0 < getattr(settings, name) <= 1.0:
            raise TrainError(f"expected 0 < {name} <= 1, got {getattr(settings, name)}")


def _learner(settings: LowSettings | RouterSettings) -> None:
    """What both learners' settings have in common."""
    if not 0.0 < settings.updates_per_transition <= 64.0:
        raise TrainError(f"expected 0 < updates_per_transition <= 64, got {settings.updates_per_transition}")
    if not settings.rate_first >= settings.rate_last > 0.0:
        raise TrainError(f"expected rate_first >= rate_last > 0, got {settings.rate_first}, {settings.rate_last}")
    if not 0.0 < settings.tau <= 1.0 or settings.clip <= 0.0 or settings.reward_scale <= 0.0:
        raise TrainError(
            f"expected 0 < tau <= 1, clip > 0 and reward_scale > 0, got {settings.tau}, {settings.clip} and "
            f"{settings.reward_scale}"
        )
    if not 1.0 >= settings.epsilon_first >= settings.epsilon_last >= 0.0:
        raise TrainError(
            f"expected 1 >= epsilon_first >= epsilon_last >= 0, got {settings.epsilon_first} and "
            f"{settings.epsilon_last}"
        )


@dataclass(frozen=True)
class Corrections:
    """Errors of the published code, each True where it is corrected.

    Attributes:
        double: the target net's value of the action that the net itself prefers; else the target net's maximum.
        next_position: the router bootstraps with the position that it has then; else with the one it had before.
        store_terminal: the router stores the transitions that end an episode; else it leaves them out.
        own_epsilon: epsilon decays with the agent's own transitions; else the teacher's count as well.
        rounded_position: the pool's row is the nearest position's; else the quotient is cut off.
        validation_epoch: the router's epoch is chosen on the validation part; else on the test part.
        causal_features: features are chosen on the training part, none knows the future; else by their information
            coefficient over the whole file, a future return among them.
        lane_free_updates: a stated number of updates per transition; else one update per 512 steps of all lanes at
            once, however many lanes there are.
    """

    double: bool = True
    next_position: bool = True
    store_terminal: bool = True
    own_epsilon: bool = True
    rounded_position: bool = True
    validation_epoch: bool = True
    causal_features: bool = True
    lane_free_updates: bool = True

    @classmethod
    def reference(cls) -> Corrections:
        """None of them: what was published."""
        return cls(**dict.fromkeys(cls.names(), False))

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """Every correction's name."""
        return tuple(field.name for field in fields(cls))

    def without(self, name: str) -> Corrections:
        """All of these but one.

        Raises:
            TrainError: an unknown name.
        """
        if name not in self.names():
            raise TrainError(f"unknown correction {name!r}; known: {', '.join(self.names())}")
        return replace(self, **{name: False})


@dataclass(frozen=True)
class LowSettings:
    """Stage I.

    Attributes:
        betas: preferences; a chunk of return R is drawn with a weight proportional to exp(beta * R).
        samples: chunks drawn for each preference; each is walked twice, once with the teacher's actions.
        checkpoint_every: samples between two saved agents.
        chunk_ns, lookahead_ns: length of a chunk, and how much further its teacher looks.
        lanes: pieces of a chunk that are walked side by side.
        updates_per_transition: gradient steps per stored transition of either pass.
        batch_size: transitions of a gradient step, half of them from each pass once both have some.
        buffer_size: transitions that each of the two buffers keeps.
        rate_first, rate_last: Adam's learning rate, falling linearly over the run.
        tau: share of the net that its target takes over at each gradient step.
        clip: norm that gradients are cut to.
        kl_first, kl_last, kl_share: weight of the teacher's term, falling linearly over this share of the run.
        epsilon_first, epsilon_last, epsilon_share: chance of a random action, likewise.
        reward_scale: of rewards in bps of the position limit's value.
    """

    betas: tuple[float, ...] = (100.0, 30.0, -10.0, -90.0)
    samples: int = 200
    checkpoint_every: int = 4
    chunk_ns: int = 14_400 * SECOND_NS
    lookahead_ns: int = 3_600 * SECOND_NS
    lanes: int = 64
    updates_per_transition: float = 1 / 512
    batch_size: int = 512
    buffer_size: int = 100_000
    rate_first: float = 1e-2
    rate_last: float = 5e-4
    tau: float = 0.005
    clip: float = 0.01
    kl_first: float = 256.0
    kl_last: float = 128.0
    kl_share: float = 0.87
    epsilon_first: float = 0.9
    epsilon_last: float = 0.3
    epsilon_share: float = 0.17
    reward_scale: float = 0.1

    def __post_init__(self) -> None:
        if not self.betas or len(set(self.betas)) != len(self.betas):
            raise TrainError(f"expected different preferences, got betas={self.betas}")
        _at_least(
            self, 1, "samples", "checkpoint_every", "chunk_ns", "lookahead_ns", "lanes", "batch_size", "buffer_size"
        )
        _learner(self)
        _shares(self, "kl_share", "epsilon_share")
        if self.checkpoint_every > self.samples:
            raise TrainError(f"a checkpoint every {self.checkpoint_every} of {self.samples} samples saves no agent")
        if not self.kl_first >= self.kl_last >= 0.0:
            raise TrainError(f"expected kl_first >= kl_last >= 0, got {self.kl_first} and {self.kl_last}")

    @property
    def agents(self) -> int:
        """Agents that are saved, over all preferences."""
        return len(self.betas) * (self.samples // self.checkpoint_every)


@dataclass(frozen=True)
class TournamentSettings:
    """Stage II.

    Attributes:
        labels: trends that validation segments are sorted into.
        segment_ns: shortest segment.
        bar_ns: distance of the mids that are filtered.
        order, cutoff_ns: of the low-pass filter; the shortest period that passes.
        evaluations_max: segments of a label that are walked; the longest come first.
        shrink: an agent's mean in a label's segments is drawn towards its mean over all segments as if so many
            segments more had earned that; the published code has 0.
        general: whether the pool gets one more choice, for each position the agent that did best in all segments; the
            published code has none.
        lanes: lanes that are walked side by side, about.
    """

    labels: int = 5
    segment_ns: int = 60 * SECOND_NS
    bar_ns: int = SECOND_NS
    order: int = 1
    cutoff_ns: int = 20 * SECOND_NS
    evaluations_max: int = 1_000_000
    shrink: float = 0.0
    general: bool = True
    lanes: int = 512

    def __post_init__(self) -> None:
        _at_least(self, 1, "segment_ns", "bar_ns", "order", "cutoff_ns", "evaluations_max", "lanes")
        _at_least(self, 2, "labels")
        if not 0.0 <= self.shrink < float("inf"):
            raise TrainError(f"expected shrink >= 0, got {self.shrink}")


@dataclass(frozen=True)
class RouterSettings:
    """Stage III.

    Attributes:
        samples: episodes.
        episode_ns: length of an episode.
        checkpoint_every: episodes between two routers that are judged on validation data.
        lanes: episodes side by side.
        updates_per_transition: gradient steps per stored transition.
        batch_size, buffer_size, rate_first, rate_last, tau, clip: see `LowSettings`.
        epsilon_first, epsilon_last, epsilon_share: see `LowSettings`.
        gamma: discount per macro step.
        reward_scale: of rewards in bps of the position limit's value.
    """

    samples: int = 100
    episode_ns: int = 14_400 * SECOND_NS
    checkpoint_every: int = 4
    lanes: int = 16
    updates_per_transition: float = 5 / 512
    batch_size: int = 512
    buffer_size: int = 100_000
    rate_first: float = 1e-2
    rate_last: float = 5e-4
    tau: float = 0.005
    clip: float = 10.0
    epsilon_first: float = 1.0
    epsilon_last: float = 0.1
    epsilon_share: float = 0.5
    gamma: float = 0.9
    reward_scale: float = 0.1

    def __post_init__(self) -> None:
        _at_least(self, 1, "samples", "episode_ns", "checkpoint_every", "lanes", "batch_size", "buffer_size")
        _learner(self)
        _shares(self, "epsilon_share")
        if not 0.0 <= self.gamma <= 1.0:
            raise TrainError(f"expected a router's gamma from 0 to 1, got {self.gamma}")


@dataclass(frozen=True)
class EarnHftConfig:
    """One run of the three stages; equal digests end in equal bytes on the same machine.

    Attributes:
        tape: what `lobgym.sim.tape.open_tape` takes.
        seed: seeds the networks, the sampling and the lanes.
        out: run folder.
        profile: the one that the settings started from.
        interval_ns: time between two decisions.
        targets: positions as fractions of the limit, ascending, 0 among them; None takes the market's default.
        position_lots_max: position limit; None takes the market's default.
        columns: features of the low level, `inventory` not among them.
        router_columns: features of the router, likewise.
        params: the venue; None takes the tape's default.
        frictionless: no latency, and the paper's taker fee of 1.5 bps, in the same simulator.
        fractions: shares of the tape's time for training, validation and test.
        embargo_ns: time between two of them that belongs to neither.
        macro_steps: decisions that a choice of the router lasts; 0 takes a minute.
        gamma: discount per decision.
        hidden: width of the networks.
        threads: torch's.
        workers: processes for what can be done side by side; 0 takes one a core.

    Raises:
        TrainError: a value outside its range.
    """

    tape: str = "synth:volatile"
    seed: int = 0
    out: str = "runs/earnhft"
    profile: Literal["tiny", "short", "quick", "full"] = "quick"
    interval_ns: int = 500_000_000
    targets: tuple[float, ...] | None = None
    position_lots_max: int | None = None
    columns: tuple[str, ...] = tuple(name for name in TARGET_COLUMNS if name != INVENTORY)
    router_columns: tuple[str, ...] = tuple(name for name in ROUTER_COLUMNS if name not in (INVENTORY, "episode_pnl"))
    params: SimParams | None = None
    frictionless: bool = False
    fractions: tuple[float, float, float] = (0.6, 0.2, 0.2)
    embargo_ns: int = MINUTE_NS
    macro_steps: int = 0
    gamma: float = 0.995
    hidden: int = 128
    low: LowSettings = LowSettings()
    tournament: TournamentSettings = TournamentSettings()
    router: RouterSettings = RouterSettings()
    corrections: Corrections = Corrections()
    threads: int = 1
    workers: int = 1

    def __post_init__(self) -> None:
        if self.profile not in PROFILES:
            raise TrainError(f"expected a profile of {', '.join(PROFILES)}, got {self.profile!r}")
        if not 0 <= self.seed < 2**31:
            raise TrainError(f"expected 0 <= seed < 2^31, got {self.seed}")
        _at_least(self, 1, "interval_ns", "hidden", "threads")
        _at_least(self, 0, "embargo_ns", "macro_steps", "workers")
        if not 0.0 <= self.gamma <= 1.0:
            raise TrainError(f"expected gamma from 0 to 1, got {self.gamma}")
        if self.targets is not None:
            check_targets(self.targets)
        if not self.corrections.causal_features:
            import_module("lobgym.agents.earnhft.features")  # registers the column that such a run may name
        for name in ("columns", "router_columns"):
            columns = ObservationLayout(getattr(self, name)).columns
            if INVENTORY in columns:
                raise TrainError(f"{name} must not hold {INVENTORY!r}: a network takes the position apart from them")
            object.__setattr__(self, name, columns)
        if len(self.fractions) != 3 or min(self.fractions) <= 0.0 or abs(sum(self.fractions) - 1.0) > 1e-9:
            raise TrainError(f"expected three positive shares that add up to 1, got fractions={self.fractions}")
        if self.macro_steps == 0:
            object.__setattr__(self, "macro_steps", max(1, MINUTE_NS // self.interval_ns))

    @classmethod
    def profile_of(cls, profile: str, **changes: Any) -> EarnHftConfig:
        """A profile's settings, with some fields changed.

        Raises:
            TrainError: an unknown profile, or what the class raises.
        """
        if profile not in PROFILES:
            raise TrainError(f"expected a profile of {', '.join(PROFILES)}, got {profile!r}")
        return cls(**{"profile": profile} | _SETTINGS[profile] | changes)

    def replace(self, **changes: Any) -> EarnHftConfig:
        """A copy with some fields changed, validated again; another interval keeps the macro step's minute."""
        if "interval_ns" in changes and "macro_steps" not in changes:
            changes["macro_steps"] = 0
        return replace(self, **changes)

    def to_json(self) -> dict[str, Any]:
        """Plain data that `from_json` gives back unchanged."""
        plain: dict[str, Any] = msgspec.to_builtins(self)
        plain["params"] = None if self.params is None else self.params.to_json()
        return plain

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> EarnHftConfig:
        """Raises TrainError for unknown fields, at any depth, or wrong types."""
        refuse_unknown(cls, data | {"params": None}, "an EarnHFT config")
        params = data.get("params")
        try:
            made: EarnHftConfig = msgspec.convert(data | {"params": None}, cls)
        except msgspec.ValidationError as error:
            raise TrainError(f"not an EarnHFT config: {error}") from error
        return made if params is None else made.replace(params=SimParams.from_json(params))

    @property
    def digest(self) -> str:
        """SHA-256 of the canonical JSON of what decides the result: not of `out` and `workers`."""
        plain = {name: value for name, value in self.to_json().items() if name not in _UNDECIDING}
        return hashlib.sha256(msgspec.json.encode(plain, order="sorted")).hexdigest()

    @property
    def test_fraction(self) -> float:
        """Share of the tape's end at which nothing was looked, neither to learn nor to choose."""
        return self.fractions[2]

    # -- the desk ------------------------------------------------------------------------------------------------------

    def venue(self, market: Market) -> SimParams:
        """The simulated venue."""
        params = default_params(market.tape) if self.params is None else self.params
        if self.frictionless:
            params = params.replace(
                entry_ns=0, response_ns=0, latency=None, taker_fee_ppb=FRICTIONLESS_FEE_PPB, fee_tiers=None,
                submit_extra_ns=0, cancel_extra_ns=0, modify_extra_ns=0, feed_delay_ns=0, feed_jitter_ns=0,
            )  # fmt: skip
        return params

    def spec_of(self, market: Market, columns: tuple[str, ...]) -> DeskSpec:
        """The desk that everything is trained and judged at, seen through these columns and `inventory`."""
        changes: dict[str, Any] = {
            "params": self.venue(market),
            "interval_ns": self.interval_ns,
            "layout": ObservationLayout((*dict.fromkeys(columns), INVENTORY)),
        }
        if self.targets is not None:
            changes["targets"] = self.targets
        if self.position_lots_max is not None:
            changes["position_lots_max"] = self.position_lots_max
        spec = DeskSpec.for_market(market, "target", **changes)
        check_targets(spec.targets)
        return spec

    def low_spec(self, market: Market) -> DeskSpec:
        """The desk with the features of the low level."""
        return self.spec_of(market, self.columns)

    def spec(self, market: Market) -> DeskSpec:
        """The desk with everything that the hierarchy reads."""
        return self.spec_of(market, (*self.columns, *self.router_columns))


_SETTINGS: Final[dict[str, dict[str, Any]]] = {
    "tiny": {
        "hidden": 16,
        "embargo_ns": 10 * SECOND_NS,
        "low": LowSettings(
            betas=(30.0, -30.0), samples=4, checkpoint_every=2, chunk_ns=60 * SECOND_NS, lookahead_ns=20 * SECOND_NS,
            lanes=8, updates_per_transition=1 / 32, batch_size=64, buffer_size=2_000,
        ),
        "tournament": TournamentSettings(labels=3, segment_ns=10 * SECOND_NS, lanes=64),
        "router": RouterSettings(
            samples=4, episode_ns=60 * SECOND_NS, checkpoint_every=2, lanes=4, updates_per_transition=1.0,
            batch_size=16, buffer_size=1_000,
        ),
        "macro_steps": 20,
    },
    "short": {
        "hidden": 32,
        "interval_ns": SECOND_NS // 10,
        "embargo_ns": 5 * SECOND_NS,
        "macro_steps": 50,
        "columns": (
            "spread", "imbalance_1", "imbalance_5", "pressure_5", "microprice", "return_1s", "return_5s",
            "trade_flow_1s", "trade_flow_5s", "volume_1s",
        ),
        "router_columns": ("spread", "imbalance_5", "return_5s", "trade_flow_5s"),
        "gamma": 0.98,
        "low": LowSettings(
            samples=40, checkpoint_every=4, chunk_ns=60 * SECOND_NS, lookahead_ns=20 * SECOND_NS, lanes=32,
            updates_per_transition=1 / 64, batch_size=256, tau=0.05, clip=10.0, rate_first=2e-3, rate_last=2e-5,
            kl_first=1.0, kl_last=0.0, kl_share=0.7, epsilon_last=0.1, epsilon_share=0.6,
        ),
        "tournament": TournamentSettings(
            labels=2, segment_ns=5 * SECOND_NS, bar_ns=SECOND_NS // 10, cutoff_ns=5 * SECOND_NS, shrink=20.0,
        ),
        "router": RouterSettings(
            samples=64, episode_ns=30 * SECOND_NS, checkpoint_every=8, updates_per_transition=1 / 4, batch_size=64,
            rate_first=2e-3, rate_last=2e-4, tau=0.02,
        ),
    },
    "quick": {
        "hidden": 64,
        "low": LowSettings(
            samples=60, checkpoint_every=6, chunk_ns=900 * SECOND_NS, lookahead_ns=600 * SECOND_NS,
            updates_per_transition=1 / 64, batch_size=256, tau=0.05, clip=10.0, rate_first=2e-3, rate_last=2e-5,
            kl_first=1.0, kl_last=0.0, kl_share=0.7, epsilon_last=0.1, epsilon_share=0.6, reward_scale=0.1,
        ),
        "tournament": TournamentSettings(shrink=20.0),
        "router": RouterSettings(
            samples=64, episode_ns=3_600 * SECOND_NS, checkpoint_every=8, updates_per_transition=1 / 4, batch_size=256,
            rate_first=2e-3, rate_last=2e-4, tau=0.02,
        ),
    },
    "full": {
        "interval_ns": SECOND_NS,
        "gamma": 0.99,
        "low": LowSettings(
            tau=0.02, clip=10.0, rate_first=2e-3, rate_last=2e-5, kl_first=1.0, kl_last=0.0, kl_share=0.7,
            epsilon_last=0.1, epsilon_share=0.6,
        ),
    },
}  # fmt: skip
