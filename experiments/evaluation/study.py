"""`Study`: one tape cut into training and testing, and everything that is trained and compared on it.

Episode length, embargo and test share follow from the tape's span, so that a five-minute recording and a day are both
cut sensibly; they are recorded with the results.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from lobgym.agents.files import ROUTER_FILE
from lobgym.agents.sb3.config import TrainConfig
from lobgym.agents.sb3.defaults import merged, read_defaults
from lobgym.agents.sb3.runs import load_run
from lobgym.envs.markets import market_for
from lobgym.experiments.bundles.served import ServedPolicy
from lobgym.experiments.errors import EvaluationError
from lobgym.experiments.evaluation.evaluate import EvalConfig, Evaluator
from lobgym.experiments.evaluation.leaderboard import Entry, Leaderboard, build_leaderboard, trained_entry
from lobgym.runtime.bundle import load_bundle
from lobgym.runtime.engine import require_instrument
from lobgym.sim.desk_spec import DeskSpec
from lobgym.sim.market import Market
from lobgym.sim.tape import open_tape

__all__ = ["Study"]

TEST_FRACTION: Final = 0.3
# What a desk for training looks back further than this is added there (`lobgym.envs.spans`).
EMBARGO_NS: Final = 60_000_000_000  # on long tapes; twice what a grid's or target's default columns look back
EMBARGO_NS_MIN: Final = 30_000_000_000  # on short ones: that look-back
HORIZON_MAX: Final = 240
HORIZON_MIN: Final = 40
ROUTER_HORIZON_MAX: Final = 10  # macro steps
ROUTER_HORIZON_MIN: Final = 2


@dataclass(frozen=True)
class Study:
    """A tape, where it is cut, and how long an episode is.

    Attributes:
        tape: its name or path, as given.
        market: compiled.
        interval_ns: time between two decisions.
        horizon: steps of an episode, at most half of the test part.
        embargo_ns: between training and testing.
    """

    tape: str
    market: Market
    interval_ns: int
    horizon: int
    embargo_ns: int

    @classmethod
    def of(cls, tape: str, interval_ns: int = 500_000_000) -> Study:
        """Cut a tape.

        Raises:
            EvaluationError: the tape is too short for a training part, an embargo and a test part.
        """
        market = market_for(tape)
        span = market.end_ns - market.start_ns
        embargo = EMBARGO_NS if span >= 20 * EMBARGO_NS else EMBARGO_NS_MIN
        test = int(span * TEST_FRACTION)
        horizon = min(HORIZON_MAX, test // interval_ns // 2)
        if horizon < HORIZON_MIN or span - test - embargo < horizon * interval_ns:
            raise EvaluationError(
                f"tape {tape} lasts {span / 1e9:.0f} s: too short to cut into training, an embargo of "
                f"{embargo / 1e9:.0f} s and testing at {interval_ns / 1e9:g} s a step; take a longer tape"
            )
        return cls(tape, market, interval_ns, horizon, embargo)

    def evaluation(self, seeds: int = 5, episodes: int = 8) -> EvalConfig:
        """Episodes on the test part."""
        return EvalConfig(tuple(range(seeds)), episodes, self.horizon, "test", TEST_FRACTION, self.embargo_ns)

    @property
    def test_span(self) -> tuple[int, int]:
        """First and last nanosecond of the part that no training may see."""
        return self.evaluation().span_ns(self.market, self.interval_ns)

    def spec(self, kind: str) -> DeskSpec:
        """The desk that every policy of a kind trades at here."""
        return DeskSpec.for_market(self.market, kind, interval_ns=self.interval_ns)

    def train_config(
        self,
        algo: str,
        env: str,
        steps: int | None,
        seed: int,
        out: Path,
        lanes: int | None = None,
        *layers: dict[str, Any],
    ) -> TrainConfig:
        """A training run on the part before the embargo, with the environment's default settings.

        Args:
            steps, lanes: None takes the defaults'.
            layers: settings over the defaults', the later ones over the earlier ones.

        Raises:
            EvaluationError: a router whose episodes of at least 2 macro steps do not fit into the test part.
            TrainError: settings that make no config.
        """
        own: dict[str, Any] = {"algo": algo, "env": env, "tape": self.tape, "seed": seed, "out": str(out)}
        own |= {"test_fraction": TEST_FRACTION, "embargo_ns": self.embargo_ns}
        given = {"total_steps": steps, "num_envs": lanes}
        own |= {name: value for name, value in given.items() if value is not None}
        settings = merged(read_defaults(env).settings(algo), {"desk": {"interval_ns": self.interval_ns}}, *layers, own)
        horizons = [self.horizon, *(layer["horizon"] for layer in layers if "horizon" in layer)]
        config = TrainConfig.from_json(settings | {"horizon": horizons[-1]})
        if config.env == "router" and len(horizons) == 1:
            return config.replace(horizon=self._router_horizon(config.router.macro_steps))
        return config

    def _router_horizon(self, macro_steps: int) -> int:
        test = int((self.market.end_ns - self.market.start_ns) * TEST_FRACTION)
        horizon = min(ROUTER_HORIZON_MAX, test // (macro_steps * self.interval_ns) // 2)
        if horizon < ROUTER_HORIZON_MIN:
            raise EvaluationError(
                f"tape {self.tape}: its test part of {test / 1e9:.0f} s has no room for episodes of "
                f"{ROUTER_HORIZON_MIN} choices of {macro_steps * self.interval_ns / 1e9:.0f} s; take a longer tape or "
                "fewer router.macro_steps"
            )
        return horizon

    def leaderboard(
        self,
        entries: Sequence[Entry],
        command: str,
        commit: str | None,
        seeds: int = 5,
        episodes: int = 8,
        progress: Callable[[str], None] | None = None,
    ) -> Leaderboard:
        """Every entry, and every fixed policy for grids, targets and the entries' kinds, on the test part."""
        evaluator = Evaluator(self.market, self.evaluation(seeds, episodes))
        kinds = dict.fromkeys(("grid", "target", *(entry.spec.kind for entry in entries)))
        specs = [self.spec(kind) for kind in kinds]
        return build_leaderboard(
            evaluator, entries, specs, command=command, tape_name=self.tape, commit=commit, progress=progress
        )

    def entries(self, runs: Sequence[Path], bundles: Sequence[Path] = ()) -> list[Entry]:
        """What takes part: run folders, grouped by algorithm and environment, and bundles.

        Runs of one group are one policy trained with several seeds.

        Raises:
            EvaluationError: a run that was trained on this tape and may have seen its test part.
            PolicyError: a policy of another instrument, whose ticks and lots mean something else.
        """
        groups: dict[str, list[Path]] = {}
        for run in runs:
            if (run / ROUTER_FILE).exists():
                raise EvaluationError(
                    f"{run} is a run of EarnHFT: `lobgym export` it and give that as --bundle, or take --suite"
                )
            loaded = load_run(run)
            config = loaded.config
            if config.env == "router":
                raise EvaluationError(
                    f"{run} is a router, whose desk has no place on a leaderboard: `lobgym evaluate` it"
                )
            if loaded.record.tape_digest == self.market.tape.digest and not self._same_cut(config):
                raise EvaluationError(f"{run} was trained on this tape, cut otherwise: it may have seen the test part")
            if loaded.record.tape_digest != self.market.tape.digest:
                require_instrument(open_tape(config.tape).instrument.to_json(), self.market.instrument)
            groups.setdefault(f"{config.algo}-{config.env}", []).append(run)
        found = [trained_entry(folders, name) for name, folders in groups.items()]
        for folder in bundles:
            bundle = load_bundle(folder, allow_ungated=True)
            require_instrument(bundle.manifest.instrument, self.market.instrument)
            found.append(Entry((ServedPolicy.of(bundle),), bundle.spec, "trained", bundle.manifest.name))
        return found

    def _same_cut(self, config: TrainConfig) -> bool:
        return config.test_fraction >= TEST_FRACTION and config.embargo_ns >= self.embargo_ns
