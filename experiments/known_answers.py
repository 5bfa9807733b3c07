"""Two markets with known answers, asked: `python -m lobgym.experiments.known_answers [martingale|alpha]`.

The tables of docs/known-answers.md. On the martingale of `lobgym.sim.flow.dealer`, without fees, takers pay the half
spread and no rule earns anything; the same test finds an edge of 0.2 bp where one is planted. On the planted alpha
the optimal programme (`lobgym.experiments.alpha_programme`) earns what it says it will.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from lobgym.experiments.known_alpha import AlphaResult, alpha_study, alpha_table
from lobgym.experiments.known_martingale import MartingaleResult, martingale_study, martingale_table
from lobgym.sim.errors import LobgymError

__all__ = ["KnownAnswers", "known_answers", "main", "report"]

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
    """Ask. Seeds are fresh: those that the lengths were chosen by are others."""
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


def main(arguments: Sequence[str]) -> int:
    """Print the tables; 1 if an answer is not the known one."""
    parser = argparse.ArgumentParser(prog="python -m lobgym.experiments.known_answers", description=__doc__)
    parser.add_argument("what", nargs="*", default=list(WHAT), help=f"of {', '.join(WHAT)}; both by default")
    parser.add_argument("--seeds", type=int, default=100, help="of the martingale")
    parser.add_argument("--minutes", type=float, default=20.0, help="of the martingale, each seed")
    parser.add_argument("--alpha-seeds", type=int, default=30, help="of the planted alpha, each strength")
    parser.add_argument("--hours", type=float, default=2.0, help="of the planted alpha, each seed")
    parser.add_argument("--json", action="store_true", help="print JSON")
    given = parser.parse_args(arguments)
    if not set(given.what) <= set(WHAT):
        parser.error(f"expected of {', '.join(WHAT)}, got {' '.join(given.what)}")
    try:
        result = known_answers(given.what, given.seeds, given.minutes, given.alpha_seeds, given.hours)
    except LobgymError as error:
        print(f"known answers: {error}", file=sys.stderr)
        return 1
    if given.json:
        print(json.dumps(result.to_json(), sort_keys=True, allow_nan=False))
    else:
        print("\n".join(report(result)))
    return 1 if result.failures else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
