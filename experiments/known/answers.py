"""Two markets with known answers, asked: `lobgym market known`, the tables of docs/known-answers.md.

On the martingale of `lobgym.sim.flow.dealer`, without fees, takers pay the half spread and no rule earns anything; the
same test finds an edge of 0.2 bp where one is planted. On the planted alpha the optimal programme
(`lobgym.experiments.known.programme`) earns what it says it will.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from lobgym.experiments.errors import EvaluationError
from lobgym.experiments.known.alpha import AlphaResult, alpha_study, alpha_table
from lobgym.experiments.known.martingale import MartingaleResult, martingale_study, martingale_table

__all__ = ["WHAT", "KnownAnswers", "known_answers", "report"]

SCHEMA: Final = "lobgym.known-answers/1"
WHAT: Final = ("martingale", "alpha")


@dataclass(frozen=True)
class KnownAnswers:
    """Both studies; None where one was not asked for."""

    martingale: MartingaleResult | None
    alpha: tuple[AlphaResult, ...]

    @property
    def failures(self) -> list[str]:
        """What is not as it was known to be, in words."""
        found = [] if self.martingale is None else list(self.martingale.failures)
        return found + [failure for one in self.alpha for failure in one.failures]

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {"schema": SCHEMA, **asdict(self), "failures": self.failures}


def known_answers(
    what: Sequence[str] = WHAT, seeds: int = 100, minutes: float = 20.0, alpha_seeds: int = 30, hours: float = 2.0
) -> KnownAnswers:
    """Ask. Seeds are fresh: those that the lengths were chosen by are others.

    Raises:
        EvaluationError: a word that is not of `WHAT`; too few seeds.
    """
    if not set(what) <= set(WHAT):
        raise EvaluationError(f"expected of {', '.join(WHAT)}, got {' '.join(what)}")
    return KnownAnswers(
        martingale_study(seeds, minutes) if "martingale" in what else None,
        tuple(alpha_study(alpha_seeds, hours)) if "alpha" in what else (),
    )


def report(result: KnownAnswers) -> list[str]:
    """The tables as lines of Markdown, and what failed."""
    lines = [] if result.martingale is None else martingale_table(result.martingale)
    if result.alpha:
        lines += ["", *alpha_table(result.alpha)]
    return [*lines, "", *(f"FAILED: {failure}" for failure in result.failures)] if result.failures else lines
