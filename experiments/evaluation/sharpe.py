"""How sure a Sharpe ratio is, and what is left of it when it is the best of many: probabilistic and deflated.

Ratios here are mean over standard deviation of one return (an episode's, a day's), never annualised: the number of
returns is part of every formula. Of episodes that share their time only so many count as fit side by side
(`side_by_side`, `counted_as`).

    PSR(s) = Phi((sr - s) * sqrt(n - 1) / sqrt(1 - g3 * sr + (g4 - 1) / 4 * sr^2))
        Bailey and Lopez de Prado 2012, The Sharpe Ratio Efficient Frontier; g3 skewness, g4 kurtosis (normal: 3)
    s0 = sqrt(V) * ((1 - gamma) * Z(1 - 1 / N) + gamma * Z(1 - 1 / (N e)))
        the ratio that the best of N trials without any skill is expected to show: Bailey and Lopez de Prado 2014, The
        Deflated Sharpe Ratio; V the variance of the trials' ratios, gamma Euler's constant
    DSR = PSR(s0)

N comes from the trial ledger (`lobgym.agents.trials`), V from the ratios that it knows. Where it knows fewer than two,
V is 1 / (n - 1), the variance that ratios of so many returns have around no skill at all. Trials are counted as
independent: alike ones make the true N smaller, so the figure errs to the strict side.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import NormalDist
from typing import Any, Final

from lobgym.agents.trials import read_trials
from lobgym.experiments.evaluation.stats import fixed_mean

__all__ = [
    "DeflatedSharpe",
    "Moments",
    "counted_as",
    "deflate_by_ledger",
    "deflated_sharpe",
    "expected_best",
    "moments_of",
    "probabilistic_sharpe",
    "returns_needed",
    "side_by_side",
]

EULER_GAMMA: Final = 0.5772156649015329
_RETURNS_MIN: Final = 3
_TWO: Final = 2


@dataclass(frozen=True)
class Moments:
    """A sample of returns.

    Attributes:
        mean: of one return, in its unit. sd: with n - 1.
        sharpe: mean / sd; 0 where no return differs from 0.
        skewness, kurtosis: third and fourth standardised moments, with n; 0 and 3 where all returns are equal.
        count: n; fewer than were given, where they share their time (`counted_as`).
    """

    mean: float
    sd: float
    sharpe: float
    skewness: float
    kurtosis: float
    count: int

    @property
    def spread(self) -> float:
        """Standard error of the ratio times sqrt(n - 1), and at least that of a ratio of the smallest scatter."""
        square = 1.0 - self.skewness * self.sharpe + (self.kurtosis - 1.0) / 4.0 * self.sharpe**2
        return math.sqrt(max(square, 0.0))


@dataclass(frozen=True)
class DeflatedSharpe:
    """The verdict on one strategy.

    Attributes:
        trials: N, what was tried, this one included.
        known: how many of them had a known ratio, from which `variance` comes; 0 where the default stood in.
        benchmark: s0, the ratio expected of the best of N without skill.
        psr: chance that the true ratio is above 0, DSR without selection.
        dsr: chance that it is above s0.
    """

    moments: Moments
    trials: int
    known: int
    variance: float
    benchmark: float
    psr: float
    dsr: float

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


def moments_of(returns: Sequence[float]) -> Moments:
    """Moments of a sample; every sum exactly rounded.

    Raises:
        ValueError: fewer than three returns, one that is not finite, or equal ones other than 0, which have no ratio.
    """
    count = len(returns)
    if count < _RETURNS_MIN:
        raise ValueError(f"expected at least {_RETURNS_MIN} returns, got {count}")
    mean = fixed_mean(returns)
    squares = math.fsum((value - mean) ** 2 for value in returns)
    if squares == 0.0:
        if mean != 0.0:
            raise ValueError(f"expected returns that differ, got {count} times {mean}: their ratio is infinite")
        return Moments(0.0, 0.0, 0.0, 0.0, 3.0, count)
    sd, scale = math.sqrt(squares / (count - 1)), math.sqrt(squares / count)
    third = math.fsum(((value - mean) / scale) ** 3 for value in returns) / count
    fourth = math.fsum(((value - mean) / scale) ** 4 for value in returns) / count
    return Moments(mean, sd, mean / sd, third, fourth, count)


def side_by_side(span_ns: int, episode_ns: int) -> int:
    """How many episodes fit into a span of the tape without sharing any of its time; at least one."""
    return max(1, span_ns // episode_ns)


def counted_as(moments: Moments, independent: int) -> Moments:
    """The moments as of so many returns, two at least, or of all there are.

    Episodes that begin at random times on one tape share its moves. More of them make the mean no surer than as many
    as fit side by side; counted each, any exposure to a tape's one trend would look like skill.

    Raises:
        ValueError: less than one.
    """
    if independent < 1:
        raise ValueError(f"expected at least 1 independent return, got {independent}")
    return replace(moments, count=min(moments.count, max(_TWO, independent)))


def probabilistic_sharpe(moments: Moments, benchmark: float = 0.0) -> float:
    """PSR: the chance that the true ratio is above the benchmark."""
    distance = (moments.sharpe - benchmark) * math.sqrt(moments.count - 1)
    if moments.spread == 0.0:
        return 0.5 if distance == 0.0 else float(distance > 0.0)
    return NormalDist().cdf(distance / moments.spread)


def expected_best(trials: int, variance: float) -> float:
    """s0: the expected largest ratio of `trials` independent ones around 0 with this variance; 0 for a single one.

    Raises:
        ValueError: no trial, a negative variance.
    """
    if trials < 1 or not 0.0 <= variance < math.inf:
        raise ValueError(f"expected at least 1 trial and a variance of at least 0, got {trials} and {variance}")
    if trials == 1:
        return 0.0
    normal = NormalDist()
    inner = (1.0 - EULER_GAMMA) * normal.inv_cdf(1.0 - 1.0 / trials)
    return math.sqrt(variance) * (inner + EULER_GAMMA * normal.inv_cdf(1.0 - 1.0 / (trials * math.e)))


def deflated_sharpe(
    returns: Sequence[float], trials: int, sharpes: Sequence[float] = (), variance: float | None = None,
    independent: int | None = None,
) -> DeflatedSharpe:  # fmt: skip
    """DSR of a strategy that was chosen among `trials`.

    Args:
        returns: its own, at least three.
        trials: how many were tried, this one included.
        sharpes: ratios of them as far as they are known, of returns of the same length as these.
        variance: of the trials' ratios, if it is known better.
        independent: how many of the returns do not share their time, where they are fewer (`side_by_side`).

    Raises:
        ValueError: see `moments_of`, `counted_as` and `expected_best`.
    """
    moments = moments_of(returns)
    if independent is not None:
        moments = counted_as(moments, independent)
    known = 0
    if variance is None:
        variance = 1.0 / (moments.count - 1)
        if len(sharpes) >= _TWO:
            known, middle = len(sharpes), fixed_mean(sharpes)
            variance = math.fsum((value - middle) ** 2 for value in sharpes) / (known - 1)
    benchmark = expected_best(trials, variance)
    return DeflatedSharpe(
        moments, trials, known, variance, benchmark, probabilistic_sharpe(moments),
        probabilistic_sharpe(moments, benchmark),
    )  # fmt: skip


def deflate_by_ledger(
    returns: Sequence[float], ledger: str | Path, tape_digest: str | None = None, independent: int | None = None
) -> DeflatedSharpe:
    """DSR with what the trial ledger says was tried, on one tape or on all.

    A ledger without such trials counts as one: what is judged was tried. Ratios in the ledger must be of returns of
    the same length as these.
    """
    trials = [one for one in read_trials(ledger) if tape_digest is None or one.tape_digest in (tape_digest, "")]
    sharpes = [one.sharpe for one in trials if one.sharpe is not None]
    return deflated_sharpe(returns, max(1, len(trials)), sharpes, independent=independent)


def returns_needed(moments: Moments, benchmark: float = 0.0, level: float = 0.95) -> float:
    """Smallest number of returns for which PSR reaches `level` with these moments; infinite at or below the benchmark.

    Bailey and Lopez de Prado 2012, minimum track record length.
    """
    if moments.sharpe <= benchmark:
        return math.inf
    reach = NormalDist().inv_cdf(level) * moments.spread / (moments.sharpe - benchmark)
    return 1.0 + reach**2
