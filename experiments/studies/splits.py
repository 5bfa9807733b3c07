"""Cuts of a time span into parts to learn from and parts to test on, between which no sample reaches across.

What is learned or judged at a time t depends on [t - lookback, t + reach]: observation columns look back, returns,
labels and teachers look ahead. A training sample is purged where its interval meets that of a test sample, and those
that begin within an embargo behind a test part are dropped as well, because what happened there goes on for a while
(Lopez de Prado 2018, Advances in Financial Machine Learning, 7.4). Times are whole nanoseconds, both ends of a span
belong to it.

`walk_forward` tests each block on what lies before it alone. `combinatorial` tests every choice of `tests` out of
`groups` blocks, so that each block is tested many times and the results join into `paths` histories (same, 12.4).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from math import comb
from typing import Final

from lobgym.experiments.errors import EvaluationError

__all__ = ["Fold", "Margin", "Span", "blocks", "combinatorial", "histories", "walk_forward"]

Span = tuple[int, int]
FOLDS_MAX: Final = 10_000
LOOKBACK_NS: Final = 61_000_000_000  # the longest of what policies written by hand read, and are fitted on (natr_60)


@dataclass(frozen=True)
class Margin:
    """How far samples reach, and how long a test part echoes.

    Attributes:
        lookback_ns: how far back what is seen at t depends on the tape; of a desk, its layout's `lookback_ns`.
        reach_ns: how far ahead what is learned at t does: an episode's length where episodes may begin anywhere in
            a span, a teacher's look-ahead; 0 where episodes lie wholly within their span.
        embargo_ns: nothing is learned from this long behind the interval of a test part.

    Raises:
        EvaluationError: a length that is negative.
    """

    lookback_ns: int = LOOKBACK_NS
    reach_ns: int = 0
    embargo_ns: int = 0

    def __post_init__(self) -> None:
        if min(self.lookback_ns, self.reach_ns, self.embargo_ns) < 0:
            raise EvaluationError(f"expected lengths of at least 0, got {self}")

    @property
    def before_ns(self) -> int:
        """From the last training sample to the first of a test part behind it: more than this."""
        return self.lookback_ns + self.reach_ns

    @property
    def after_ns(self) -> int:
        """From the last sample of a test part to the first training sample behind it: more than this."""
        return self.lookback_ns + self.reach_ns + self.embargo_ns


@dataclass(frozen=True)
class Fold:
    """One split: spans whose samples may be learned from, and those that are tested; each ascending and apart.

    Attributes:
        groups: numbers of the blocks that are tested.
    """

    train: tuple[Span, ...]
    test: tuple[Span, ...]
    groups: tuple[int, ...]

    @property
    def train_ns(self) -> int:
        """Length of what is learned from."""
        return sum(high - low for low, high in self.train)


def blocks(low_ns: int, high_ns: int, count: int) -> tuple[Span, ...]:
    """A span in `count` neighbouring blocks that differ in length by one nanosecond at most.

    Raises:
        EvaluationError: fewer than one block, or more than there are nanoseconds.
    """
    length = high_ns - low_ns + 1
    if not 1 <= count <= length:
        raise EvaluationError(f"expected 1 block to one for each of {length} ns, got {count}")
    cuts = [low_ns + length * k // count for k in range(count + 1)]
    return tuple((cuts[k], cuts[k + 1] - 1) for k in range(count))


def walk_forward(
    low_ns: int, high_ns: int, folds: int, margin: Margin | None = None, *, anchored: bool = True
) -> tuple[Fold, ...]:
    """Blocks 1 to `folds` of `folds` + 1, each tested on what lies before it.

    Args:
        margin: `Margin()` by default.
        anchored: learn from the beginning on (a growing part); otherwise from the block before (a rolling one).

    Raises:
        EvaluationError: nothing is left to learn from.
    """
    margin = margin or Margin()
    if not 1 <= folds <= FOLDS_MAX:
        raise EvaluationError(f"expected 1 to {FOLDS_MAX} folds, got {folds}")
    cut = blocks(low_ns, high_ns, folds + 1)
    made = []
    for number in range(1, folds + 1):
        first = low_ns if anchored else cut[number - 1][0]
        last = cut[number][0] - margin.before_ns - 1
        if last <= first:
            raise EvaluationError(
                f"a block of {(cut[0][1] - cut[0][0]) / 1e9:.1f} s leaves nothing to learn from before a gap of "
                f"{margin.before_ns / 1e9:.1f} s: take fewer folds or a longer tape"
            )
        made.append(Fold(((first, last),), (cut[number],), (number,)))
    return tuple(made)


def combinatorial(
    low_ns: int, high_ns: int, groups: int, tests: int, margin: Margin | None = None
) -> tuple[Fold, ...]:  # fmt: skip
    """Every choice of `tests` of `groups` blocks, in lexical order; neighbouring test blocks are one test part.

    Raises:
        EvaluationError: a choice that is none, or nothing is left to learn from in a fold.
    """
    margin = margin or Margin()
    if not 1 <= tests < groups or comb(groups, tests) > FOLDS_MAX:
        raise EvaluationError(
            f"expected 1 <= tests < groups and at most {FOLDS_MAX} choices, got {tests} of {groups} blocks"
        )
    cut = blocks(low_ns, high_ns, groups)
    made = []
    for chosen in combinations(range(groups), tests):
        test = _joined([cut[group] for group in chosen])
        train = _purged((low_ns, high_ns), test, margin)
        if not train:
            raise EvaluationError(
                f"blocks {chosen} of {groups} leave nothing to learn from: take fewer blocks or a longer tape"
            )
        made.append(Fold(train, test, chosen))
    return tuple(made)


def histories(folds: Sequence[Fold], groups: int) -> tuple[tuple[int, ...], ...]:
    """Whole histories out of combinatorial folds: histories[j][g] is the number of the fold that tests block g in it.

    Of C(n, k) folds every block is tested in k / n, so there are C(n, k) * k / n histories, and each result is used in
    exactly one.

    Raises:
        EvaluationError: folds in which the blocks are not tested equally often.
    """
    tested = [[number for number, fold in enumerate(folds) if group in fold.groups] for group in range(groups)]
    counts = {len(numbers) for numbers in tested}
    if len(counts) != 1:
        raise EvaluationError(f"expected every block tested equally often, got {[len(one) for one in tested]} times")
    return tuple(zip(*tested, strict=True))


def _joined(spans: Sequence[Span]) -> tuple[Span, ...]:
    made: list[Span] = []
    for low, high in spans:
        if made and made[-1][1] + 1 == low:
            made[-1] = (made[-1][0], high)
        else:
            made.append((low, high))
    return tuple(made)


def _purged(whole: Span, test: Sequence[Span], margin: Margin) -> tuple[Span, ...]:
    """What of `whole` lies more than the margins away from every test part; single instants are dropped."""
    found = []
    first = whole[0]
    for low, high in test:
        last = low - margin.before_ns - 1
        if last > first:
            found.append((first, last))
        first = high + margin.after_ns + 1
    if whole[1] > first:
        found.append((first, whole[1]))
    return tuple(found)
