"""`Setting`: a tape and the episodes on it, as a job's input: whatever decides a result is in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from lobgym.envs.markets import market_for
from lobgym.experiments.errors import EvaluationError
from lobgym.experiments.evaluation.evaluate import EvalConfig
from lobgym.experiments.source import source_sha256
from lobgym.sim.market import Market
from lobgym.sim.tape import open_tape

__all__ = ["SOURCES", "Setting", "setting_of"]

SOURCES: Final = ("sim", "envs", "agents", "runtime")


@dataclass(frozen=True)
class Setting:
    """Where and when a comparison takes place; plain enough for a job's inputs.

    Attributes:
        tape: a name or a path. tape_digest: what it was when the comparison was set up.
        interval_ns: time between two decisions of policies written by hand; None for the default.
    """

    tape: str
    tape_digest: str
    config: EvalConfig
    interval_ns: int | None = None

    @classmethod
    def of(cls, tape: str, config: EvalConfig, interval_ns: int | None = None) -> Setting:
        """Look the tape up."""
        return cls(tape, open_tape(tape).digest, config, interval_ns)

    def market(self) -> Market:
        """The compiled tape.

        Raises:
            EvaluationError: the tape is another one by now.
        """
        market = market_for(self.tape)
        if market.tape.digest != self.tape_digest:
            raise EvaluationError(f"{self.tape} is not the tape that this comparison was set up with: start it anew")
        return market

    def train(self, market: Market) -> tuple[int, int] | None:
        """The part of the tape before the tested one and its embargo; None where no such part is set aside."""
        if self.config.split != "test":
            return None
        low, _ = self.config.span_ns(market, 0)
        return market.start_ns, low - self.config.embargo_ns

    def to_json(self) -> dict[str, Any]:
        """Plain data that `setting_of` gives back unchanged, and the source, with which results become others."""
        config = self.config
        split = config.split if isinstance(config.split, str) else list(config.split)
        return {
            "tape": self.tape, "tape_digest": self.tape_digest, "interval_ns": self.interval_ns,
            "source": source_sha256(*SOURCES),
            "seeds": list(config.seeds), "episodes": config.episodes, "horizon": config.horizon, "split": split,
            "test_fraction": config.test_fraction, "embargo_ns": config.embargo_ns,
        }  # fmt: skip


def setting_of(plain: dict[str, Any]) -> Setting:
    """The inverse of `Setting.to_json`."""
    split = plain["split"] if isinstance(plain["split"], str) else (int(plain["split"][0]), int(plain["split"][1]))
    config = EvalConfig(
        tuple(plain["seeds"]), plain["episodes"], plain["horizon"], split, plain["test_fraction"], plain["embargo_ns"]
    )
    return Setting(plain["tape"], plain["tape_digest"], config, plain["interval_ns"])
